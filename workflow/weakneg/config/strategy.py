"""The strategies and losses of a study, with their options."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
)

from weakneg import losses, plugins, strategies
from weakneg.config.messages import no_such, problem
from weakneg.config.values import NAME, as_list


@lru_cache
def strategy_files() -> list[str]:
    """Names of all strategies, in alphabetical order."""
    return strategies.names()


@lru_cache
def _options(strategy: str) -> dict[str, plugins.Option]:
    return strategies.options(strategy)


class LossChoice(BaseModel):
    """A loss with its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="Loss: a file in workflow/weakneg/losses.")

    @property
    def options(self) -> dict[str, Any]:
        """All options of the loss, given or default."""
        return dict(self.model_extra or {})


def _loss_choice(value: object) -> object:
    """Validator: a name, or a name with options, becomes the fields of a `LossChoice`."""
    if isinstance(value, LossChoice):
        return value
    entry = {"name": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "name" not in entry:
        raise problem(f"must be a loss's name or {{name: ..., options}}, not {value!r}")
    name = entry["name"]
    if name not in losses.names():
        at = () if isinstance(value, str) else ("name",)
        raise problem(no_such(name, "a loss", losses.names()), *at)
    given = {key: setting for key, setting in entry.items() if key != "name"}
    return {"name": name, **_all_options(name, losses.options(name), given)}


Loss = Annotated[LossChoice, BeforeValidator(_loss_choice, str | LossChoice)]
HiddenShare = Annotated[float, Field(ge=0, lt=1)]


class StrategyChoice(BaseModel):
    """A strategy with its options, under its name in results."""

    model_config = ConfigDict(extra="allow", frozen=True)

    strategy: str = Field(description="Strategy: a file in workflow/weakneg/strategies.")
    name: str = Field(
        "", description="Name in results; required with options, by default that of the strategy."
    )
    loss: Loss | None = Field(
        None, description="Loss of this entry; null: that of the study's training."
    )
    hidden_positives: HiddenShare = Field(
        0.0, description="Share of the positive training bags that are labelled negative."
    )

    _crossed_from: str = PrivateAttr("")

    @property
    def options(self) -> dict[str, Any]:
        """All options of the strategy, given or default."""
        return dict(self.model_extra or {})

    @property
    def crossed_from(self) -> str:
        """Name of the entry of the study that this is another loss or hidden share of."""
        return self._crossed_from or self.name

    def crossed(self, loss: LossChoice | None, hidden_positives: float) -> "StrategyChoice":
        """The same strategy with another loss and share of hidden positives, under its own name."""
        name = self.name
        if loss is not None:
            name += f"_{loss.name}"
        if hidden_positives:
            name += f"_hidden_{100 * hidden_positives:g}".replace(".", "_")
        other = self.model_copy(
            update={
                "name": name,
                "loss": loss or self.loss,
                "hidden_positives": hidden_positives or self.hidden_positives,
            }
        )
        other._crossed_from = self.name
        return other


def _strategy_choice(value: object) -> object:
    """Validator: an entry of a study's list becomes the fields of a `StrategyChoice`."""
    if isinstance(value, StrategyChoice):
        return value
    entry = {"strategy": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "strategy" not in entry:
        raise problem(
            f"must be a strategy's name or {{name: ..., strategy: ..., options}}, not {value!r}"
        )
    strategy = entry["strategy"]
    if strategy not in strategy_files():
        at = () if isinstance(value, str) else ("strategy",)
        raise problem(no_such(strategy, "a strategy", strategy_files()), *at)
    given = {k: v for k, v in entry.items() if k not in StrategyChoice.model_fields}
    options = _all_options(strategy, _options(strategy), given)
    name = entry.get("name", strategy)
    changed = {k: v for k, v in entry.items() if k not in ("strategy", "name")}
    if changed and "name" not in entry:
        example = "_".join([strategy, *(str(setting) for setting in changed.values())])
        raise problem(f"a strategy with options needs a name, such as 'name: {example}'")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    if name != strategy and name in strategy_files():
        raise problem(f"{name!r} is the name of another strategy: choose a different name", "name")
    own = {key: entry[key] for key in ("loss", "hidden_positives") if key in entry}
    return {"strategy": strategy, "name": name, **own, **options}


def _all_options(
    plugin: str, allowed: Mapping[str, plugins.Option], given: Mapping[str, object]
) -> dict[str, object]:
    """The options of a strategy or a loss, those given and the defaults of the others."""
    options = {option: default for option, (_, default) in allowed.items()}
    for option, setting in given.items():
        if option not in options:
            what = f"an option of {plugin}"
            if not options:
                raise problem(f"{option!r} is not {what}: it has none", option)
            raise problem(no_such(option, what, options), option)
        options[option] = _checked_option(setting, allowed[option][0], option)
    return options


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
