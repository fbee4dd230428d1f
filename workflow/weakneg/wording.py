"""How strategies and numbers are written in tables and figures.

A study is a plain dictionary:

    name        of the study, as in file names
    title       for people
    classes     in the order to show
    strategies  in the order to show
    runs        {strategy: name of its run}; strategies of one run always choose the same bags
    unit        what a bag is made of: "image", or "clip" where a bag is a whole clip
    baseline    the strategy the others are compared with
    upper_bound the strategy that is no competitor because it has no budget (default "full")
    reference   None, or {"source": ..., "values": {strategy: {class: {"ap": .., "roc_auc": ..}}}}
    note        one sentence to print below the tables, or ""
"""

import math
import re
from collections.abc import Callable, Iterable

from weakneg.evaluation import MEAN_OVER_CLASSES

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

STRATEGY_NAMES = {
    "full": "Full set",
    "random": "Random",
    "least_confidence": "Least confidence",
    "margin": "Margin",
    "entropy": "Entropy",
    "gradient_embedding": "Gradient embedding",
    "badge": "BADGE",
    "kl_embedding": "KL (embedding)",
    "kl_probability": "KL (probability)",
    "svm_margin": "SVM margin",
}


def strategy_name(strategy: str) -> str:
    """The name people read: "BADGE", of its variant badge_known "BADGE, known".

    A strategy that the paper does not have keeps its own.
    """
    for known, name in STRATEGY_NAMES.items():
        if strategy.startswith(f"{known}_"):
            return f"{name}, {strategy.removeprefix(f'{known}_').replace('_', ' ')}"
    return STRATEGY_NAMES.get(strategy, strategy)


def distinct_strategies(study: dict) -> dict[str, list[str]]:
    """One strategy for each run -> all strategies of that run, in the order of the study.

    The baseline and the upper bound stand for their runs, and otherwise the first strategy does.
    """
    runs: dict[str, list[str]] = {}
    for strategy in study["strategies"]:
        runs.setdefault(study["runs"][strategy], []).append(strategy)
    special = {study["baseline"], upper_bound(study)}
    return {next((s for s in run if s in special), run[0]): run for run in runs.values()}


def joint_name(study: dict, strategy: str) -> str:
    """The names of a strategy and of those that share its run: "Margin = Entropy"."""
    return " = ".join(map(strategy_name, distinct_strategies(study)[strategy]))


def upper_bound(study: dict) -> str | None:
    """The strategy that is shown but competes with none."""
    return study.get("upper_bound", "full")


def reference_value(study: dict, strategy: str, class_name: str, metric: str) -> float | None:
    """The published value beside which ours stands, or None.

    The mean over classes has one only where each class of the study has one.
    """
    values = (study["reference"] or {"values": {}})["values"].get(strategy, {})
    if class_name == MEAN_OVER_CLASSES:
        found = [values.get(each, {}).get(metric) for each in study["classes"]]
        return None if None in found else sum(found) / len(found)
    return values.get(class_name, {}).get(metric)


def seeds_phrase(n_seeds: int) -> str:
    """ "5 seeds", "1 seed"."""
    return f"{n_seeds} seed{'' if n_seeds == 1 else 's'}"


def classes_phrase(n_classes: int) -> str:
    """ "40 classes", "1 class"."""
    return f"{n_classes} class{'' if n_classes == 1 else 'es'}"


def bootstrap_phrase(n_classes: int, n_seeds: int) -> str:
    """What the interval of a comparison is drawn over, and whether it can be believed."""
    text = f"95% bootstrap interval over classes{' and seeds' if n_seeds > 1 else ''}"
    return text + (" (too narrow: few classes)" if n_classes < 10 else "")


def measured_on(devices: Iterable[str]) -> str:
    """Where seconds were measured; `devices` as in the table of costs, several joined by "; "."""
    names = sorted({name for joined in devices for name in joined.split("; ")})
    if len(names) == 1:
        return f"on {names[0]}"
    return f"on different machines, so not to be compared ({', '.join(names)})"


def number(value: float, decimals: int = 3) -> str:
    """ ".856" for 0.856: neither metric exceeds one, so the leading zero carries nothing."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def signed_number(value: float, decimals: int = 3) -> str:
    """ "+.012" for 0.012; what rounds to zero has no sign."""
    text = number(abs(value), decimals)
    if not text.strip(".0"):
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def interval(low: float, high: float, write: Callable[[float], str]) -> str:
    """ " [-.004, +.012]" behind a number, or nothing where there is no interval."""
    return "" if math.isnan(low) else f" [{write(low)}, {write(high)}]"


def percentage(share: float) -> str:
    """ "0.6%", "28.1%"."""
    return f"{100 * share:.1f}%"


def seconds(value: float) -> str:
    """ "0.03", "2.5", "1,234"."""
    return f"{value:,.{0 if value >= 10 else 1 if value >= 1 else 2}f}"


def p_value(p: float) -> str:
    """ ".017", "< .001", or a dash where there is no test."""
    return DASH if math.isnan(p) else "< .001" if p < 0.001 else number(p)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, HTML, entity or link.

    A bar becomes an entity, since tables end a cell at it even behind a backslash that is escaped.
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+!~&:@$.])", r"\\\1", " ".join(printable.split()))
    return escaped.replace("|", "&#124;")
