"""Trained models of sound: a run's `model.pt`, made into what scores recordings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from weakneg.audio.decode import n_samples
from weakneg.audio.mel import LogMel
from weakneg.config.sections import AudioSettings, ModelSettings
from weakneg.errors import UserError
from weakneg.models import bag_classifier
from weakneg.models.attention import AttentionHead
from weakneg.models.bag_classifier import BagClassifier

MODEL_FILE = "model.pt"

_FRONT_END = ("sample_rate", "clip_seconds", "hop_seconds", "mel_bins", "frame_length_ms")
_FRONT_END += ("frame_shift_ms", "window", "frames")
_LONG = 4096  # rows of a spectrogram
_LONGEST_REASON = 200


class FrontEnd(NamedTuple):
    """From recordings to spectrograms, the same for all models that score them.

    settings : as `weakneg.audio.clips.compute_clip` takes them
    shape : (T, F) of the spectrogram of a clip; behind shorter ones there are zeros
    """

    settings: dict[str, Any]
    shape: tuple[int, int]

    @property
    def log_mel(self) -> LogMel:
        return LogMel.of(self.settings)

    @property
    def clip_samples(self) -> int:
        return n_samples(self.settings["clip_seconds"], self.settings["sample_rate"])

    def padded(self, spectrograms: Sequence[np.ndarray]) -> Tensor:
        """Spectrograms of (t, F) each, t at most T -> (B, T, F) float16."""
        x = np.zeros((len(spectrograms), *self.shape), np.float16)
        for row, spectrogram in zip(x, spectrograms, strict=True):
            row[: len(spectrogram)] = spectrogram
        return torch.from_numpy(x)


class Predictions(NamedTuple):
    """What a model says of B clips of n frames; probabilities, float64.

    clip : (B,)
    frame : (B, n) what a clip would get that consisted of this frame alone
    part : (B, n) of the pooling `attention`, what the frame adds to `clip`: its probability times
        the attention it gets, summed over heads; else None
    """

    clip: np.ndarray
    frame: np.ndarray
    part: np.ndarray | None

    @classmethod
    def mean(cls, scores: Sequence["Predictions"]) -> "Predictions":
        columns = zip(*scores, strict=True)
        return cls(*(None if c[0] is None else np.mean(c, axis=0) for c in columns))


@dataclass(frozen=True)
class TrainedModel:
    """The classifiers of a run, one per seed. Its score is the mean of their probabilities.

    networks : seed -> classifier, in evaluation mode
    mean, std : what spectrograms are normalised with
    """

    path: Path
    study: str
    class_name: str
    strategy: str
    front_end: FrontEnd
    mean: float
    std: float
    networks: dict[int, BagClassifier]

    @property
    def name(self) -> tuple[str, str, str]:
        """Study, class and strategy."""
        return self.study, self.class_name, self.strategy

    @property
    def seeds(self) -> str:
        """The seeds, separated by semicolons."""
        return ";".join(map(str, self.networks))

    @cached_property
    def frame_step(self) -> int:
        """Rows of a spectrogram from one frame that the model scores to the next.

        The first one is centred on the first row. An encoder made of convolutions does not say how
        far apart its instances are, so a long spectrogram is tried.
        """
        network = next(iter(self.networks.values()))
        device = next(network.parameters()).device
        with torch.inference_mode():
            instances = network.encoder(
                torch.zeros(1, _LONG, self.front_end.shape[1], device=device)
            )
        return round(_LONG / instances.shape[1])

    @torch.inference_mode()
    def score(self, seed: int, x: Tensor, frames: bool) -> Predictions:
        """Scores of the classifier of a seed for spectrograms x (B, T, F), as `padded` gives them.

        frames: whether to score frames too; `frame` and `part` are None without

        Raises UserError when a score is not a number.
        """
        network = self.networks[seed]
        x = (x.to(next(network.parameters()).device).float() - self.mean) / self.std
        h = network.encoder(x)
        mask = torch.ones(h.shape[:2], dtype=torch.bool, device=h.device)
        clip = network.head.logit(h, mask)
        if not torch.isfinite(clip).all():
            raise UserError(
                f"{self.path}: seed {seed} gives scores that are NaN or infinite; train it again."
            )
        frame = part = None
        if frames:
            alone = network.head.logit(h.flatten(0, 1)[:, None], mask.reshape(-1, 1))
            frame = _probability(alone.view(h.shape[:2]))
            if isinstance(network.head, AttentionHead):
                _, attention, positive = network.head.probabilities(h, mask)
                part = (attention * positive) @ network.head.head_weight
                part = part.double().cpu().numpy()
        return Predictions(_probability(clip), frame, part)


def read_models(
    paths: Sequence[str | os.PathLike], seeds: Sequence[int] | None, device: torch.device
) -> list[TrainedModel]:
    """The models of run folders or model files, of the same front end.

    seeds: the classifiers to use, all if None

    Raises UserError when a file is missing, damaged, or not a model of sound, when it lacks a seed,
    when models need different spectrograms, and when two are of one study, class and strategy.
    """
    models: dict[tuple[str, str, str], TrainedModel] = {}
    files = [path / MODEL_FILE if path.is_dir() else path for path in map(Path, paths)]
    for path in dict.fromkeys(files):
        model = _read_model(path, seeds, device)
        first = next(iter(models.values()), model)
        if model.front_end != first.front_end:
            raise UserError(
                f"{first.path} and {model.path} need different spectrograms: use them one after "
                "the other."
            )
        if model.name in models:
            raise UserError(
                f"{models[model.name].path} and {model.path} are both of study {model.study}, "
                f"class {model.class_name} and strategy {model.strategy}: name one of them."
            )
        models[model.name] = model
    return list(models.values())


def _read_model(path: Path, seeds: Sequence[int] | None, device: torch.device) -> TrainedModel:
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a run, or its {MODEL_FILE}.")
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises whatever a damaged file makes it stumble over
        raise UserError(f"{path} is damaged or no model ({type(error).__name__}).") from error
    if not isinstance(saved, dict) or "weights" not in saved:
        raise UserError(f"{path} is no model: name the folder of a run, or its {MODEL_FILE}.")
    if "kind" not in saved:
        raise UserError(
            f"{path} was trained when models did not hold the settings of their data: train it "
            "again."
        )
    if saved["kind"] != "spectrograms":
        raise UserError(
            f"{path} is a model of {saved['kind']}, and recordings can be scored with models of "
            "spectrograms only; `python -m weakneg score` applies it to a feature store."
        )
    try:
        return _model(path, saved, seeds, device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        line = " ".join(str(reason).split())[:_LONGEST_REASON] or type(error).__name__
        raise UserError(
            f"{path} is damaged, or a model of another version ({line}): train it again."
        ) from error


def _model(
    path: Path, saved: dict[str, Any], seeds: Sequence[int] | None, device: torch.device
) -> TrainedModel:
    # The settings choose what is imported and computed, so they are checked as if typed by hand.
    parameters = {name: saved["parameters"][name] for name in _FRONT_END}
    settings = AudioSettings.model_validate(parameters).model_dump(include=set(_FRONT_END))
    n_frames, n_bins = saved["instance_shape"]
    front_end = FrontEnd(settings, (n_frames, n_bins))
    frames = settings["frames"] or front_end.log_mel.n_frames(front_end.clip_samples)
    if front_end.shape != (frames, settings["mel_bins"]):
        raise ValueError(f"its spectrograms are {n_frames} x {n_bins}")
    missing = set(seeds or ()) - set(saved["weights"])
    if missing:
        has = ", ".join(map(str, saved["weights"]))
        raise UserError(f"{path} has no seed {min(missing)}, but {has}.")
    networks = {}
    for seed in seeds or saved["weights"]:
        # In full precision, whatever was quick where it was trained.
        model = ModelSettings.model_validate(saved["model"] | {"precision": "float32"})
        classifier = bag_classifier.load(model, front_end.shape)
        classifier.load_state_dict(saved["weights"][seed])
        networks[seed] = classifier.to(device).eval()
    names = (str(saved[key]) for key in ("study", "class", "strategy"))
    (mean,), (std,) = saved["mean"], saved["std"]
    return TrainedModel(path, *names, front_end, float(mean), float(std), networks)


def _probability(logits: Tensor) -> np.ndarray:
    return logits.double().sigmoid().cpu().numpy()
