"""What each stage reads of a study: its settings, and the plugins that it loads by name.

Snakemake reruns a stage when its settings or its code change, so that a stage gets only the part of
the configuration that it reads. The rules pass the settings as JSON, and the command line reads
them back. The classmethod `of` of each class takes its settings from a study.
"""

import hashlib
import json
from functools import partial
from operator import eq, is_
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from weakneg.config.classes import class_names
from weakneg.config.encoder import Encoding
from weakneg.config.sections import AudioSettings, BagSettings, DatasetSettings, ModelSettings
from weakneg.config.source import POLITENESS, SHARD_SIZE
from weakneg.config.strategy import HiddenShare, Observed
from weakneg.config.training import AugmentationSettings, RunSampling, TrainingSettings
from weakneg.config.values import Section
from weakneg.datasets import OwnDataset
from weakneg.strategies import composition

if TYPE_CHECKING:
    from weakneg.config.study import Study


def canonical(settings: object) -> str:
    """Settings as JSON in canonical form: sorted keys, no spaces."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


class StageSettings(Section):
    """The settings of a stage.

    Attributes
    ----------
    stage : str
        Name of the stage.
    """

    stage: ClassVar[str]

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name, such as "models.cnn"."""
        return []

    def text(self) -> str:
        """The settings as JSON, for the command line."""
        return canonical(self.model_dump())


class ListSettings(StageSettings):
    """Settings of the stage that lists recordings."""

    stage = "list_recordings"

    dataset: DatasetSettings

    @classmethod
    def of(cls, study: "Study") -> "ListSettings":
        """Take the settings from a study."""
        return cls(dataset=study.dataset)

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        return [*self.dataset.plugins]


class AcquireSettings(StageSettings):
    """Settings of the stage that acquires a shard of sound."""

    stage = "acquire_shard"

    dataset: DatasetSettings
    source: dict[str, Any]  # without politeness
    shard_size: int
    listed: str | None  # see `listed`

    @classmethod
    def of(cls, study: "Study", split: str, shard: str) -> "AcquireSettings":
        """Take the settings of a shard from a study."""
        assert study.source is not None
        return cls(
            dataset=study.dataset.without_labels,
            source=study.source.model_dump(exclude=set(POLITENESS)),
            shard_size=SHARD_SIZE,
            listed=listed(study, split, shard),
        )

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        return [f"acquire.{self.source['type']}", *self.dataset.plugins]


