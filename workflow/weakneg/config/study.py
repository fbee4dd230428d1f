"""A study: one experiment grid."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr, model_validator

from weakneg import strategies
from weakneg.config.checks import CHECKS
from weakneg.config.classes import Top, class_slug, wanted_classes
from weakneg.config.messages import no_such
from weakneg.config.sections import (
    AudioSettings,
    AugmentationSettings,
    BagSettings,
    DatasetSettings,
    ModelSettings,
    Reference,
    SamplingSettings,
    TrainingSettings,
)
from weakneg.config.source import SHARD_SIZE, DownloadSource, Source, checked_source
from weakneg.config.strategy import Strategies, StrategyChoice
from weakneg.config.values import Section, Seeds
from weakneg.datasets import DataKind, OwnDataset
from weakneg.errors import UserError


class Study(Section):
    """One experiment grid: a data set, a model, classes x strategies x seeds."""

    extends: str | None = Field(
        None,
        description="Study that this one starts from: a name of workflow/studies, or a path "
        "relative to this file. Mappings are merged key by key, anything else is replaced; title, "
        "description and note are not inherited.",
    )
    title: str = Field(min_length=1, description="Heading of the tables and figures.")
    description: str = Field("", description="What the study is for, in a sentence or two.")
    note: str = Field("", description="Shown under the tables, for what a reader must know.")
    dataset: DatasetSettings
    bags: BagSettings | None = Field(
        None,
        description="How images are put into bags; a clip is a bag of its own.",
    )
    audio: AudioSettings | None = Field(
        None,
        description="How sound becomes spectrograms; only of data sets of sound.",
    )
    source: Annotated[Source | None, BeforeValidator(checked_source)] = Field(
        None,
        description="Where sound comes from: `type` is a file of workflow/weakneg/audio/acquire. "
        "A data set that brings its sound has no other source than its folder.",
    )
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings | None = Field(
        None, description="How spectrograms are changed in training; null: not at all."
    )
    sampling: SamplingSettings = SamplingSettings()
    # What the list asks for until it is checked, then names.
    classes: Annotated[
        list[str],
        PlainValidator(wanted_classes, Literal["all"] | Top | str | int | list[str | int]),
    ] = Field(
        "all",
        validate_default=True,
        description="'all', {top: n} (those with the most clips in the training list), "
        "or a list of the data set's classes by name, number or, in AudioSet, machine identifier: "
        "each in turn is the positive class.",
    )
    strategies: Strategies = Field(
        description="Ways to choose negative bags: names, or {name, strategy, options} where an "
        "option differs from its default."
    )
    seeds: Seeds = Field(
        5,
        validate_default=True,
        description="A number n (seeds 0 to n-1), or a list of distinct seeds.",
    )
    baseline: str = Field(
        "random",
        description="Name of the strategy that the others are compared with.",
    )
    reference: Reference | None = Field(None, description="Published numbers to show beside ours.")

    _name: str = PrivateAttr("")

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for check in CHECKS:
            self.__dict__.update(check(self))  # frozen for everybody else
        return self

    @property
    def name(self) -> str:
        """Name of the study: that of its file."""
        return self._name

    @property
    def strategy_names(self) -> list[str]:
        """Names of the strategies in results, in the order of the study."""
        return [choice.name for choice in self.strategies]

    def strategy(self, name: str) -> StrategyChoice:
        """The strategy and its options behind a name in results, or behind that of a shared run.

        Raises UserError for any other name.
        """
        choices = {choice.name: choice for choice in self.strategies}
        for run in self.runs.values():
            choices.setdefault(run, StrategyChoice(strategy=run, name=run))
        if name not in choices:
            raise UserError(no_such(name, f"a strategy of the study {self.name}", choices))
        return choices[name]

    @property
    def runs(self) -> dict[str, str]:
        """Name of a strategy -> name of its run, in the order of the study.

        Strategies that always choose the same bags share a run: those of which one says so (see
        `strategies.same_choice_as`), and one strategy under two names with the same options.
        """
        first: dict[tuple[object, ...], str] = {}
        found: dict[str, str] = {}
        for choice in self.strategies:
            same = strategies.same_choice_as(choice.strategy)
            chooses_by = (same or choice.strategy, *sorted(choice.options.items()))
            found[choice.name] = first.setdefault(chooses_by, same or choice.name)
        return found

    @property
    def class_slugs(self) -> dict[str, str]:
        """Folder name -> class name, in the order of the study."""
        return {class_slug(name): name for name in self.classes}

    def class_of(self, slug: str) -> str:
        """The class behind the name of a folder. Raises UserError when the study lacks it."""
        if slug not in self.class_slugs:
            raise UserError(no_such(slug, f"a class of the study {self.name}", self.class_slugs))
        return self.class_slugs[slug]

    @property
    def kind(self) -> DataKind:
        """What the data set consists of. Images are put into bags, each clip is a bag."""
        return self.dataset.definition.kind

    @property
    def draw_per_seed(self) -> bool:
        """Whether each seed draws bags of its own."""
        return self.bags is not None and self.bags.draw_per_seed

    @property
    def downloads(self) -> bool:
        """Whether the sound is downloaded."""
        return isinstance(self.source, DownloadSource)

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Recordings of each split, of a data set of sound."""
        data = self.dataset.definition
        assert data.split_sizes is not None
        if isinstance(data, OwnDataset):
            return data.split_sizes(*self.dataset.own_list)
        return data.split_sizes

    @property
    def shards(self) -> dict[str, list[str]]:
        """Names of the shards of each split, of a data set of sound: "000", "001", ..."""
        return {
            split: [f"{number:03}" for number in range(math.ceil(size / SHARD_SIZE))]
            for split, size in self.split_sizes.items()
        }
