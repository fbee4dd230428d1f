"""A study as its results are analysed: which strategies are distinct, and which compete."""

from weakneg.analysis.intervals import MEAN_OVER_CLASSES

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
