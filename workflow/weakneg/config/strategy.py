"""The strategies of a study, with their options."""

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
        """All options of the strategy, given or default."""
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
    strategy, given = (
        entry["strategy"],
        {k: v for k, v in entry.items() if k not in ("strategy", "name")},
    )
    if strategy not in strategy_files():
        at = () if isinstance(value, str) else ("strategy",)
        raise problem(no_such(strategy, "a strategy", strategy_files()), *at)
    options = {option: default for option, (_, default) in _options(strategy).items()}
    for option, setting in given.items():
        if option not in options:
            what = f"an option of {strategy}"
            if not options:
                raise problem(f"{option!r} is not {what}: it has none", option)
            raise problem(no_such(option, what, options), option)
        options[option] = _checked_option(setting, _options(strategy)[option][0], option)
    name = entry.get("name", strategy)
    if given and "name" not in entry:
        example = "_".join([strategy, *(str(setting) for setting in given.values())])
        raise problem(f"a strategy with options needs a name, such as 'name: {example}'")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    if name != strategy and name in strategy_files():
        raise problem(f"{name!r} is the name of another strategy: choose a different name", "name")
    return {"strategy": strategy, "name": name, **options}


def _checked_option(value: object, allowed: tuple[object, ...] | type, option: str) -> object:
    if not isinstance(allowed, type):
        if type(value) not in {type(item) for item in allowed} or value not in allowed:
            raise problem(no_such(value, "a choice", allowed), option)
        return value
    if allowed is float and type(value) is int:
        return float(value)
    if type(value) is not allowed:
        raise problem(f"must be of type {allowed.__name__}, not {value!r}", option)
    return value


Strategies = Annotated[
    list[Annotated[StrategyChoice, BeforeValidator(_strategy_choice, str | StrategyChoice)]],
    Field(min_length=1),
    BeforeValidator(as_list, str | list[str | StrategyChoice]),
]
