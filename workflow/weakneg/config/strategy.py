"""The strategies of a study, with their options."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from weakneg import strategies
from weakneg.config.messages import no_such, problem
from weakneg.config.values import NAME, as_list


@lru_cache
def strategy_files() -> list[str]:
    """Names of all strategies, in alphabetical order."""
    return strategies.names()


@lru_cache
def _options(strategy: str) -> dict[str, strategies.Option]:
    return strategies.options(strategy)


class StrategyChoice(BaseModel):
    """A strategy with its options, under its name in results."""

    model_config = ConfigDict(extra="allow", frozen=True)

    strategy: str = Field(description="Strategy: a file in workflow/weakneg/strategies.")
    name: str = Field(
        "", description="Name in results; required with options, by default that of the strategy."
    )

    @property
    def options(self) -> dict[str, Any]:
        """All options of the strategy, given or default.

        One that is another strategy is a mapping: the key "strategy", and all of its options.
        """
        return dict(self.model_extra or {})


def _strategy_choice(value: object) -> object:
    """Validator: an entry of a study's list becomes the fields of a `StrategyChoice`."""
    if isinstance(value, StrategyChoice):
        return value
    entry = {"strategy": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "strategy" not in entry:
        raise problem(
            f"must be a strategy's name or {{name: ..., strategy: ..., options}}, not {value!r}"
        )
    given = {key: setting for key, setting in entry.items() if key != "name"}
    checked = _checked_choice(value if isinstance(value, str) else given)
    strategy = checked["strategy"]
    name = entry.get("name", strategy)
    if len(given) > 1 and "name" not in entry:
        example = "_".join(_words(given))
        raise problem(f"a strategy with options needs a name, such as 'name: {example}'")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    if name != strategy and name in strategy_files():
        raise problem(f"{name!r} is the name of another strategy: choose a different name", "name")
    return {**checked, "name": name}


def _checked_choice(value: object, *at: str) -> dict[str, Any]:
    """Check a strategy, by its name or a mapping with options, and fill in those not given."""
    entry = {"strategy": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "strategy" not in entry:
        raise problem(
            f"must be a strategy's name or {{strategy: ..., options}}, not {value!r}", *at
        )
    strategy = entry["strategy"]
    if strategy not in strategy_files():
        where = at if isinstance(value, str) else (*at, "strategy")
        raise problem(no_such(strategy, "a strategy", strategy_files()), *where)
    found = _options(strategy)
    for option in entry:
        if option != "strategy" and option not in found:
            what = f"an option of {strategy}"
            if not found:
                raise problem(f"{option!r} is not {what}: it has none", *at, option)
            raise problem(no_such(option, what, found), *at, option)
    return {
        "strategy": strategy,
        **{
            option: _checked_option(entry.get(option, default), allowed, *at, option)
            for option, (allowed, default) in found.items()
        },
    }


def _checked_option(
    value: object, allowed: tuple[object, ...] | type | strategies.Interval, *at: str
) -> object:
    if allowed is strategies.Select:
        return _checked_choice(value, *at)
    if isinstance(allowed, tuple):
        if type(value) not in {type(item) for item in allowed} or value not in allowed:
            raise problem(no_such(value, "a choice", allowed), *at)
        return value
    kind = allowed if isinstance(allowed, type) else allowed.kind
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise problem(f"must be of type {kind.__name__}, not {value!r}", *at)
    if isinstance(allowed, strategies.Interval) and value not in allowed:
        raise problem(f"must be {allowed}, not {value!r}", *at)
    return value


def _words(entry: Mapping[str, Any]) -> list[str]:
    """Words for the name of a strategy with options: those that were given."""
    found: list[str] = []
    for setting in entry.values():
        one = re.sub("[^a-z0-9]+", "_", str(setting).lower()).strip("_")
        found += _words(setting) if isinstance(setting, Mapping) else [one]
    return found


Strategies = Annotated[
    list[Annotated[StrategyChoice, BeforeValidator(_strategy_choice, str | StrategyChoice)]],
    Field(min_length=1),
    BeforeValidator(as_list, str | list[str | StrategyChoice]),
]
