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

    The baseline is always kept, since every comparison needs it.

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
        for name in names:
            if name not in study.strategy_names:
                what = f"a strategy of the study {study.name}"
                raise ValueError(f"strategies: {no_such(name, what, study.strategy_names)}")
        kept = {*names, study.baseline}
        chosen["strategies"] = [choice for choice in study.strategies if choice.name in kept]
    if seeds is not None:
        chosen["seeds"] = seeds
    return study.model_copy(update=chosen)
