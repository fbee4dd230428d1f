"""A study: one experiment grid."""

import math
from collections.abc import Mapping
from functools import partial
from operator import eq, is_
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, PrivateAttr

from weakneg import strategies
from weakneg.bags.split import n_chosen, n_validation
from weakneg.config.classes import Top, class_slug, wanted_classes
from weakneg.config.corrections import Corrected, corrected
from weakneg.config.encoder import EncoderSettings
from weakneg.config.messages import no_such
from weakneg.config.sections import (
    AudioSettings,
    BagSettings,
    DatasetSettings,
    ModelSettings,
    Reference,
)
from weakneg.config.source import SHARD_SIZE, DownloadSource, Source, checked_source
from weakneg.config.strategy import (
    OR_OWN,
    HiddenShare,
    Loss,
    Methods,
    ObservedLabels,
    Strategies,
    StrategyChoice,
)
from weakneg.config.training import AugmentationSettings, SamplingSettings, TrainingSettings
from weakneg.config.truth import TruthSettings
from weakneg.config.values import Names, Section, Seeds, as_list
from weakneg.datasets import DataKind, Dataset, OwnDataset
from weakneg.errors import UserError

ALL_CLASSES = "all classes"
"""In place of a class, where one model has an output for each of them."""


def _as_list(value: object) -> object:
    """Validator: one value becomes a list."""
    return [value] if isinstance(value, str | Mapping) else value


