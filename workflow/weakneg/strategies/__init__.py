"""The strategies: which negative bags of the pool an epoch trains on. One file each.

A strategy is a module in this folder that defines

    def select(pool: Pool, k: int, generator: torch.Generator, *, <options>) -> Selection

Its name is the name of its file. `select` is a pure function: it sees numbers (see
`weakneg.strategies.pool`), never a model or a data set. It returns min(k, len(pool)) distinct ids
from the pool, where k is the budget; ids with equal scores are taken in ascending order. Every
random number comes from `generator`, which is a CPU generator on every device. Options are
keyword-only, annotated with `Literal[...]`, float, int, bool or str, and have a default.

A strategy that ignores the budget sets `IGNORES_BUDGET = True`. One that always chooses the same
bags as another sets `SAME_CHOICE_AS = "<the other>"`, and a study then trains one run for both.

A strategy's file may also say what tables and figures call it and how figures draw it:

    DISPLAY_NAME = "BADGE"
    LOOK = {"colour": "#0072B2", "marker": "P", "dashes": [4, 1.5]}

The marker and the dashes (lengths of dashes and gaps; without them the line is solid) are those of
matplotlib. By default a strategy is shown under the name of its file and gets an unused look.
Training depends on neither.

A new file is found by the configuration and by the contract tests. The functions here read the
sources, and only `load` imports a strategy (and with it torch), so that checking a configuration
is quick.
"""

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakneg import plugins
from weakneg.plugins import Option as Option

if TYPE_CHECKING:
    from weakneg.strategies.pool import Selection

_FOLDER = Path(__file__).parent
_PARTS_OF_A_LOOK = {"colour", "marker", "dashes"}


def names() -> list[str]:
    """The names of all strategies, in alphabetical order."""
    return plugins.names(_FOLDER, "select")


def load(name: str) -> "Callable[..., Selection]":
    """Import a strategy.

    Parameters
    ----------
    name : str
        Name of the strategy.

    Returns
    -------
    callable
        Its function `select`.

    Raises
    ------
    UserError
        When there is no strategy of that name.
    """
    _check(name)
    select: Callable[..., Selection] = importlib.import_module(f"{__name__}.{name}").select
    return select


def options(name: str) -> dict[str, Option]:
    """The options of a strategy, read from its source.

    Parameters
    ----------
    name : str
        Name of the strategy.

    Returns
    -------
    dict of str to Option
        The options by name, in the order of the signature.

    Raises
    ------
    UserError
        When there is no strategy of that name.
    TypeError
        When an option has no default, or an annotation that is not supported.

    Examples
    --------
    >>> options("badge")["loss_label"]
    Option(allowed=('hypothesised', 'known'), default='hypothesised')
    """
    _check(name)
    return plugins.options(_FOLDER, name, "select", "strategy")


def same_choice_as(name: str) -> str | None:
    """The strategy that always chooses the same bags, as the file of `name` says, or None."""
    _check(name)
    other: str | None = plugins.constant(_FOLDER, name, "SAME_CHOICE_AS")
    return other


def ignores_budget(name: str) -> bool:
    """Whether the strategy takes the whole pool; then it is an upper bound, not a competitor."""
    _check(name)
    ignores: bool = plugins.constant(_FOLDER, name, "IGNORES_BUDGET", False)
    return ignores


def display_name(strategy: str, name: str) -> str:
    """The name of a strategy in tables and figures.

    Parameters
    ----------
    strategy : str
        Name of the strategy's file.
    name : str
        Name of the strategy in the study.

    Returns
    -------
    str
        The `DISPLAY_NAME` of the file, such as "BADGE"; for a variant such as badge_known, "BADGE,
        known". Any other name is returned as it is, and so is every name where the file has no
        `DISPLAY_NAME`.
    """
    _check(strategy)
    return plugins.display_name(_FOLDER, strategy, name)


def look(strategy: str) -> dict[str, Any] | None:
    """How figures draw a strategy: the `LOOK` of its file, or None.

    Parameters
    ----------
    strategy : str
        Name of the strategy's file.

    Returns
    -------
    dict, optional
        "colour", "marker" and, unless the line is solid, "dashes".

    Raises
    ------
    TypeError
        When `LOOK` has other keys.
    """
    _check(strategy)
    found: dict[str, Any] | None = plugins.constant(_FOLDER, strategy, "LOOK")
    if found is not None and not {"colour", "marker"} <= {*found} <= _PARTS_OF_A_LOOK:
        raise TypeError(
            f"LOOK of strategy {strategy!r} must have colour and marker; dashes are optional"
        )
    return found


@cache  # a configuration asks for the same names many times
def _check(name: str) -> None:
    plugins.check_name(name, names(), "strategy")
