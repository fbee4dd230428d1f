"""Trained models of sound: from a run's `model.pt` to scores of spectrograms."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
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
from weakneg.models.psla import PslaHead
from weakneg.training.thresholds import Calibration, Validation

MODEL_FILE = "model.pt"

_FRONT_END = (
    *("sample_rate", "clip_seconds", "hop_seconds", "mel_bins", "frame_length_ms"),
    *("frame_shift_ms", "window", "frames"),
)
_YOUNGER = ("low_hz", "high_hz")  # older models lack them, and so do those with the defaults
_LONGEST_REASON = 200  # characters


class FrontEnd(NamedTuple):
    """How recordings become spectrograms; the same for all models that are used together.

    Attributes
    ----------
    settings : dict
        Settings for `weakneg.audio.clips.compute_clip`.
    shape : (T, F)
        Shape of the spectrogram of a clip; shorter ones are padded with zeros.
    """

    settings: dict[str, Any]
    shape: tuple[int, int]

    @property
    def log_mel(self) -> LogMel:
        """What computes the spectrograms."""
        return LogMel.of(self.settings)

    @property
    def clip_samples(self) -> int:
        """Number of samples of a clip."""
        return n_samples(self.settings["clip_seconds"], self.settings["sample_rate"])

    def padded(self, spectrograms: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Pad spectrograms (t, F), t at most T, with zeros.

        Parameters
        ----------
        spectrograms : sequence of (t, F) float16
            B spectrograms.

        Returns
        -------
        (B, T, F) float16
            The padded spectrograms.
        (B, T) bool
            True for the rows that hold sound.
        """
        x = np.zeros((len(spectrograms), *self.shape), np.float16)
        sound = np.zeros(x.shape[:2], bool)
        for rows, heard, spectrogram in zip(x, sound, spectrograms, strict=True):
            rows[: len(spectrogram)] = spectrogram
            heard[: len(spectrogram)] = True
        return torch.from_numpy(x), torch.from_numpy(sound)


class Predictions(NamedTuple):
    """Scores of B clips, and of n frames of each.

    Attributes
    ----------
    clip : (B,) float64
        Probabilities.
    frame : (B, n) float64 or None
        Probability of a clip that consists of this frame only; None if frames are not scored.
    part : (B, n) float64 or None
        What the frame contributes to the logit of the clip (pooling `attention`) or to its
        probability (pooling `psla`). None for other poolings, and if frames are not scored.
    """

    clip: np.ndarray
    frame: np.ndarray | None
    part: np.ndarray | None

    @classmethod
    def mean(cls, scores: Sequence["Predictions"]) -> "Predictions":
        """Average the scores of several networks for the same clips."""
        frames = [each.frame for each in scores if each.frame is not None]
        parts = [each.part for each in scores if each.part is not None]
        return cls(
            np.mean([each.clip for each in scores], axis=0),
            np.mean(frames, axis=0) if frames else None,
            np.mean(parts, axis=0) if parts else None,
        )


@dataclass(frozen=True)
class TrainedModel:
    """The classifiers of a run, one per seed; its score is the mean of their probabilities.

    Attributes
    ----------
    path : Path
        File of the model.
    study, class_name, strategy : str
        Which run it is.
    front_end : FrontEnd
        How recordings become spectrograms.
    mean, std : float
        Spectrograms are normalised with these.
    masked : bool
        Whether the pooling leaves padding out.
    networks : dict of int to BagClassifier
        Seed -> classifier, in evaluation mode.
    validation : Validation or None
        The validation bags of these seeds; None if an old version trained them.
    calibration : Calibration or None
        What makes probabilities of clips from logits, other than the sigmoid.
    """

    path: Path
    study: str
    class_name: str
    strategy: str
    front_end: FrontEnd
    mean: float
    std: float
    masked: bool
    networks: dict[int, BagClassifier]
    validation: Validation | None
    calibration: Calibration | None = None

    @property
    def name(self) -> tuple[str, str, str]:
        """Study, class and strategy."""
        return self.study, self.class_name, self.strategy

    @property
    def seeds(self) -> str:
        """The seeds, separated by semicolons."""
        return ";".join(map(str, self.networks))

    @property
    def frame_step(self) -> int:
        """Number of spectrogram rows from one frame that the model scores to the next.

        The first frame is centred on the first row.
        """
        return next(iter(self.networks.values())).frame_step

    @torch.inference_mode()
    def score(self, seed: int, x: Tensor, sound: Tensor, frames: bool) -> Predictions:
        """Score spectrograms with the classifier of a seed.

        Parameters
        ----------
        seed : int
            Which classifier.
        x, sound : tensors
            Spectrograms and the rows that hold sound, as `FrontEnd.padded` returns them.
        frames : bool
            Whether to score frames, too.

        Returns
        -------
        Predictions

        Raises
        ------
        UserError
            When a score is NaN or infinite.
        """
        network = self.networks[seed]
        device = next(network.parameters()).device
        x = (x.to(device).float() - self.mean) / self.std
        h, mask = network.instances(x[:, None], sound.to(device) if self.masked else None)
        clip = network.head.logit(h, mask)
        if not torch.isfinite(clip).all():
            raise UserError(
                f"{self.path}: seed {seed} gives scores that are NaN or infinite; train it again."
            )
        frame = part = None
        if frames:
            one = torch.ones(mask.numel(), 1, dtype=torch.bool, device=device)
            alone = network.head.logit(h.flatten(0, 1)[:, None], one)
            frame = _probability(alone.view(h.shape[:2]))
            if isinstance(network.head, AttentionHead | PslaHead):
                part = network.head.parts(h, mask).double().cpu().numpy()
        if self.calibration is not None:
            clip = self.calibration.logit(clip.double())
        return Predictions(_probability(clip), frame, part)


