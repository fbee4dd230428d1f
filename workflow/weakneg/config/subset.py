"""A study restricted to some classes, strategies or seeds."""

from typing import Any

from weakneg.config.classes import AmbiguousNumber, Top, class_name, most_frequent
from weakneg.config.messages import no_such
from weakneg.config.study import Study


def subset(
    study: Study,
    classes: list[str | int] | Top | None,
    names: list[str] | None,
    seeds: list[int] | None,
) -> Study:
    """Restrict a study to the named classes, strategies and seeds, in the order of the study.

    The baseline is always kept, since every comparison needs it; in a study of budgets, where the
    name of a strategy stands for all of its budgets, only at the budgets that are left.

    Parameters
    ----------
    study : Study
        The whole study.
    classes : list or Top, optional
        Names and numbers of classes, or the number of classes with the most clips; None: all.
    names : list of str, optional
        Names of strategies in the study; None: all.
    seeds : list of int, optional
        The seeds, which need not be among those of the study; None: all.

    Returns
    -------
    Study
        The smaller study.

    Raises
    ------
    ValueError
        With the key and the mistake, when the study has no such class or strategy.
    """
    chosen: dict[str, Any] = {}
    if isinstance(classes, Top):
        try:
            chosen["classes"] = most_frequent(study.classes, classes.top, study.dataset)
        except ValueError as error:
            raise ValueError(f"classes: {error}") from None
    elif classes is not None:
        wanted = set()
        for value in classes:
            try:
                name = class_name(value, study.dataset)
            except AmbiguousNumber as error:
                raise ValueError(f"classes: {error}") from None
            except ValueError:
                name = str(value)
            if name not in study.classes:
                what = f"a class of the study {study.name}"
                raise ValueError(f"classes: {no_such(name, what, study.classes)}")
            wanted.add(name)
        chosen["classes"] = [name for name in study.classes if name in wanted]
    if names is not None:
        wanted = set()
        for name in names:
            if name in study.strategy_names:
                wanted.add(name)
            elif study.sampling.budgets and study.entry(name):
                wanted |= {*study.entry(name)}
            else:
                what = f"a strategy of the study {study.name}"
                raise ValueError(f"strategies: {no_such(name, what, study.strategy_names)}")
        baselines = _baselines(study, wanted)
        kept = wanted | {*baselines}
        chosen["strategies"] = [choice for choice in study.strategies if choice.name in kept]
        chosen["baseline"] = baselines[0]
    if seeds is not None:
        chosen["seeds"] = seeds
    return study.model_copy(update=chosen)


def _baselines(study: Study, names: set[str]) -> list[str]:
    """What strategies are compared with: in a study of budgets, the baseline at each of theirs."""
    if not study.sampling.budgets:
        return [study.baseline]
    budgets = {study.strategy(name).budget for name in names}
    entry = study.strategy(study.baseline).entry
    found = [name for name in study.entry(entry) if study.strategy(name).budget in budgets]
    return found or [study.baseline]
