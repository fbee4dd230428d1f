"""What each stage reads of a study."""

import json
from collections.abc import Mapping

from weakneg.config.sections import (
    AudioSettings,
    AugmentationSettings,
    BagSettings,
    DatasetSettings,
    ModelSettings,
    SamplingSettings,
    TrainingSettings,
)
from weakneg.config.values import Section


# ----------------------------------------------------------------------------- what stages read
class ListSettings(Section):
    """What the stages that list and acquire recordings read."""

    dataset: DatasetSettings


class ShardSettings(Section):
    """What the stage that computes spectrograms reads: `AudioSettings` without `statistics`."""

    sample_rate: int
    clip_seconds: float
    hop_seconds: float | None
    mel_bins: int
    frame_length_ms: float
    frame_shift_ms: float
    window: str
    frames: int | None
    waveform: bool


class ClassesSettings(Section):
    """What the stage that lists the classes of a study of clips reads."""

    classes: list[str]
    dataset: str  # its name


class FeaturesSettings(Section):
    """What the stage that makes the feature stores reads."""

    dataset: DatasetSettings
    audio: AudioSettings | None = None  # of sound
    class_names: list[str] | None = None  # of sound


class ManifestSettings(BagSettings):
    """What the stage that draws the bags of a class reads."""

    seeds: list[int] | None  # None: one draw serves all seeds


class RunSettings(Section):
    """What the stage that trains the seeds of a (class, strategy) pair reads."""

    model: ModelSettings
    sampling: SamplingSettings
    training: TrainingSettings
    augmentation: AugmentationSettings | None = None
    strategy: str  # the file of workflow/weakneg/strategies
    options: dict[str, bool | int | float | str | None]  # keyword arguments of its `select`
    seeds: list[int]
    draw_per_seed: bool


class ScoreSettings(Section):
    """What the stage that scores the test bags of a run reads."""

    model: ModelSettings
    score_batch_size: int
    draw_per_seed: bool


def canonical(settings: object) -> str:
    """Settings as JSON in one form: sorted keys, no spaces."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)


def code_of_run(settings: Mapping) -> list[str]:
    """The stage that trains a run, and its plugins.

    settings : what `weakneg.config.study.Study.run_settings` gives
    """
    code = [
        "train_run",
        f"models.{settings['model']['name']}",
        f"strategies.{settings['strategy']}",
        f"batches.{'augmented' if settings.get('augmentation') else 'plain'}",
    ]
    if settings["sampling"]["warmup_epochs"]:
        code.append("strategies.random")
    return code
