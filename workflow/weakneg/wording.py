"""How strategies and numbers are written in tables and figures.

A study is a plain dictionary:

    name        of the study, as in file names
    title       for people
    classes     in the order to show
    strategies  in the order to show
    baseline    the strategy the others are compared with
    upper_bound the strategy that is no competitor because it has no budget (default "full")
    reference   None, or {"source": ..., "values": {strategy: {class: {"ap": .., "roc_auc": ..}}}}
    note        one sentence to print below the tables, or ""
"""

from weakneg.evaluation import MEAN_OVER_CLASSES

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
    """The name people read; a strategy that the paper does not have keeps its own."""
    return STRATEGY_NAMES.get(strategy, strategy)


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


def number(value: float, decimals: int = 3) -> str:
    """ ".856" for 0.856: neither metric exceeds one, so the leading zero carries nothing."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def p_value(p: float) -> str:
    """ ".017", or "< .001"."""
    return "< .001" if p < 0.001 else number(p)
