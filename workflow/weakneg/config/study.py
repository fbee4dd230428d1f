"""A study: one experiment grid."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from weakneg import strategies
from weakneg.config.classes import (
    Top,
    check_sizes,
    class_choice,
    class_name,
    class_names,
    class_slug,
    learnable,
    most_frequent,
)
from weakneg.config.messages import no_such, problem
from weakneg.config.sections import (
    AudioSettings,
    AugmentationSettings,
    BagSettings,
    DatasetSettings,
    ModelSettings,
    Reference,
    SamplingSettings,
    TrainingSettings,
    models,
)
from weakneg.config.source import (
    POLITENESS,
    SHARD_SIZE,
    DownloadSource,
    FolderSource,
    Source,
    checked_source,
)
from weakneg.config.stages import (
    ClassesSettings,
    FeaturesSettings,
    ListSettings,
    ManifestSettings,
    RunSettings,
    ScoreSettings,
)
from weakneg.config.strategy import Strategies, StrategyChoice, strategy_files
from weakneg.config.values import Section, Seeds, as_list, distinct
from weakneg.datasets import DataKind, Dataset, OwnDataset
from weakneg.errors import UserError


class Study(Section):
    """One experiment grid: a data set, a model, classes x strategies x seeds."""

    # The order matters: a field's check sees the fields above it.
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
        validate_default=True,
        description="How images are put into bags; a clip is a bag of its own.",
    )
    audio: AudioSettings | None = Field(
        None,
        validate_default=True,
        description="How sound becomes spectrograms; only of data sets of sound.",
    )
    source: Source | None = Field(
        None,
        validate_default=True,
        description="Where sound comes from: `type` is a file of workflow/weakneg/audio/acquire. "
        "A data set that brings its sound has no other source than its folder.",
    )
    model: ModelSettings = Field(ModelSettings(), validate_default=True)
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings | None = Field(
        None, description="How spectrograms are changed in training; null: not at all."
    )
    sampling: SamplingSettings = SamplingSettings()
    classes: Annotated[
        list[str], BeforeValidator(as_list, Literal["all"] | Top | str | int | list[str | int])
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
        validate_default=True,
        description="Name of the strategy that the others are compared with.",
    )
    reference: Reference | None = Field(None, description="Published numbers to show beside ours.")

    _name: str = PrivateAttr("")

    @field_validator("bags")
    @classmethod
    def _of_images(cls, bags: BagSettings | None, info: ValidationInfo) -> BagSettings | None:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            if dataset.definition.kind != "images" and bags is not None:
                raise problem(f"{dataset.name} consists of bags: remove the key")
            if dataset.definition.kind == "images" and bags is None:
                return BagSettings()
        return bags

    @field_validator("audio")
    @classmethod
    def _of_sound(cls, audio: AudioSettings | None, info: ValidationInfo) -> AudioSettings | None:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            if dataset.definition.kind != "spectrograms" and audio is not None:
                raise problem(f"{dataset.name} is no sound: remove the key")
            if dataset.definition.kind == "spectrograms" and audio is None:
                return AudioSettings()
        return audio

    @field_validator("source", mode="before")
    @classmethod
    def _known_source(cls, source: object, info: ValidationInfo) -> object:
        if "dataset" not in info.data:
            return None
        dataset = info.data["dataset"]
        if dataset.definition.kind != "spectrograms":
            if source is not None:
                raise problem(f"{dataset.name} is no sound: remove the key")
            return None
        source = FolderSource() if source is None else checked_source(source)
        data = dataset.definition
        elsewhere = isinstance(data, Dataset) and data.sound_elsewhere
        folder = getattr(source, "folder", None)
        if elsewhere and folder is None and isinstance(source, FolderSource):
            text = f"is missing: name the folder of the clips, which {dataset.name} does not bring"
            raise problem(text, "folder")
        if not elsewhere and (isinstance(source, DownloadSource) or folder is not None):
            raise problem(f"{dataset.name} brings its sound: remove the key")
        return source

    @field_validator("model")
    @classmethod
    def _fits_the_data(cls, model: ModelSettings, info: ValidationInfo) -> ModelSettings:
        if "dataset" in info.data:
            dataset = info.data["dataset"]
            kind = dataset.definition.kind
            if models()[model.name] != kind:
                fitting = [name for name, of in models().items() if of == kind]
                text = f"{model.name!r} is no model of {kind}, which {dataset.name} consists of"
                raise problem(f"{text}. Allowed: {', '.join(fitting)}", "name")
        return model

    @field_validator("augmentation")
    @classmethod
    def _can_be_made(
        cls, augmentation: AugmentationSettings | None, info: ValidationInfo
    ) -> AugmentationSettings | None:
        if augmentation is None or "audio" not in info.data:
            return augmentation
        audio = info.data["audio"]
        if audio is None:
            raise problem(f"{info.data['dataset'].name} is no sound: remove the key")
        if augmentation.frequency_mask > audio.mel_bins:
            text = f"{augmentation.frequency_mask} is more than audio.mel_bins ({audio.mel_bins})"
            raise problem(text, "frequency_mask")
        mixes = augmentation.mixup_rate > 0 and augmentation.mixup_domain == "waveform"
        if mixes and not audio.waveform:
            text = "waveforms are mixed only where they are kept: set audio.waveform to true, or"
            raise problem(f"{text} mixup_domain to 'spectrogram'", "mixup_domain")
        return augmentation

    @field_validator("sampling")
    @classmethod
    def _leaves_selections(
        cls, sampling: SamplingSettings, info: ValidationInfo
    ) -> SamplingSettings:
        if "training" in info.data:
            epochs = info.data["training"].epochs
            if sampling.warmup_epochs >= epochs:
                text = f"{sampling.warmup_epochs} must be less than training.epochs ({epochs})"
                raise problem(f"{text}, or no epoch is left to choose for", "warmup_epochs")
            if sampling.resample_every > epochs:
                text = f"{sampling.resample_every} must be at most training.epochs ({epochs})"
                raise problem(text, "resample_every")
        return sampling

    @field_validator("classes", mode="before")
    @classmethod
    def _known_classes(cls, classes: object, info: ValidationInfo) -> object:
        if "dataset" not in info.data:
            return []  # the data set's own mistake is reported
        dataset = info.data["dataset"]
        if classes == "all":
            classes = list(class_names(dataset))
        choice = class_choice(classes)
        if isinstance(choice, Top):
            try:
                choice = most_frequent(learnable(dataset), choice.top, dataset)
            except ValueError as error:
                raise problem(str(error)) from None
        names, slugs = [], {}
        for index, value in enumerate(choice):
            try:
                names.append(class_name(value, dataset))
            except ValueError as error:
                raise problem(str(error), index) from None
        for index, name in enumerate(distinct(names)):
            slug = class_slug(name)
            if not slug:
                raise problem(f"{name!r} has nothing to name a folder with", index)
            if slug in slugs:
                raise problem(f"{name!r} and {slugs[slug]!r} would share a folder", index)
            slugs[slug] = name
        if dataset.list is not None:
            check_sizes(names, dataset)
        return names

    @field_validator("strategies")
    @classmethod
    def _distinct_names(cls, choices: list[StrategyChoice]) -> list[StrategyChoice]:
        distinct([choice.name for choice in choices])
        return choices

    @field_validator("baseline")
    @classmethod
    def _among_strategies(cls, baseline: str, info: ValidationInfo) -> str:
        names = [choice.name for choice in info.data.get("strategies", ())]
        if names and baseline not in names:
            raise problem(no_such(baseline, "among the strategies of the study", names))
        return baseline

    @field_validator("reference")
    @classmethod
    def _about_the_data(cls, reference: Reference | None, info: ValidationInfo) -> Reference | None:
        if reference is None or not {"dataset", "strategies"} <= info.data.keys():
            return reference
        known = [*strategy_files(), *(choice.name for choice in info.data["strategies"])]
        dataset = info.data["dataset"]
        for strategy, classes in reference.values.items():
            if strategy not in known:
                raise problem(no_such(strategy, "a strategy", known), "values", strategy)
            for name in classes:
                if name not in class_names(dataset):
                    text = no_such(name, f"a class of {dataset.name}", class_names(dataset))
                    raise problem(text, "values", strategy, name)
        return reference

    # ---- names
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
        first, found = {}, {}
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
    def _draw_per_seed(self) -> bool:
        return self.bags is not None and self.bags.draw_per_seed

    # ---- what each stage reads
    def features_settings(self) -> dict:
        """For the stage that makes the feature stores; read back by `FeaturesSettings`."""
        names = None if self.audio is None else list(class_names(self.dataset))
        settings = FeaturesSettings(dataset=self.dataset, audio=self.audio, class_names=names)
        return settings.model_dump()

    def list_settings(self) -> dict:
        """For the stages that list and acquire recordings; read back by `ListSettings`."""
        return ListSettings(dataset=self.dataset).model_dump()

    def classes_settings(self) -> dict:
        """For the stage that lists the classes; read back by `ClassesSettings`."""
        return ClassesSettings(classes=self.classes, dataset=self.dataset.name).model_dump()

    def source_settings(self) -> dict:
        """For the stage that acquires a shard: what is asked of which source."""
        return self.source.model_dump(exclude=POLITENESS)

    @property
    def downloads(self) -> bool:
        """Whether the sound is downloaded."""
        return isinstance(self.source, DownloadSource)

    def politeness_settings(self) -> dict:
        """For the stage that acquires a shard: how the source is asked."""
        return self.source.model_dump(include=POLITENESS)

    def shard_settings(self) -> dict:
        """For the stage that computes the spectrograms of a shard; `AudioSettings` but for one."""
        return self.audio.model_dump(exclude={"statistics"})

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

    def listed(self, split: str, shard: str) -> list[dict] | None:
        """What one's own list says of the recordings of a shard; None: the list is a published one.

        Labels and events are left out, since their sound does not depend on them.
        """
        data = self.dataset.definition
        if not isinstance(data, OwnDataset):
            return None
        assert data.recordings is not None
        rows = [row for row in data.recordings(*self.dataset.own_list) if row["split"] == split]
        first = int(shard) * SHARD_SIZE
        keys = ("id", "file", "start", "end")
        return [{key: row.get(key) for key in keys} for row in rows[first : first + SHARD_SIZE]]

    def bag_settings(self) -> dict:
        """For the stage that draws the bags of a class; read back by `ManifestSettings`."""
        seeds = self.seeds if self._draw_per_seed else None
        return ManifestSettings(**self.bags.model_dump(), seeds=seeds).model_dump()

    def run_settings(self, strategy: str) -> dict:
        """For the stage that trains a run; read back by `RunSettings`."""
        choice = self.strategy(strategy)
        return RunSettings(
            model=self.model,
            sampling=self.sampling,
            training=self.training,
            augmentation=self.augmentation,
            strategy=choice.strategy,
            options=choice.options,
            seeds=self.seeds,
            draw_per_seed=self._draw_per_seed,
        ).model_dump()

    def score_settings(self) -> dict:
        """For the stage that scores the test bags of a run; read back by `ScoreSettings`."""
        return ScoreSettings(
            model=self.model,
            score_batch_size=self.training.score_batch_size,
            draw_per_seed=self._draw_per_seed,
        ).model_dump()

    def report_settings(self) -> dict:
        """For the stages that make the metrics, tables and figures."""
        return {
            "name": self.name,
            "title": self.title,
            "classes": self.classes,
            "strategies": self.strategy_names,
            "runs": self.runs,
            "kind": self.kind,
            "baseline": self.baseline,
            "reference": self.reference.model_dump() if self.reference else None,
            "note": self.note,
            "upper_bound": next(
                (
                    choice.name
                    for choice in self.strategies
                    if strategies.ignores_budget(choice.strategy)
                ),
                None,
            ),
            "display_names": {
                choice.name: strategies.display_name(choice.strategy, choice.name)
                for choice in self.strategies
            },
            # A variant must not look like the strategy itself.
            "looks": {
                choice.name: look
                for choice in self.strategies
                if choice.name == choice.strategy and (look := strategies.look(choice.strategy))
            },
        }

    # ---- the command line
    def shrunk(self, classes: list | Top | None, names: list | None, seeds: list | None) -> "Study":
        """This study with only the named classes, strategies and seeds, in the study's order.

        The baseline stays whatever is named, since every comparison needs it. Raises ValueError
        with the key and the mistake where the study has no such class or strategy.
        """
        chosen = {}
        if isinstance(classes, Top):
            try:
                chosen["classes"] = most_frequent(self.classes, classes.top, self.dataset)
            except ValueError as error:
                raise ValueError(f"classes: {error}") from None
        elif classes is not None:
            wanted = set()
            for value in classes:
                try:
                    name = class_name(value, self.dataset)
                except ValueError:
                    name = str(value)
                if name not in self.classes:
                    what = f"a class of the study {self.name}"
                    raise ValueError(f"classes: {no_such(name, what, self.classes)}")
                wanted.add(name)
            chosen["classes"] = [name for name in self.classes if name in wanted]
        if names is not None:
            for name in names:
                if name not in self.strategy_names:
                    what = f"a strategy of the study {self.name}"
                    raise ValueError(f"strategies: {no_such(name, what, self.strategy_names)}")
            kept = {*names, self.baseline}
            chosen["strategies"] = [choice for choice in self.strategies if choice.name in kept]
        if seeds is not None:
            chosen["seeds"] = seeds
        return self.model_copy(update=chosen)
