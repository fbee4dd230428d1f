"""The strategies: which negative bags of the pool an epoch trains on. One file each.

A strategy is a module in this folder that defines

    def select(pool: Pool, k: int, generator: torch.Generator, *, <options>) -> Selection

Its name is the name of its file. A user's own may also be beside a study, which then names it by
its path (see `weakneg.plugins`). `select` is a pure function: it sees numbers (see
`weakneg.strategies.pool`), never a model or a data set. It returns min(k, len(pool)) distinct ids
from the pool, where k is the budget; ids with equal scores are taken in ascending order. Every
random number comes from `generator`, which is a CPU generator on every device. Options are
keyword-only, annotated with `Literal[...]`, float, int, bool or str, and have a default. A number
may be limited: `Annotated[float, (0, 1)]` goes from 0 to 1, both included, and None is no limit.

A selection may give its bags weights, by which training multiplies their losses (see
`weakneg.strategies.pool.Selection`, and `weakneg.strategies.sampling` for draws with unequal
probabilities). They hold until the next choice. Positive bags keep the weight that the study gives
them, and a mixture of two bags has the mixture of their weights.

A strategy may hand a part of the pool to another one. It then has an option without a default,

    def select(pool: Pool, k: int, generator: torch.Generator, *, then: Select) -> Selection

and calls `then(pool.part(rows), k, generator)`. A study says which strategy that is, with options
if need be: `then: badge`, or `then: {strategy: badge, loss_label: known}`; by default it is
`random`. Here and in the settings of a run such a strategy is a mapping: the key "strategy", and
its options. An option of type `Ranking` is a strategy that ranks all bags by its score, and is
called with the size of the pool for k; by default it is `hardest`.

A strategy that ranks bags by its score, so that a smaller budget only ends the choice earlier, sets
`RANKS = True`. One that ignores the budget sets `IGNORES_BUDGET = True`. One that always chooses
the same bags as another sets `SAME_CHOICE_AS = "<the other>"`, and a study then trains one run for
both.

A strategy's file may also say what tables and figures call it and how figures draw it:

    DISPLAY_NAME = "BADGE"
    LOOK = {"colour": "#0072B2", "marker": "P", "dashes": [4, 1.5]}

A name may contain that of the strategy in an option, as in "{then}, trimmed". The marker and the
dashes (lengths of dashes and gaps; without them the line is solid) are those of matplotlib. By
default a strategy is shown under the name of its file and gets an unused look. Training depends on
neither.

A new file is found by the configuration and by the contract tests. The functions here read the
sources, and only `load` imports a strategy (and with it torch), so that checking a configuration
is quick.
"""

import importlib
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from weakneg import plugins
from weakneg.errors import UserError
from weakneg.plugins import Option

if TYPE_CHECKING:
    import torch

    from weakneg.strategies.pool import Pool, Selection

_FOLDER = Path(__file__).parent
_PARTS_OF_A_LOOK = {"colour", "marker", "dashes"}


class Select(Protocol):
    """The function `select` of a strategy whose options are given."""

    def __call__(self, pool: "Pool", k: int, generator: "torch.Generator", /) -> "Selection":
        """Choose bags from the pool."""


class Ranking(Select, Protocol):
    """The function `select` of a strategy that ranks bags by its score."""


_INNER = {"Select": Option(Select, "random"), "Ranking": Option(Ranking, "hardest")}


def names() -> list[str]:
    """The names of all strategies, in alphabetical order."""
    return plugins.names(_FOLDER, "select")


