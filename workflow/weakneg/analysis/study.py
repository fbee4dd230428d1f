"""A study as its results are analysed and shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from weakneg.analysis.intervals import MEAN_OVER_CLASSES

if TYPE_CHECKING:
    from weakneg.datasets import DataKind


class Reference(NamedTuple):
    """Published numbers.

    source : for people
    values : strategy -> class -> metric -> value, None where it is not published
    """

    source: str
    values: Mapping[str, Mapping[str, Mapping[str, float | None]]]


@dataclass(frozen=True)
class Study:
    """A study as its results are analysed and shown; names are in the study's order.

    Attributes
    ----------
    name, title : str
        Name of the study in files, and what people read.
    classes, strategies : list of str
        What the tables and figures are of. Another selection of them is another study:
        `dataclasses.replace`.
    runs : mapping
        Strategy -> name of its run. Strategies of one run always choose the same bags.
    kind : {"images", "clips", "spectrograms"}
        What the data set consists of. Images are put into bags, each clip is a bag.
    baseline : str
        The strategy that the others are compared with.
    upper_bound : str, optional
        The strategy that is shown but competes with none, because it has no budget.
    reference : Reference, optional
        Published numbers to show beside the study's.
    note : str
        Stands under the tables and figures, or "".
    display_names : mapping
        Strategy -> what people read. A strategy that is not there is called by its name.
    looks : mapping
        Strategy -> its "colour", "marker" and "dashes" in figures, where its file says them.
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

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Study":
        """The study of `weakneg.config.stages.ReportSettings`, as a mapping."""
        reference = settings.get("reference")
        return cls(**{**settings, "reference": reference and Reference(**reference)})

    @property
    def of_clips(self) -> bool:
        """Whether a bag is a whole clip, and so the same bag for every class."""
        return self.kind != "images"

    @cached_property
    def distinct(self) -> dict[str, list[str]]:
        """One strategy for each run -> all strategies of that run.

        The baseline and the upper bound stand for their runs, and otherwise the first strategy
        does.
        """
        runs: dict[str, list[str]] = {}
        for strategy in self.strategies:
            runs.setdefault(self.runs[strategy], []).append(strategy)
        special = {self.baseline, self.upper_bound}
        return {next((s for s in run if s in special), run[0]): run for run in runs.values()}

    @cached_property
    def competitors(self) -> list[str]:
        """The distinct strategies but the upper bound."""
        return [strategy for strategy in self.distinct if strategy != self.upper_bound]

    def display_name(self, strategy: str) -> str:
        """What people read for a strategy: "KL (embedding)"."""
        return self.display_names.get(strategy, strategy)

    def joint_name(self, strategy: str) -> str:
        """The names of a strategy and of those that share its run: "Margin = Entropy"."""
        return " = ".join(map(self.display_name, self.distinct[strategy]))

    def reference_value(self, strategy: str, class_name: str, metric: str) -> float | None:
        """The published value beside which the study's stands, or None.

        The mean over classes has one only where each class of the study has one.
        """
        by_class = self.reference.values.get(strategy, {}) if self.reference else {}
        if class_name != MEAN_OVER_CLASSES:
            return by_class.get(class_name, {}).get(metric)
        found = [by_class.get(each, {}).get(metric) for each in self.classes]
        values = [value for value in found if value is not None]
        return sum(values) / len(values) if len(values) == len(found) else None