class Study(Section):
    """One experiment grid: a data set, a model, and classes x strategies x seeds.

    Where the task is multilabel, it is methods x seeds: each method is a strategy that takes all
    bags, with a loss of its own.
    """

    extends: str | None = Field(
        None,
        description="Study that this one extends: a name in workflow/studies, or a path relative "
        "to this file. Mappings are merged key by key, other values are replaced; title, "
        "description and note are not inherited.",
    )
    title: str = Field(min_length=1, description="Heading of the tables and figures.")
    description: str = Field("", description="Purpose of the study, in a sentence or two.")
    note: str = Field("", description="Text under the tables, for what a reader must know.")
    task: Literal["binary", "multilabel"] = Field(
        "binary",
        exclude_if=partial(eq, "binary"),
        description="binary: a classifier of each class, trained on its positive bags and on "
        "negative ones that a strategy chooses. multilabel: one classifier of all classes, trained "
        "on all bags, where part of the labels may be unknown.",
    )
    dataset: DatasetSettings
    bags: BagSettings | None = Field(
        None,
        description="How images are put into bags; a clip is always one bag.",
    )
    audio: AudioSettings | None = Field(
        None,
        description="How sound becomes spectrograms; only for audio data sets.",
    )
    encoder: EncoderSettings | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="A foundation model of sound: its embeddings take the place of spectrograms, "
        "and `model` is one for clips, such as mlp.",
    )
    source: Annotated[Source | None, BeforeValidator(checked_source)] = Field(
        None,
        description="Where the sound comes from; `type` is a file in "
        "workflow/weakneg/audio/acquire. A data set that includes its sound needs no source.",
    )
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings | None = Field(
        None, description="How spectrograms are augmented in training; null: not at all."
    )
    sampling: SamplingSettings = SamplingSettings()
    # As given until the study is checked, then names.
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
    # Those of a study of many classes are made of its methods.
    strategies: Strategies = Field(
        [],
        description=f"Ways to choose negative bags: names, {OR_OWN}; or "
        "{name, strategy, options} for options that differ from their defaults.",
    )
    methods: Methods | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="In place of strategies where the task is multilabel: losses, by their name, "
        f"{OR_OWN}; or {{name, loss, options}}. `observed` among these is what this method sees.",
    )
    observed: (
        Annotated[
            list[ObservedLabels],
            Field(min_length=1),
            BeforeValidator(_as_list, str | dict[str, int | float] | list[ObservedLabels]),
        ]
        | None
    ) = Field(
        None,
        exclude_if=partial(is_, None),
        description="Where the task is multilabel, which labels of the training bags are known: "
        "all (the default), one_positive (one positive label of each bag), {positives: n}, or "
        "{share: p}. With a list, each method is run with each, under its own name with the first "
        "and as <method>_observed_<name> with the others. The test bags keep their labels.",
    )
    losses: (
        Annotated[list[Loss], Field(min_length=1), BeforeValidator(as_list, str | list[Loss])]
        | None
    ) = Field(
        None,
        description="Losses to cross the strategies with: each strategy that does not name its own "
        "is run with each of these, under its own name with the loss of `training`, and as "
        "<strategy>_<loss> with any other.",
    )
    hidden_positives: (
        Annotated[
            list[HiddenShare], Field(min_length=1), BeforeValidator(as_list, float | list[float])
        ]
        | None
    ) = Field(
        None,
        description="Shares of the positive training bags to hide, that is, to label negative as "
        "if their labels were missing: each strategy is run with each share, under its own name "
        "with 0, and as <strategy>_hidden_<percent> with any other. The seed draws the bags, those "
        "of a smaller share from those of a larger one. The test bags keep their labels.",
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
    reference: Reference | None = Field(
        None, description="Published numbers to show next to those of the study."
    )
    truth: TruthSettings | None = Field(
        None,
        description="What people heard in test clips, to judge models and labels by; only where "
        "each bag is a clip.",
    )
    corrections: Names | None = Field(
        None,
        exclude_if=partial(is_, None),
        description="For your own recordings: lists of what you heard in clips, as the page of a "
        "study and `python -m weakneg clips` save them. They change the labels of these clips. The "
        "paths are relative to the folder of this file, or else to the working directory.",
    )

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """Name of the study and of its file."""
        return self._name

    @property
    def strategy_names(self) -> list[str]:
        """Names of the strategies in results, in the order of the study."""
        return [choice.name for choice in self.strategies]

    def entry(self, name: str) -> list[str]:
        """Names in results of an entry of `strategies`, which a study of budgets runs with each."""
        return [choice.name for choice in self.strategies if choice.entry == name]

    def strategy(self, name: str) -> StrategyChoice:
        """The strategy, with its options, of a name in results.

        Parameters
        ----------
        name : str
            Name of a strategy of the study, or of a run that strategies share.

        Returns
        -------
        StrategyChoice
            The strategy.

        Raises
        ------
        UserError
            When the study has no such name.
        """
        choices = {choice.name: choice for choice in self.strategies}
        if name not in choices:  # to compare all for each of their jobs would be quadratic
            for run in self.runs.values():
                choices.setdefault(run, StrategyChoice(strategy=run, name=run))
        if name not in choices:
            raise UserError(no_such(name, f"a strategy of the study {self.name}", choices))
        return choices[name]

    @property
    def runs(self) -> dict[str, str]:
        """Name of the run of each strategy, in the order of the study.

        Strategies that always choose the same bags share a run: see `strategies.chooses_as`.
        """
        first: dict[tuple[object, ...], str] = {}
        found: dict[str, str] = {}
        for choice in self.strategies:
            same = strategies.same_choice_as(choice.strategy)
            plain = choice.name == choice.entry and choice.training is None
            chooses_by = (
                strategies.chooses_as(choice.strategy, choice.options),
                choice.training,
                choice.hidden_positives,
                choice.budget,
                choice.observed,
            )
            shared = same if same and plain else choice.name
            found[choice.name] = first.setdefault(chooses_by, shared)
        return found

    def runs_of(self, class_name: str) -> dict[str, str]:
        """Name of the run of each strategy for a class.

        These are its `runs`, but where a budget is known to be the whole pool of the class, that of
        the full set.
        """
        found = self.runs
        full = {each.training: found[each.name] for each in self.strategies if each.is_full_set}
        for choice in self.strategies:
            if choice.training in full and self._takes_pool(choice, class_name):
                found[choice.name] = full[choice.training]
        return found

    def _takes_pool(self, choice: StrategyChoice, class_name: str) -> bool:
        """Whether the budget of a strategy is known to be the whole pool of a class."""
        data = self.dataset.definition
        if choice.budget is None or not isinstance(data, Dataset) or data.kind != "clips":
            return False  # the sizes are not known before there are bags
        counts, fraction = self.dataset.training_counts, self.training.validation_fraction
        if counts is None or data.split_sizes is None:
            return False
        n_positive, n_negative = (
            n - n_validation(n, fraction)
            for n in (counts[class_name], data.split_sizes["train"] - counts[class_name])
        )
        return n_chosen(choice.budget, n_positive, n_negative) == n_negative

    @property
    def class_slugs(self) -> dict[str, str]:
        """Name of the class of each folder, in the order of the study."""
        names = [ALL_CLASSES] if self.task == "multilabel" else self.classes
        return {class_slug(name): name for name in names}

    def class_of(self, slug: str) -> str:
        """The class that belongs to a folder's name. Raises UserError if there is none."""
        if slug not in self.class_slugs:
            raise UserError(no_such(slug, f"a class of the study {self.name}", self.class_slugs))
        return self.class_slugs[slug]

    @property
    def kind(self) -> DataKind:
        """The kind of data: images are put into bags, and each clip is a bag."""
        return self.dataset.definition.kind if self.encoder is None else "clips"

    @property
    def draw_per_seed(self) -> bool:
        """Whether each seed draws its own bags."""
        return self.bags is not None and self.bags.draw_per_seed

    @property
    def subject(self) -> str:
        """What its tables and figures are about.

        "partial" labels of many classes, "hidden" positives, the "budget", or its kind.
        """
        if self.task == "multilabel":
            return "partial"
        if self.hidden_positives is not None:
            return "hidden"
        return "budget" if self.sampling.budgets else self.kind

    @property
    def corrected(self) -> Mapping[tuple[str, str], Corrected]:
        """What is corrected of each class and split that `corrections` change."""
        data, dataset = self.dataset.definition, self.dataset
        if self.corrections is None:
            return {}
        assert isinstance(data, OwnDataset)
        files, folder = tuple(self.corrections), dataset.folder or ""
        return corrected(files, data, dataset.own_list, folder, dataset.unlisted)

    @property
    def downloads(self) -> bool:
        """Whether the sound is downloaded."""
        return isinstance(self.source, DownloadSource)

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Number of recordings in each split of an audio data set."""
        data = self.dataset.definition
        assert data.split_sizes is not None
        if isinstance(data, OwnDataset):
            return data.split_sizes(*self.dataset.own_list)
        return data.split_sizes

    @property
    def shards(self) -> dict[str, list[str]]:
        """Names of the shards of each split of an audio data set: "000", "001", ..."""
        return {
            split: [f"{number:03}" for number in range(math.ceil(size / SHARD_SIZE))]
            for split, size in self.split_sizes.items()
        }