def load(name: str, given: Mapping[str, Any] | None = None) -> Select:
    """Import a strategy, and those that it hands a part of the pool to.

    Parameters
    ----------
    name : str
        Name of the strategy.
    given : mapping, optional
        Options. Those that are not given have their defaults, or are left to the caller.

    Returns
    -------
    Select
        Its function `select` with the options given.

    Raises
    ------
    UserError
        When there is no strategy of that name.
    """
    _check(name)
    module = plugins.load_own(name) or importlib.import_module(f"{__name__}.{name}")
    select: Select = module.select
    values = {
        option: load(*_choice(value)) if isinstance(value, Mapping) else value
        for option, value in (given or {}).items()
    }
    return partial(select, **values)


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
        When there is no strategy of that name; when an option has no default, or an annotation that
        is not supported; or a default although it is a `Select`.

    Examples
    --------
    >>> options("badge")["loss_label"]
    Option(allowed=('hypothesised', 'known'), default='hypothesised')
    """
    _check(name)
    return plugins.options(_FOLDER, name, "select", "strategy", _INNER)


def composition(name: str, given: Mapping[str, Any]) -> list[str]:
    """The strategies that take part in a choice.

    Parameters
    ----------
    name : str
        Name of the strategy.
    given : mapping
        Its options.

    Returns
    -------
    list of str
        The strategy, and those in its options and in theirs.

    Examples
    --------
    >>> composition("trimmed", {"share": 0.02, "then": {"strategy": "badge"}})
    ['trimmed', 'badge']
    """
    inner = [_choice(value) for value in given.values() if isinstance(value, Mapping)]
    return [name, *(each for choice in inner for each in composition(*choice))]


def same_choice_as(name: str) -> str | None:
    """The strategy that always chooses the same bags, as the file of `name` says, or None."""
    _check(name)
    other: str | None = plugins.constant(_FOLDER, name, "SAME_CHOICE_AS")
    return other


def chooses_as(name: str, given: Mapping[str, Any]) -> tuple[object, ...]:
    """A key that strategies share which always choose the same bags.

    These are the strategies that say so (`same_choice_as`), alone or in an option of another, and
    any strategy with equal options.

    Parameters
    ----------
    name : str
        Name of the strategy.
    given : mapping
        All of its options.

    Returns
    -------
    tuple
        The key.
    """
    own = {
        option: chooses_as(*_choice(value)) if isinstance(value, Mapping) else value
        for option, value in given.items()
    }
    return (same_choice_as(name) or name, *sorted(own.items()))


def ignores_budget(name: str, given: Mapping[str, Any] | None = None) -> bool:
    """Whether a strategy, or one in its options, takes the whole pool whatever the budget."""
    taking_part = composition(name, given or {})
    for each in taking_part:
        _check(each)
    return any(plugins.constant(_FOLDER, each, "IGNORES_BUDGET", False) for each in taking_part)


def ranks(name: str) -> bool:
    """Whether a strategy ranks bags by its score, as its file says."""
    _check(name)
    found: bool = plugins.constant(_FOLDER, name, "RANKS", False)
    return found


def display_name(strategy: str, name: str, given: Mapping[str, Any] | None = None) -> str:
    """The name of a strategy in tables and figures.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    name : str
        Its name in the study.
    given : mapping, optional
        Its options, all or some.

    Returns
    -------
    str
        The `DISPLAY_NAME` of the file, such as "BADGE"; for a variant such as badge_known, "BADGE,
        known". Where the name of the file contains that of another strategy, as in "{then},
        trimmed", trimmed_badge_known is "BADGE, trimmed, known". Any other name is returned as it
        is, and so is every name where the file has no `DISPLAY_NAME`.
    """
    _check(strategy)
    shown: str | None = plugins.constant(_FOLDER, strategy, "DISPLAY_NAME")
    inner_options = re.findall(r"{(\w+)}", shown or "")
    file = plugins.stem(strategy)
    if not shown or not inner_options or not f"{name}_".startswith(f"{file}_"):
        return plugins.display_name(_FOLDER, strategy, name)
    variant = name.removeprefix(file)
    for option in inner_options:
        default = {"strategy": options(strategy)[option].default}
        inner = _choice((given or {}).get(option, default))
        said = display_name(inner[0], plugins.stem(inner[0]), inner[1])
        shown = shown.replace(f"{{{option}}}", said)
        for each in map(plugins.stem, composition(*inner)):  # these words are said already
            variant = f"{variant}_".replace(f"_{each}_", "_", 1).removesuffix("_")
    return f"{shown}{variant.replace('_', ', ', 1).replace('_', ' ')}"


def look(strategy: str) -> dict[str, Any] | None:
    """How figures draw a strategy: the `LOOK` of its file, or None.

    Parameters
    ----------
    strategy : str
        Name of the strategy.

    Returns
    -------
    dict, optional
        "colour", "marker" and, unless the line is solid, "dashes".

    Raises
    ------
    UserError
        When `LOOK` has other keys.
    """
    _check(strategy)
    found: dict[str, Any] | None = plugins.constant(_FOLDER, strategy, "LOOK")
    if found is not None and not {"colour", "marker"} <= {*found} <= _PARTS_OF_A_LOOK:
        raise UserError(
            f"LOOK of strategy {strategy!r} must have colour and marker; dashes are optional"
        )
    return found


def _check(name: str) -> None:
    plugins.check(_FOLDER, name, "select", "strategy")


def _choice(value: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and options of a strategy that is the value of an option."""
    return value["strategy"], {key: each for key, each in value.items() if key != "strategy"}
