"""What each stage reads of a study: its settings, and the plugins that it loads by name.

Snakemake runs a stage again when its settings or its code change, so a stage gets the part of the
configuration that it reads, and nothing else. The rules pass the settings as JSON, and the command
line reads them back.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from weakneg import strategies
from weakneg.config.classes import class_names
from weakneg.config.sections import (
    AudioSettings,
    AugmentationSettings,
    BagSettings,
    DatasetSettings,
    ModelSettings,
    SamplingSettings,
    TrainingSettings,
)
from weakneg.config.source import POLITENESS, SHARD_SIZE
from weakneg.config.values import Section
from weakneg.datasets import DataKind, OwnDataset

if TYPE_CHECKING:
    from weakneg.config.study import Study


def canonical(settings: object) -> str:
    """Settings as JSON in one form: sorted keys, no spaces."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


class StageSettings(Section):
    """What a stage reads.

    Attributes
    ----------
    stage : str
        The name of the stage.
    plugins : list of str
        The files that it loads by name, "models.cnn".
    """

    stage: ClassVar[str]

    @property
    def plugins(self) -> list[str]:
        return []

    def text(self) -> str:
        """The settings as JSON, for the command line."""
        return canonical(self.model_dump())


class ListSettings(StageSettings):
    """What the stage that lists recordings reads."""

    stage = "list_recordings"

    dataset: DatasetSettings

    @classmethod
    def of(cls, study: "Study") -> "ListSettings":
        return cls(dataset=study.dataset)

    @property
    def plugins(self) -> list[str]:
        return [f"datasets.{self.dataset.name}"]


class AcquireSettings(StageSettings):
    """What the stage that acquires a shard of sound reads."""

    stage = "acquire_shard"

    dataset: DatasetSettings
    source: dict[str, Any]  # what is asked of which source
    shard_size: int
    listed: str | None  # digest of what one's own list says of the shard's recordings

    @classmethod
    def of(cls, study: "Study", split: str, shard: str) -> "AcquireSettings":
        assert study.source is not None
        return cls(
            dataset=study.dataset,
            source=study.source.model_dump(exclude=POLITENESS),
            shard_size=SHARD_SIZE,
            listed=listed(study, split, shard),
        )

    @property
    def plugins(self) -> list[str]:
        return [f"acquire.{self.source['type']}", f"datasets.{self.dataset.name}"]


def listed(study: "Study", split: str, shard: str) -> str | None:
    """Digest of what one's own list says of the recordings of a shard; None of a published one.

    A list that grows leaves its first shards alone. Labels and events are left out, since the sound
    does not depend on them.
    """
    data = study.dataset.definition
    if not isinstance(data, OwnDataset):
        return None
    assert data.recordings is not None
    rows = data.recordings(*study.dataset.own_list)
    rows = [row for row in rows if row["split"] == split]
    first = int(shard) * SHARD_SIZE
    keys = ("id", "file", "start", "end")
    found = [{key: row.get(key) for key in keys} for row in rows[first : first + SHARD_SIZE]]
    return hashlib.sha256(canonical(found).encode()).hexdigest()[:16]


class ShardSettings(StageSettings):
    """What the stage that computes spectrograms reads: `AudioSettings` without `statistics`."""

    stage = "compute_shard"

    sample_rate: int
    clip_seconds: float
    hop_seconds: float | None
    mel_bins: int
    frame_length_ms: float
    frame_shift_ms: float
    window: str
    frames: int | None
    waveform: bool

    @classmethod
    def of(cls, study: "Study") -> "ShardSettings":
        assert study.audio is not None
        return cls(**study.audio.model_dump(exclude={"statistics"}))


