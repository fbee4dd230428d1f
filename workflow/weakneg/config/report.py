"""What the stages of the report read of a study."""

from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from weakneg import losses, plugins, strategies
from weakneg.config.load import load_study
from weakneg.config.stages import canonical
from weakneg.config.strategy import Observed, StrategyChoice
from weakneg.config.values import Section
from weakneg.datasets import DataKind

if TYPE_CHECKING:
    from weakneg.config.study import Study


class ReportSettings(Section):
    """Settings of the stages of the report, which make a `weakneg.analysis.study.Study` of it."""

    name: str
    title: str
    classes: list[str]
    strategies: list[str]
    runs: dict[str, str]  # strategy -> name of its run
    kind: DataKind
    baseline: str
    reference: dict[str, Any] | None
    note: str
    upper_bound: str | None  # the strategy without a budget, or the method that sees all labels
    display_names: dict[str, str]  # strategy -> its name in tables and figures
    # Where positives are hidden: strategy -> the names of its strategy and loss, and the share.
    hidden: dict[str, list[str | float]] = Field({}, exclude_if=partial(eq, {}))
    # In a study of budgets: strategy -> its negatives per positive; None: the whole pool.
    budgets: dict[str, float | None] = Field({}, exclude_if=partial(eq, {}))
    # Of many classes: strategy -> the name of its method, and of the labels that it sees.
    methods: dict[str, list[str]] = Field({}, exclude_if=partial(eq, {}))

    @classmethod
    def of(cls, study: "Study") -> Self:
        """Take the settings from a study."""
        methods = _ways(study) if study.subject == "partial" else {}
        return cls(
            name=study.name,
            title=study.title,
            classes=study.classes,
            strategies=study.strategy_names,
            runs=study.runs,
            kind=study.kind,
            baseline=study.baseline,
            reference=study.reference.model_dump() if study.reference else None,
            note=study.note,
            upper_bound=_upper_bound(study),
            display_names=_names_of_ways(methods)
            or {
                choice.name: strategies.display_name(choice.strategy, choice.curve, choice.options)
                for choice in study.strategies
            },
            hidden=_hidden(study) if study.subject == "hidden" else {},
            budgets={choice.name: choice.budget for choice in study.strategies}
            if study.subject == "budget"
            else {},
            methods=methods,
        )

    def text(self) -> str:
        """The settings as JSON, for the command line."""
        return canonical(self.model_dump())


def _upper_bound(study: "Study") -> str | None:
    """What is shown but does not compete."""
    if study.subject == "partial":
        everything = [
            choices[0].name
            for choices in _methods(study).values()
            if all(choice.observed == Observed() for choice in choices)
        ]
        seen_less = any(choice.observed != Observed() for choice in study.strategies)
        return everything[0] if everything and seen_less else None
    # One that leaves bags out before it takes all others competes.
    unbounded = (c.name for c in study.strategies if strategies.ignores_budget(c.strategy))
    return next(unbounded, None)


def _hidden(study: "Study") -> dict[str, list[str | float]]:
    """The place of each entry in the grid of strategies, losses and hidden shares."""
    found: dict[str, list[str | float]] = {}
    entries: dict[tuple[str, str], str] = {}
    for choice in study.strategies:
        loss = (choice.loss or study.training.loss).name
        strategy = strategies.display_name(choice.strategy, choice.shown_as, choice.options)
        # Two entries may differ in the options of a loss only.
        if entries.setdefault((strategy, loss), choice.entry) != choice.entry:
            strategy = choice.entry
        shown = losses.display_name(loss, plugins.stem(loss))
        found[choice.name] = [strategy, shown, choice.hidden_positives]
    return found


def _ways(study: "Study") -> dict[str, list[str]]:
    """The method of each entry, and what it sees of the labels."""
    found = {}
    for entry, choices in _methods(study).items():
        loss = (choices[0].loss or study.training.loss).name
        shown = losses.display_name(loss, entry)
        if entry == loss == "bce" and any(choice.observed != Observed() for choice in choices):
            shown = NAIVE
        if shown == entry:
            words = entry.replace("_", " ")
            shown = words[0].upper() + words[1:]
        for choice in choices:
            found[choice.name] = [shown, _seen(choice.observed or Observed())]
    return found


NAIVE = "Naive AN"
"""The cross-entropy where labels that are not observed are assumed to be negative."""


def _methods(study: "Study") -> dict[str, list[StrategyChoice]]:
    """The entries of each method, which are one for each of the labels that it is run with."""
    found: dict[str, list[StrategyChoice]] = {}
    for choice in study.strategies:
        found.setdefault(choice.entry, []).append(choice)
    return found


def _seen(observed: Observed) -> str:
    """What is observed, in tables and figures: "all", "1 positive", "10%"."""
    if observed.positives is not None:
        return f"{observed.positives} positive{'' if observed.positives == 1 else 's'}"
    return "all" if observed.share is None else f"{100 * observed.share:g}%"


def _names_of_ways(ways: dict[str, list[str]]) -> dict[str, str]:
    """The name of each method, with the labels that it sees if it is run with several."""
    shown = [method for method, _ in ways.values()]
    return {
        name: f"{method}, {seen}" if shown.count(method) > 1 else method
        for name, (method, seen) in ways.items()
    }


class FigureSettings(ReportSettings):
    """Settings of the stages that draw figures: those of the report, and looks of strategies."""

    # strategy -> colour, marker and dashes, where its file says them
    looks: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def of(cls, study: "Study") -> Self:
        """Take the settings from a study."""
        looks = {
            choice.name: look
            for choice in study.strategies
            # A variant must not look like the strategy itself.
            if choice.curve == plugins.stem(choice.strategy)
            and (look := strategies.look(choice.strategy))
        }
        return super().of(study).model_copy(update={"looks": looks})


class PageSettings(FigureSettings):
    """Settings of the stage that writes the page of a study."""

    description: str
    configuration: dict[str, Any]  # dotted key -> value
    paper: dict[str, Any]  # the same of the study that is closest to the paper's
    paper_study: str  # its name

    @classmethod
    def of(cls, study: "Study") -> Self:
        """Take the settings from a study."""
        paper = load_study("cifar10" if study.kind == "images" else "audioset")
        return cls(
            **FigureSettings.of(study).model_dump(),
            description=study.description,
            configuration=_flat(study.model_dump(mode="json", exclude=_SHOWN)),
            paper=_flat(paper.model_dump(mode="json", exclude=_SHOWN)),
            paper_study=paper.name,
        )


# Keys that the page shows elsewhere, or that change no result.
_SHOWN = {"extends", "title", "description", "note", "reference", "classes", "strategies", "seeds"}


def _flat(values: object, key: str = "") -> dict[str, Any]:
    """The values of nested mappings by dotted keys."""
    if not isinstance(values, dict) or not values:
        return {key: values}
    return {
        inner: value
        for name, each in values.items()
        for inner, value in _flat(each, f"{key}.{name}" if key else name).items()
    }