def read_models(
    paths: Sequence[str | os.PathLike[str]], seeds: Sequence[int] | None, device: torch.device
) -> list[TrainedModel]:
    """Read trained models that use the same spectrograms.

    Parameters
    ----------
    paths : sequence of path
        Folders of runs, or model files.
    seeds : sequence of int, optional
        The classifiers to use; by default all.
    device : torch.device
        Where to put them.

    Returns
    -------
    list of TrainedModel
        In the order of `paths`.

    Raises
    ------
    UserError
        When a file is missing, damaged, or not a model of sound, when it lacks a seed, when models
        need different spectrograms, and when two have the same study, class and strategy.
    """
    models: dict[tuple[str, str, str], TrainedModel] = {}
    files = [path / MODEL_FILE if path.is_dir() else path for path in map(Path, paths)]
    for path in dict.fromkeys(files):
        model = _read_model(path, seeds, device)
        first = next(iter(models.values()), model)
        if model.front_end != first.front_end:
            raise UserError(
                f"{first.path} and {model.path} need different spectrograms: use one of them at a "
                "time."
            )
        if model.name in models:
            raise UserError(
                f"{models[model.name].path} and {model.path} are both of study {model.study}, "
                f"class {model.class_name} and strategy {model.strategy}: name only one of them."
            )
        models[model.name] = model
    return list(models.values())


def _read_model(path: Path, seeds: Sequence[int] | None, device: torch.device) -> TrainedModel:
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a run or its {MODEL_FILE}.")
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # on damaged files torch.load raises nearly anything
        raise UserError(
            f"{path} is damaged or not a model ({type(error).__name__}): name the folder of a run "
            f"or its {MODEL_FILE}."
        ) from error
    if not isinstance(saved, dict) or "weights" not in saved:
        raise UserError(f"{path} is not a model: name the folder of a run or its {MODEL_FILE}.")
    if "kind" not in saved:
        raise UserError(
            f"{path} was trained with an old version that did not save the settings of the data: "
            "train it again."
        )
    if "classes" in saved:
        raise UserError(
            f"{path} is a model of many classes (task: multilabel), which cannot score recordings "
            "yet: name runs of a study with task: binary."
        )
    if saved["kind"] != "spectrograms":
        raise UserError(
            f"{path} is a model of {saved['kind']}, but only models of spectrograms can score "
            "recordings: use `python -m weakneg score_run` to score a feature store."
        )
    try:
        return _model(path, saved, seeds, device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        line = " ".join(str(reason).split())[:_LONGEST_REASON] or type(error).__name__
        raise UserError(
            f"{path} is damaged or of another version ({line}): train it again."
        ) from error


def _model(
    path: Path, saved: dict[str, Any], seeds: Sequence[int] | None, device: torch.device
) -> TrainedModel:
    # The settings decide what is imported and computed, so they are checked like a user's input.
    parameters = {name: saved["parameters"][name] for name in _FRONT_END}
    parameters |= {
        name: saved["parameters"][name] for name in _YOUNGER if name in saved["parameters"]
    }
    settings = AudioSettings.model_validate(parameters).model_dump(include={*parameters})
    n_frames, n_bins = saved["instance_shape"]
    front_end = FrontEnd(settings, (n_frames, n_bins))
    frames = settings["frames"] or front_end.log_mel.n_frames(front_end.clip_samples)
    if front_end.shape != (frames, settings["mel_bins"]):
        raise ValueError(f"its spectrograms are {n_frames} x {n_bins}")
    missing = set(seeds or ()) - set(saved["weights"])
    if missing:
        has = ", ".join(map(str, saved["weights"]))
        raise UserError(f"{path} has no seed {min(missing)}: name some of its seeds ({has}).")
    networks = {}
    for seed in seeds or saved["weights"]:
        # Scores use full precision, even if training did not.
        model = ModelSettings.model_validate(saved["model"] | {"precision": "float32"})
        classifier = bag_classifier.load(model, front_end.shape)
        classifier.load_state_dict(saved["weights"][seed])
        networks[seed] = classifier.to(device).eval()
    study, class_name, strategy = (str(saved[key]) for key in ("study", "class", "strategy"))
    (mean,), (std,) = saved["mean"], saved["std"]
    masked = saved["parameters"].get("padding") == "masked"  # older models lack it
    return TrainedModel(
        *(path, study, class_name, strategy, front_end, float(mean), float(std), masked, networks),
        validation=Validation.of(saved, networks),
    )


def _probability(logits: Tensor) -> np.ndarray:
    probability: np.ndarray = logits.double().sigmoid().cpu().numpy()
    return probability
