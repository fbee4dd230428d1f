"""A study as it is analysed and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from weakneg.analysis.intervals import MEAN_OVER_CLASSES

if TYPE_CHECKING:
    from weakneg.datasets import DataKind


class Reference(NamedTuple):
    """Published values.

    Attributes
    ----------
    source : str
        Where they were published, as shown in tables and figures.
    values : mapping
        Strategy -> class -> metric -> value, or None if it was not published.
    """

    source: str
    values: Mapping[str, Mapping[str, Mapping[str, float | None]]]


class Place(NamedTuple):
    """A place in the grid of a study that hides positive bags.

    Attributes
    ----------
    strategy, loss : str
        Names in tables and figures.
    share : float
        Share of the positive training bags that are labelled negative.
    """

    strategy: str
    loss: str
    share: float


class Way(NamedTuple):
    """A place in the grid of methods and observed labels, in a study of many classes.

    Attributes
    ----------
    method : str
        Its name in tables and figures.
    observed : str
        Which labels it sees, in words: "all", "1 positive", "10%".
    """

    method: str
    observed: str


@dataclass(frozen=True)
class Study:
    """A study as it is analysed and reported. All names are in the study's order.

    Attributes
    ----------
    name, title : str
        Name of the study in file names, and its title in tables and figures.
    classes, strategies : list of str
        The classes and strategies reported. To report others, make another study with
        `dataclasses.replace`.
    runs : mapping
        Strategy -> name of its run. Strategies that share a run always choose the same bags.
    kind : {"images", "clips", "spectrograms"}
        The data. Images are put into bags; each clip is a bag.
    baseline : str
        The strategy that the others are compared with.
    upper_bound : str, optional
        The strategy that is shown but does not compete, because it has no budget, or sees labels
        that others do not.
    reference : Reference, optional
        Published values, shown next to those of the study.
    note : str
        Footnote of the tables and figures, or "".
    display_names : mapping
        Strategy -> its name in tables and figures, if that differs from the name of its file.
    looks : mapping
        Strategy -> its "colour", "marker" and "dashes" in figures, if its file defines them.
    hidden : mapping
        Only where positives are hidden: strategy -> its place in the grid.
    budgets : mapping
        Only in a study of budgets: strategy -> its negatives per positive, or None for the whole
        pool. Its name in tables and figures is the same for all budgets.
    methods : mapping
        Only in a study of many classes: strategy -> its method, and the labels that it sees.
    """

    name: str
    title: str
    classes: list[str]
    strategies: list[str]
    runs: Mapping[str, str]
    kind: "DataKind"
    baseline: str
    upper_bound: str | None = None
    reference: Reference | None = None
    note: str = ""
    display_names: Mapping[str, str] = field(default_factory=dict)
    looks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hidden: Mapping[str, Place] = field(default_factory=dict)
    budgets: Mapping[str, float | None] = field(default_factory=dict)
    methods: Mapping[str, Way] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Study":
        """The study of a `weakneg.config.report.ReportSettings`, given as a mapping."""
        reference = settings.get("reference")
        made = {
            "reference": reference and Reference(**reference),
            "hidden": {name: Place(*each) for name, each in settings.get("hidden", {}).items()},
            "methods": {name: Way(*each) for name, each in settings.get("methods", {}).items()},
        }
        return cls(**{**settings, **made})

    @property
    def of_clips(self) -> bool:
        """Whether each bag is a clip, so that all classes share the bags."""
        return self.kind != "images"

    @cached_property
    def distinct(self) -> dict[str, list[str]]:
        """One strategy for each run -> all strategies that share it.

        A run is represented by the baseline or the upper bound if they share it, otherwise by its
        first strategy.
        """
        runs: dict[str, list[str]] = {}
        for strategy in self.strategies:
            runs.setdefault(self.runs[strategy], []).append(strategy)
        special = {self.baseline, self.upper_bound}
        return {next((s for s in run if s in special), run[0]): run for run in runs.values()}

    @cached_property
    def competitors(self) -> list[str]:
        """The distinct strategies except the upper bound."""
        return [strategy for strategy in self.distinct if strategy != self.upper_bound]

    @property
    def full_method(self) -> str | None:
        """The method that sees all labels where others do not, in a study of many classes."""
        way = self.methods.get(self.upper_bound or "")
        return way and way.method

    def display_name(self, strategy: str) -> str:
        """The name of a strategy in tables and figures, such as "KL (embedding)"."""
        return self.display_names.get(strategy, strategy)

    def joint_name(self, strategy: str) -> str:
        """The names of a strategy and those that share its run, such as "Margin = Entropy"."""
        return " = ".join(map(self.display_name, self.distinct[strategy]))

    def reference_value(self, strategy: str, class_name: str, metric: str) -> float | None:
        """The published value of a metric, or None.

        There is one for the mean over classes only if every class of the study has one.
        """
        by_class = self.reference.values.get(strategy, {}) if self.reference else {}
        if class_name != MEAN_OVER_CLASSES:
            return by_class.get(class_name, {}).get(metric)
        found = [by_class.get(each, {}).get(metric) for each in self.classes]
        values = [value for value in found if value is not None]
        return sum(values) / len(values) if len(values) == len(found) else None
