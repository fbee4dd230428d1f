"""What the stages of the report read of a study."""

from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from weakneg import losses, plugins, strategies
from weakneg.config.load import load_study
from weakneg.config.stages import canonical
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
    upper_bound: str | None  # the strategy without a budget
    display_names: dict[str, str]  # strategy -> its name in tables and figures
    # Where positives are hidden: strategy -> the names of its strategy and loss, and the share.
    hidden: dict[str, list[str | float]] = Field({}, exclude_if=partial(eq, {}))
    # In a study of budgets: strategy -> its negatives per positive; None: the whole pool.
    budgets: dict[str, float | None] = Field({}, exclude_if=partial(eq, {}))

    @classmethod
    def of(cls, study: "Study") -> Self:
        """Take the settings from a study."""
        # One that leaves bags out before it takes all others competes.
        unbounded = [c.name for c in study.strategies if strategies.ignores_budget(c.strategy)]
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
            upper_bound=next(iter(unbounded), None),
            display_names={
                choice.name: strategies.display_name(choice.strategy, choice.curve, choice.options)
                for choice in study.strategies
            },
            hidden=_hidden(study) if study.subject == "hidden" else {},
            budgets={choice.name: choice.budget for choice in study.strategies}
            if study.subject == "budget"
            else {},
        )

    def text(self) -> str:
        """The settings as JSON, for the command line."""
        return canonical(self.model_dump())


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