def listed(study: "Study", split: str, shard: str) -> str | None:
    """Digest of the rows of a user's own list for the recordings of a shard.

    Shards do not run again when rows are appended to the list. Labels and events are left out,
    since the sound does not depend on them.

    Parameters
    ----------
    study : Study
        A study of audio.
    split, shard : str
        Name of the split and of the shard, such as "000".

    Returns
    -------
    str, optional
        16 hexadecimal digits; None for a published data set.
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


OF_STORES = {"statistics", "padding", "min_overlap", "max_outside"}
"""The keys of `AudioSettings` that only the feature stores depend on, not the spectrograms."""


class ShardSettings(StageSettings):
    """Settings of the stage that computes spectrograms: `AudioSettings` without `OF_STORES`."""

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
    channel: str = Field("mean", exclude_if=partial(eq, "mean"))
    low_hz: float = Field(20.0, exclude_if=partial(eq, 20.0))
    high_hz: float | None = Field(None, exclude_if=partial(is_, None))

    @classmethod
    def of(cls, study: "Study") -> "ShardSettings":
        """Take the settings from a study."""
        assert study.audio is not None
        return cls(**study.audio.model_dump(exclude=OF_STORES))


class NoiseClipSettings(StageSettings):
    """Settings of the stage that prepares background noise: of `AudioSettings`, how it is cut."""

    stage = "prepare_noise"

    sample_rate: int
    clip_seconds: float
    hop_seconds: float | None = None
    channel: str = "mean"

    @classmethod
    def of(cls, study: "Study") -> "NoiseClipSettings":
        """Take the settings from a study."""
        assert study.audio is not None
        return cls(**study.audio.model_dump(include={"sample_rate", "clip_seconds", "channel"}))


class EmbeddingSettings(StageSettings):
    """Settings of the stage that computes embeddings."""

    stage = "embed_shard"

    sample_rate: int
    clip_seconds: float
    hop_seconds: float | None
    encoding: Encoding
    channel: str = Field("mean", exclude_if=partial(eq, "mean"))

    @classmethod
    def of(cls, study: "Study") -> "EmbeddingSettings":
        """Take the settings from a study."""
        assert study.audio is not None
        assert study.encoder is not None
        return cls.cut(study.audio, study.encoder.encoding)

    @classmethod
    def cut(cls, audio: AudioSettings, encoding: Encoding) -> "EmbeddingSettings":
        """Take the settings from the section of the sound, and the encoder."""
        of_sound = {"sample_rate", "clip_seconds", "hop_seconds", "channel"}
        return cls(**audio.model_dump(include=of_sound), encoding=encoding)


class FeaturesSettings(StageSettings):
    """Settings of the stage that makes the feature stores.

    Attributes
    ----------
    dataset : DatasetSettings
        The data set.
    audio : AudioSettings, optional
        How sound becomes spectrograms; only for audio.
    class_names : list of str, optional
        Names of all classes of the data set; only for audio.
    encoding : Encoding, optional
        How sound becomes embeddings instead.
    """

    stage = "build_features"

    dataset: DatasetSettings
    audio: AudioSettings | None = None
    class_names: list[str] | None = None
    encoding: Encoding | None = Field(None, exclude_if=partial(is_, None))

    @classmethod
    def of(cls, study: "Study") -> "FeaturesSettings":
        """Take the settings from a study."""
        names = None if study.audio is None else list(class_names(study.dataset))
        encoding = None if study.encoder is None else study.encoder.encoding
        return cls(dataset=study.dataset, audio=study.audio, class_names=names, encoding=encoding)

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        if self.audio is not None:
            return ["features.from_shards"]
        return ["features.from_files", f"datasets.{self.dataset.name}"]


class ManifestSettings(StageSettings, BagSettings):
    """Settings of the stage that draws the bags of a class."""

    stage = "draw_bags"

    seeds: list[int] | None  # None: one draw serves all seeds
    classes: list[str] | None = Field(None, exclude_if=partial(is_, None))  # of a multilabel study

    @classmethod
    def of(cls, study: "Study") -> "ManifestSettings":
        """Take the settings from a study."""
        assert study.bags is not None
        seeds = study.seeds if study.draw_per_seed else None
        return cls(**study.bags.model_dump(), seeds=seeds, classes=_outputs(study))


class CorrectionSettings(StageSettings):
    """Settings of the stage that corrects the labels of the clips of a class and a split.

    Attributes
    ----------
    folder : str
        Folder of the recordings.
    split : str
        The split.
    digest : str
        Of what the lists of corrections say of the class and the split.
    """

    stage = "correct_clips"

    folder: str
    split: str
    digest: str

    @classmethod
    def of(cls, study: "Study", class_slug: str, split: str) -> "CorrectionSettings":
        """Take the settings of a class and a split from a study."""
        found = study.corrected[study.class_of(class_slug), split]
        return cls(folder=study.dataset.folder or "", split=split, digest=found.digest)


class ClassesSettings(StageSettings):
    """Settings of the stage that lists the classes of a study of clips."""

    stage = "list_classes"

    classes: list[str]
    dataset: str  # name of the data set

    @classmethod
    def of(cls, study: "Study") -> "ClassesSettings":
        """Take the settings from a study."""
        return cls(classes=study.classes, dataset=study.dataset.name)

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        return [f"datasets.{self.dataset}"]


class RunSettings(StageSettings):
    """Settings of the stage that trains the seeds of a (class, strategy) pair.

    Attributes
    ----------
    model, sampling, training, augmentation
        Sections of the study; training has the loss and the synthetic positives of this run, and
        sampling its budget.
    hidden_positives : float
        Share of the positive bags that are labelled negative.
    classes : list of str, optional
        The classes of a model with an output for each; None: the class of the run.
    observed : Observed, optional
        Which of their labels are known.
    strategy : str
        Name of a file in workflow/weakneg/strategies, or path of the user's own.
    options : dict
        Its options; one that is another strategy is a mapping with the key "strategy".
    seeds : list of int
        The seeds.
    draw_per_seed : bool
        Whether each seed has its own draw of bags.
    """

    stage = "train_run"

    model: ModelSettings
    sampling: RunSampling
    training: TrainingSettings
    augmentation: AugmentationSettings | None = None
    hidden_positives: HiddenShare = Field(0.0, exclude_if=partial(eq, 0.0))
    classes: list[str] | None = Field(None, exclude_if=partial(is_, None))
    observed: Observed | None = Field(None, exclude_if=partial(is_, None))
    strategy: str
    options: dict[str, bool | int | float | str | dict[str, Any] | None]
    seeds: list[int]
    draw_per_seed: bool

    @classmethod
    def of(cls, study: "Study", run: str) -> "RunSettings":
        """Settings of a run of the study. Raises UserError when there is no such run."""
        choice = study.strategy(run)
        return cls(
            model=study.model,
            sampling=_sampling(study, choice.budget),
            training=study.training.model_copy(
                update={
                    "loss": choice.loss or study.training.loss,
                    "positives": choice.positives or study.training.positives,
                }
            ),
            augmentation=study.augmentation,
            hidden_positives=choice.hidden_positives,
            classes=_outputs(study),
            observed=choice.observed,
            strategy=choice.strategy,
            options=choice.options,
            seeds=study.seeds,
            draw_per_seed=study.draw_per_seed,
        )

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        found = [
            f"models.{self.model.name}",
            *(f"strategies.{name}" for name in composition(self.strategy, self.options)),
            f"losses.{self.training.loss.name}",
            f"batches.{'augmented' if self.augmentation else 'plain'}",
        ]
        found += ["batches.synthetic"] if self.training.positives else []
        return [*found, "strategies.random"] if self.sampling.warmup_epochs else found


def _outputs(study: "Study") -> list[str] | None:
    """The classes of a model with an output for each; None where each has its own model."""
    return study.classes if study.task == "multilabel" else None


def _sampling(study: "Study", budget: float | None) -> RunSampling:
    """The section `sampling` of a run."""
    given = study.sampling.model_dump()
    if study.sampling.budgets:
        # The full set has no budget: only its warm-up trains on so many bags.
        given["negatives_per_positive"] = budget or max(study.sampling.budgets)
    return RunSampling(**given)


class ScoreSettings(StageSettings):
    """Settings of the stage that scores the test bags of a run."""

    stage = "score_run"

    model: ModelSettings
    score_batch_size: int
    draw_per_seed: bool
    classes: list[str] | None = Field(None, exclude_if=partial(is_, None))

    @classmethod
    def of(cls, study: "Study") -> "ScoreSettings":
        """Take the settings from a study."""
        return cls(
            model=study.model,
            score_batch_size=study.training.score_batch_size,
            draw_per_seed=study.draw_per_seed,
            classes=_outputs(study),
        )

    @property
    def plugins(self) -> list[str]:
        """The files that the stage loads by name."""
        return [f"models.{self.model.name}"]