class FeaturesSettings(StageSettings):
    """What the stage that makes the feature stores reads.

    audio : how sound becomes spectrograms; class_names : of all classes; both for sound only
    """

    stage = "build_features"

    dataset: DatasetSettings
    audio: AudioSettings | None = None
    class_names: list[str] | None = None

    @classmethod
    def of(cls, study: "Study") -> "FeaturesSettings":
        names = None if study.audio is None else list(class_names(study.dataset))
        return cls(dataset=study.dataset, audio=study.audio, class_names=names)

    @property
    def plugins(self) -> list[str]:
        if self.audio is not None:
            return ["features.from_shards"]
        return ["features.from_files", f"datasets.{self.dataset.name}"]


class ManifestSettings(StageSettings, BagSettings):
    """What the stage that draws the bags of a class reads."""

    stage = "draw_bags"

    seeds: list[int] | None  # None: one draw serves all seeds

    @classmethod
    def of(cls, study: "Study") -> "ManifestSettings":
        assert study.bags is not None
        seeds = study.seeds if study.draw_per_seed else None
        return cls(**study.bags.model_dump(), seeds=seeds)


class ClassesSettings(StageSettings):
    """What the stage that lists the classes of a study of clips reads."""

    stage = "list_classes"

    classes: list[str]
    dataset: str  # its name

    @classmethod
    def of(cls, study: "Study") -> "ClassesSettings":
        return cls(classes=study.classes, dataset=study.dataset.name)

    @property
    def plugins(self) -> list[str]:
        return [f"datasets.{self.dataset}"]


class RunSettings(StageSettings):
    """What the stage that trains the seeds of a (class, strategy) pair reads.

    strategy : a file of workflow/weakneg/strategies; options : keyword arguments of its `select`
    """

    stage = "train_run"

    model: ModelSettings
    sampling: SamplingSettings
    training: TrainingSettings
    augmentation: AugmentationSettings | None = None
    strategy: str
    options: dict[str, bool | int | float | str | None]
    seeds: list[int]
    draw_per_seed: bool

    @classmethod
    def of(cls, study: "Study", run: str) -> "RunSettings":
        """The settings of a run. Raises UserError when the study has no such run."""
        choice = study.strategy(run)
        return cls(
            model=study.model,
            sampling=study.sampling,
            training=study.training,
            augmentation=study.augmentation,
            strategy=choice.strategy,
            options=choice.options,
            seeds=study.seeds,
            draw_per_seed=study.draw_per_seed,
        )

    @property
    def plugins(self) -> list[str]:
        found = [
            f"models.{self.model.name}",
            f"strategies.{self.strategy}",
            f"losses.{self.training.loss}",
            f"batches.{'augmented' if self.augmentation else 'plain'}",
        ]
        return [*found, "strategies.random"] if self.sampling.warmup_epochs else found


class ScoreSettings(StageSettings):
    """What the stage that scores the test bags of a run reads."""

    stage = "score_run"

    model: ModelSettings
    score_batch_size: int
    draw_per_seed: bool

    @classmethod
    def of(cls, study: "Study") -> "ScoreSettings":
        return cls(
            model=study.model,
            score_batch_size=study.training.score_batch_size,
            draw_per_seed=study.draw_per_seed,
        )

    @property
    def plugins(self) -> list[str]:
        return [f"models.{self.model.name}"]


class ReportSettings(Section):
    """What the stages of the report read; `weakneg.analysis.study.Study` is made of it."""

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
    display_names: dict[str, str]  # strategy -> what people read

    @classmethod
    def of(cls, study: "Study") -> Self:
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
                choice.name: strategies.display_name(choice.strategy, choice.name)
                for choice in study.strategies
            },
        )

    def text(self) -> str:
        """The settings as JSON, for the command line."""
        return canonical(self.model_dump())


class FigureSettings(ReportSettings):
    """What figures read: the report's settings, and how strategies look."""

    # strategy -> colour, marker and dashes, where its file says them
    looks: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def of(cls, study: "Study") -> Self:
        looks = {
            choice.name: look
            for choice in study.strategies
            # A variant must not look like the strategy itself.
            if choice.name == choice.strategy and (look := strategies.look(choice.strategy))
        }
        return super().of(study).model_copy(update={"looks": looks})
