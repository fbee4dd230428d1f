"""The speed at which a device trains and scores, measured on random spectrograms."""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from weakneg.audio.decode import n_samples
from weakneg.audio.mel import LogMel
from weakneg.bags.draw import Bags
from weakneg.features.store import Store
from weakneg.training.data import BagData
from weakneg.training.loop import train_seed

if TYPE_CHECKING:
    from weakneg.config.stages import RunSettings

_CLIPS = (32, 128, 512, 2048)
_SECONDS = 3.0  # no larger number of clips is tried after a measurement longer than this


class Speed(NamedTuple):
    """Clips per second."""

    trained: float
    scored: float


def measure_speed(settings: "RunSettings", audio: dict[str, Any], device: torch.device) -> Speed:
    """Measure the speed of training and scoring; the first of two epochs is a warm-up.

    Parameters
    ----------
    settings : RunSettings
        Settings of the run, with a strategy that scores the pool.
    audio : dict
        Settings of the spectrograms, those of `ShardSettings`.
    device : torch.device
        Where models are trained.

    Returns
    -------
    Speed
        Clips per second in the second epoch.
    """
    training = settings.training.model_copy(
        update={"epochs": 2, "patience": None, "validation_fraction": 0.1}
    )
    sampling = settings.sampling.model_copy(
        update={"resample_every": 1, "warmup_epochs": 0, "candidate_fraction": 1.0}
    )
    settings = settings.model_copy(update={"training": training, "sampling": sampling})
    for n in _CLIPS:
        start = time.perf_counter()
        state = train_seed(_noise(n, audio, device), settings, 0, None, lambda state: None)
        if time.perf_counter() - start > _SECONDS:
            break
    trained = state["history"][1]["bags_trained"] - state["history"][0]["bags_trained"]
    seconds = state["timing"][1]
    return Speed(
        trained / seconds["seconds_training"], state["n_pool"] / seconds["seconds_scoring"]
    )


def _noise(n: int, audio: dict[str, Any], device: torch.device) -> BagData:
    """Random clips, a quarter of them positive."""
    rng = np.random.default_rng(0)
    samples = n_samples(audio["clip_seconds"], audio["sample_rate"])
    frames = audio["frames"] or LogMel.of(audio).n_frames(samples)
    clips = np.arange(n)
    store = Store(
        x=rng.standard_normal((n, frames, audio["mel_bins"]), np.float32).astype(np.float16),
        id=clips,
        y=np.zeros((n, 0)),
        class_names=(),
        mean=np.zeros(1),
        std=np.ones(1),
        kind="spectrograms",
        parameters=audio,
        length=np.full(n, frames),
        start=np.zeros(n),
        waveform=rng.integers(-9999, 9999, (n, samples), np.int16),
    )
    label = (clips % 4 == 0).astype(np.int8)
    return BagData(store, Bags(clips, label, np.full(n, np.nan), clips[:, None]), device)
