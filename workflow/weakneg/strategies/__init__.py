"""The strategies: which negative bags of the pool an epoch trains on. One file each.

A strategy is a module of this folder that defines

    def select(pool: Pool, k: int, generator: torch.Generator, *, <options>) -> Selection

Its name is the name of its file. It is a pure function: it sees numbers (see
`weakneg.strategies.pool`), never a model or a data set. It returns min(k, len(pool)) distinct ids
out of the pool; ids that score the same are taken in ascending order; every random number comes
from `generator`, a CPU generator whatever the device. Options are keyword-only, annotated
(`Literal[...]`, float, int, bool or str), and have a default. A strategy to which the budget does
not apply says so by `IGNORES_BUDGET = True`. One that always chooses the bags of another says so by
`SAME_CHOICE_AS = "<the other>"`: a study then has one run for both.

What tables and figures call it and how figures draw it may stand in its file, too:

    DISPLAY_NAME = "BADGE"
    LOOK = {"colour": "#0072B2", "marker": "P", "dashes": [4, 1.5]}

Marker and dashes (lengths of marks and gaps; without them the line is solid) are as matplotlib has
them. By default a strategy goes by the name of its file and takes a look that no other has. Neither
is part of what training depends on.

A new file enters the configuration and the contract tests by itself. The functions here read the
sources and import a strategy (and with it torch) only when it is loaded, so that checking a
configuration is quick.
"""

import ast
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weakneg import plugins

if TYPE_CHECKING:
    from weakneg.strategies.pool import Selection

_FOLDER = Path(__file__).parent
_PARTS_OF_A_LOOK = {"colour", "marker", "dashes"}
_TYPES = {kind.__name__: kind for kind in (bool, int, float, str)}


class Option(NamedTuple):
    """An option of a strategy: the allowed values, or else the type, and the default."""

    allowed: tuple[object, ...] | type
    default: object


def names() -> list[str]:
    """The names of all strategies, in alphabetical order."""
    return plugins.names(_FOLDER, "select")


def load(name: str) -> "Callable[..., Selection]":
    """The `select` function of the strategy called `name`; UserError if there is none."""
    _check(name)
    select: Callable[..., Selection] = importlib.import_module(f"{__name__}.{name}").select
    return select


def options(name: str) -> dict[str, Option]:
    """The options of the strategy called `name`, read from its source; UserError if there is none.

    >>> options("badge")["loss_label"]
    Option(allowed=('hypothesised', 'known'), default='hypothesised')
    """
    _check(name)
    arguments = plugins.function(_FOLDER, name, "select").args
    found = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            raise TypeError(f"option {argument.arg!r} of strategy {name!r} needs a default")
        found[argument.arg] = Option(_allowed(argument, name), ast.literal_eval(default))
    return found


def same_choice_as(name: str) -> str | None:
    """The strategy that always chooses the bags that `name` chooses, as its file says, or None."""
    _check(name)
    other: str | None = plugins.constant(_FOLDER, name, "SAME_CHOICE_AS")
    return other


def ignores_budget(name: str) -> bool:
    """Whether the strategy takes the whole pool, as its file says: then it is no competitor."""
    _check(name)
    ignores: bool = plugins.constant(_FOLDER, name, "IGNORES_BUDGET", False)
    return ignores


def display_name(strategy: str, name: str) -> str:
    """What people read for a strategy of a study.

    Parameters
    ----------
    strategy : str
        Name of the strategy's file.
    name : str
        Name that it has in results.

    Returns
    -------
    str
        What the file says, "BADGE"; for a variant such as badge_known "BADGE, known". Any other
        name, or one whose file says nothing, stays as it is.
    """
    _check(strategy)
    shown: str | None = plugins.constant(_FOLDER, strategy, "DISPLAY_NAME")
    if shown and name == strategy:
        return shown
    if shown and name.startswith(f"{strategy}_"):
        return f"{shown}, {name.removeprefix(f'{strategy}_').replace('_', ' ')}"
    return name


def look(strategy: str) -> dict[str, Any] | None:
    """How figures draw the strategy: "colour", "marker", "dashes", as its file says, or None."""
    _check(strategy)
    found: dict[str, Any] | None = plugins.constant(_FOLDER, strategy, "LOOK")
    if found is not None and not {"colour", "marker"} <= {*found} <= _PARTS_OF_A_LOOK:
        raise TypeError(
            f"LOOK of strategy {strategy!r} must have colour and marker, and may have dashes"
        )
    return found


@cache  # a configuration asks many times of the same ones
def _check(name: str) -> None:
    plugins.check_name(name, names(), "strategy")


def _allowed(argument: ast.arg, name: str) -> tuple[object, ...] | type:
    match argument.annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple() as values):
            return tuple(ast.literal_eval(values))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
            return (ast.literal_eval(value),)
        case ast.Name(id=kind) if kind in _TYPES:
            return _TYPES[kind]
    raise TypeError(
        f"option {argument.arg!r} of strategy {name!r} must be annotated with Literal[...] "
        f"or one of {', '.join(_TYPES)}"
    )
