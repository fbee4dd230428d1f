"""The strategies, losses and synthetic positives of a study, with their options."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)

from weakneg import losses, plugins, strategies
from weakneg.config.messages import no_such, problem, said
from weakneg.config.values import NAME, Section, as_list
from weakneg.errors import UserError


@dataclass(frozen=True)
class _Kind:
    """A kind of plugin that a study chooses, with options.

    Attributes
    ----------
    key : str
        The key that names the plugin where options are given.
    what : str
        What it is, for messages.
    module : module
        Its package, with `names` and `options`.
    """

    key: str
    what: str
    module: Any


_STRATEGY = _Kind("strategy", "strategy", strategies)
_LOSS = _Kind("name", "loss", losses)
_LOSS_OF_METHOD = _Kind("loss", "loss", losses)


OR_OWN = "or the path of your own .py file, relative to the study's file"


class LossChoice(BaseModel):
    """A loss and its options."""

    # model_extra holds all options, given or default.
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description=f"Loss: a file in workflow/weakneg/losses, {OR_OWN}.")


def _loss_choice(value: object) -> object:
    """Validator: a name, or a name with options, becomes the fields of a `LossChoice`."""
    return value if isinstance(value, LossChoice) else _checked_choice(value, _LOSS)


Loss = Annotated[LossChoice, BeforeValidator(_loss_choice, str | LossChoice)]
HiddenShare = Annotated[float, Field(ge=0, lt=1)]


class _SyntheticBags(Section):
    share: float = Field(
        1.0,
        gt=0,
        description="Synthetic positive bags of an epoch, per positive bag. They are made anew in "
        "every epoch, and trained on besides the others.",
    )


class Mixup(_SyntheticBags):
    """A positive bag mixed with another positive bag."""

    method: Literal["mixup"] = "mixup"
    alpha: float = Field(
        1.0,
        gt=0,
        description="The share of a bag in the mixture is drawn from Beta(alpha, alpha); large "
        "values keep it close to one half.",
    )


class Smote(_SyntheticBags):
    """A point between a positive bag of feature vectors and one of its nearest neighbours."""

    method: Literal["smote"] = "smote"
    neighbours: int = Field(
        5, ge=1, description="Nearest positive bags of which one is drawn, or all that there are."
    )


_SYNTHETIC: dict[object, type[Mixup | Smote]] = {"mixup": Mixup, "smote": Smote}


def _synthetic(value: object) -> object:
    """Validator: a method, or a mapping with its options, becomes their settings."""
    if value is None or isinstance(value, Mixup | Smote):
        return value
    given = {"method": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or "method" not in given:
        raise problem(f"must be a method's name or {{method: ..., options}}, not {value!r}")
    at = () if isinstance(value, str) else ("method",)
    method = given["method"]
    if not isinstance(method, str) or method not in _SYNTHETIC:
        raise problem(no_such(method, "a method", _SYNTHETIC), *at)
    for key in given:
        if key not in _SYNTHETIC[method].model_fields:
            options = _SYNTHETIC[method].model_fields.keys() - {"method"}
            raise problem(no_such(key, f"an option of {method}", sorted(options)), key)
    try:
        return _SYNTHETIC[method].model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise problem(said(first), *first["loc"]) from None


SyntheticPositives = Annotated[Mixup | Smote, BeforeValidator(_synthetic, str | Mixup | Smote)]


class Observed(Section):
    """What is known of the labels of training bags; nothing given: all of them."""

    positives: int | None = Field(
        None,
        ge=1,
        description="Of each bag, so many of its positive labels, drawn by the seed, and nothing "
        "else; all of them where there are fewer.",
    )
    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="This share of all labels, positive and negative, drawn by the seed.",
    )

    @property
    def name(self) -> str:
        """Name in results."""
        if self.positives is not None:
            return "one_positive" if self.positives == 1 else f"{self.positives}_positives"
        return "all" if self.share is None else f"share_{_in_name(100 * self.share)}"


_OBSERVED = {"all": {}, "one_positive": {"positives": 1}}


def _observed(value: object) -> object:
    """Validator: a name becomes a mapping."""
    if isinstance(value, Observed):
        return value
    if isinstance(value, str) and value in _OBSERVED:
        return _OBSERVED[value]
    if not isinstance(value, Mapping) or len(value) != 1:
        allowed = "all, one_positive, {positives: n} or {share: p}"
        raise problem(f"must be {allowed}, not {value!r}")
    return value


ObservedLabels = Annotated[
    Observed,
    BeforeValidator(_observed, Literal["all", "one_positive"] | dict[str, int | float]),
]


class Method(Section):
    """A way to train on labels that are partly unknown: a loss, under its name in results."""

    name: str = Field(
        "", description="Name in results; required with options, by default that of the loss."
    )
    loss: Loss
    observed: ObservedLabels | None = Field(
        None, description="Which labels this method sees; null: those that the study says."
    )


def _method(value: object) -> object:
    """Validator: an entry of a study's list becomes the fields of a `Method`."""
    if isinstance(value, Method):
        return value
    entry = {"loss": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "loss" not in entry:
        raise problem(f"must be a loss's name or {{name: ..., loss: ..., options}}, not {value!r}")
    own = {key: entry[key] for key in ("name", "observed") if key in entry}
    given = {key: setting for key, setting in entry.items() if key not in own}
    options = _checked_choice(value if isinstance(value, str) else given, _LOSS_OF_METHOD)
    loss = options.pop("loss")
    name = entry.get("name", plugins.stem(loss))
    if len(given) + len(own) > 1 and "name" not in entry:
        example = "_".join(_words(given | own))
        raise problem(f"a method with options needs a name, such as 'name: {example}'")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    return {**own, "name": name, "loss": {"name": loss, **options}}


Methods = Annotated[
    list[Annotated[Method, BeforeValidator(_method, str | Method)]],
    Field(min_length=1),
    BeforeValidator(as_list, str | list[str | Method]),
]


class StrategyChoice(BaseModel):
    """A strategy with its options, under its name in results."""

    model_config = ConfigDict(extra="allow", frozen=True)

    strategy: str = Field(description=f"Strategy: a file in workflow/weakneg/strategies, {OR_OWN}.")
    name: str = Field(
        "",
        description="Name in results; required with options, by default that of the strategy's "
        "file.",
    )
    loss: Loss | None = Field(
        None, description="Loss of this entry; null: that of the study's training."
    )
    positives: SyntheticPositives | None = Field(
        None,
        description="Synthetic positive bags of this entry; null: those of the study's training.",
    )
    _entry: str = PrivateAttr("")
    _hidden_positives: float = PrivateAttr(0.0)
    _budget: float | None = PrivateAttr(None)
    _observed: Observed | None = PrivateAttr(None)
    _loss_is_its_own: bool = PrivateAttr(False)

    @property
    def hidden_positives(self) -> float:
        """Share of the positive training bags that are labelled negative."""
        return self._hidden_positives

    @property
    def curve(self) -> str:
        """The name, without the budget in a study of budgets, where each strategy is a curve."""
        return self.name if self.budget is None else self.entry

    @property
    def ignores_budget(self) -> bool:
        """Whether it trains on the whole pool, or, together with another, on most of it."""
        return strategies.ignores_budget(self.strategy, self.options)

    @property
    def is_full_set(self) -> bool:
        """Whether it trains on the whole pool."""
        return self.ignores_budget and len(strategies.composition(self.strategy, self.options)) == 1

    @property
    def training(self) -> str | None:
        """What this entry changes in the training, as text; None: nothing."""
        changed = [each.model_dump() for each in (self.loss, self.positives) if each is not None]
        return json.dumps(changed) if changed else None

    @property
    def budget(self) -> float | None:
        """Negatives per positive, in a study of budgets; None: those of the study."""
        return self._budget

    @property
    def observed(self) -> Observed | None:
        """Which labels it sees, in a study of many classes; None in others."""
        return self._observed

    @classmethod
    def of_method(cls, method: Method, observed: Observed, name: str) -> "StrategyChoice":
        """The full set with the loss of a method, under a name of its own."""
        found = cls(strategy="full", name=name, loss=method.loss)
        found._entry = method.name
        found._observed = observed
        return found

    @property
    def shown_as(self) -> str:
        """The name that says how bags are chosen, and not with which loss."""
        options = strategies.options(self.strategy).items()
        if self._loss_is_its_own and self.options == {key: each.default for key, each in options}:
            return plugins.stem(self.strategy)
        return self.entry

    @property
    def entry(self) -> str:
        """Name of the entry of the study, without other loss, share hidden and budget."""
        return self._entry or self.name

    @property
    def options(self) -> dict[str, Any]:
        """All options of the strategy, given or default.

        One that is another strategy is a mapping: the key "strategy", and all of its options.
        """
        return dict(self.model_extra or {})

    def crossed(
        self, loss: LossChoice | None, hidden_positives: float, budget: float | None
    ) -> "StrategyChoice":
        """The same with another loss, share of hidden positives and budget, under its own name."""
        name = self.name
        if loss is not None:
            name += f"_{plugins.stem(loss.name)}"
        if hidden_positives:
            name += f"_hidden_{_in_name(100 * hidden_positives)}"
        if budget is not None:
            name += f"_budget_{_in_name(budget)}"
        other = self.model_copy(update={"name": name, "loss": loss or self.loss})
        other._entry = self.name
        other._hidden_positives = hidden_positives
        other._budget = budget
        other._loss_is_its_own = self.loss is not None
        return other


def _in_name(number: float) -> str:
    """A number as a part of a name: 12_5 for 12.5."""
    return f"{number:.6f}".rstrip("0").rstrip(".").replace(".", "_")


def _strategy_choice(value: object) -> object:
    """Validator: an entry of a study's list becomes the fields of a `StrategyChoice`."""
    if isinstance(value, StrategyChoice):
        return value
    entry = {"strategy": value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or "strategy" not in entry:
        raise problem(
            f"must be a strategy's name or {{name: ..., strategy: ..., options}}, not {value!r}"
        )
    own = {key: entry[key] for key in ("loss", "positives") if key in entry}
    given = {key: setting for key, setting in entry.items() if key not in ("name", *own)}
    checked = _checked_choice(value if isinstance(value, str) else given, _STRATEGY)
    strategy = plugins.stem(checked["strategy"])
    name = entry.get("name", strategy)
    if len(given) + len(own) > 1 and "name" not in entry:
        example = "_".join(_words(given | own))
        raise problem(f"a strategy with options needs a name, such as 'name: {example}'")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise problem(f"must consist of a-z, 0-9 and _, not {name!r}", "name")
    if name != strategy and name in strategies.names():
        raise problem(f"{name!r} is the name of another strategy: choose a different name", "name")
    return {**checked, **own, "name": name}


def _checked_choice(value: object, kind: _Kind, *at: str) -> dict[str, Any]:
    """Check a plugin, by its name or a mapping with options, and fill in those not given."""
    entry = {kind.key: value} if isinstance(value, str) else value
    if not isinstance(entry, Mapping) or kind.key not in entry:
        raise problem(
            f"must be a {kind.what}'s name or {{{kind.key}: ..., options}}, not {value!r}", *at
        )
    name, known = entry[kind.key], kind.module.names()
    where = at if isinstance(value, str) else (*at, kind.key)
    if not plugins.is_own(name) and name not in known:
        raise problem(no_such(name, f"a {kind.what}", known), *where)
    if not NAME.fullmatch(plugins.stem(name)):
        raise problem(f"the name of {name} must consist of a-z, 0-9 and _", *where)
    try:
        found: dict[str, plugins.Option] = kind.module.options(name)
    except UserError as error:
        raise problem(str(error), *where) from None
    for option in entry:
        if option != kind.key and option not in found:
            what = f"an option of {name}"
            if not found:
                raise problem(f"{option!r} is not {what}: it has none", *at, option)
            raise problem(no_such(option, what, found), *at, option)
    return {
        kind.key: name,
        **{
            option: _checked_option(entry.get(option, default), allowed, *at, option)
            for option, (allowed, default) in found.items()
        },
    }


def _checked_option(
    value: object, allowed: tuple[object, ...] | type | plugins.Interval, *at: str
) -> object:
    if allowed in (strategies.Select, strategies.Ranking):
        chosen = _checked_choice(value, _STRATEGY, *at)
        if allowed is strategies.Ranking and not strategies.ranks(chosen["strategy"]):
            ranking = ", ".join(filter(strategies.ranks, strategies.names()))
            name = chosen["strategy"]
            raise problem(f"{name} does not rank bags by a score: choose one of {ranking}", *at)
        return chosen
    if isinstance(allowed, tuple):
        if type(value) not in {type(item) for item in allowed} or value not in allowed:
            raise problem(no_such(value, "a choice", allowed), *at)
        return value
    kind = allowed if isinstance(allowed, type) else allowed.kind
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise problem(f"must be of type {kind.__name__}, not {value!r}", *at)
    if isinstance(allowed, plugins.Interval) and value not in allowed:
        raise problem(f"must be {allowed}, not {value!r}", *at)
    return value


def _words(entry: Mapping[str, Any]) -> list[str]:
    """Words for the name of a strategy with options: those that were given."""
    found: list[str] = []
    for setting in entry.values():
        one = re.sub("[^a-z0-9]+", "_", plugins.stem(str(setting)).lower()).strip("_")
        found += _words(setting) if isinstance(setting, Mapping) else [one]
    return found


Strategies = Annotated[
    list[Annotated[StrategyChoice, BeforeValidator(_strategy_choice, str | StrategyChoice)]],
    Field(min_length=1),
    BeforeValidator(as_list, str | list[str | StrategyChoice]),
]
