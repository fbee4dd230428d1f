"""Trained models of sound: from a run's `model.pt` to scores of spectrograms or embeddings."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from weakneg.audio.clips import Compute, compute_clip
from weakneg.audio.decode import n_samples
from weakneg.audio.mel import LogMel
from weakneg.config.encoder import Encoding
from weakneg.config.sections import AudioSettings, ModelSettings
from weakneg.errors import UserError
from weakneg.inference.one_class import one_class
from weakneg.models import bag_classifier
from weakneg.models.attention import AttentionHead
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.psla import PslaHead
from weakneg.training.thresholds import Calibration, Validation, read_saved

if TYPE_CHECKING:
    from weakneg.audio.encoder import Encoder

MODEL_FILE = "model.pt"

_FRONT_END = (
    *("sample_rate", "clip_seconds", "hop_seconds", "mel_bins", "frame_length_ms"),
    *("frame_shift_ms", "window", "frames"),
)
# Older models lack them, and so do those with the defaults.
_YOUNGER = ("channel", "low_hz", "high_hz")
_LONGEST_REASON = 200  # characters


class FrontEnd(NamedTuple):
    """How recordings become features; the same for all models that are used together.

    Attributes
    ----------
    settings : dict
        Settings for `weakneg.audio.clips.compute_clips`.
    shape : (T, F)
        Shape of the features of a clip; shorter ones are padded with zeros.
    encoder : Encoder, optional
        What makes embeddings; None for spectrograms.
    """

    settings: dict[str, Any]
    shape: tuple[int, int]
    encoder: "Encoder | None" = None

    @property
    def hears_each(self) -> bool:
        """Whether each channel of a recording is heard for itself."""
        return self.settings.get("channel") == "each"

    @property
    def compute(self) -> Compute:
        """What computes the features of a clip."""
        return compute_clip if self.encoder is None else self.encoder.compute_clip

    def centre(self, row: int) -> float:
        """Centre of a row of the features, in seconds from the start of its clip."""
        if self.encoder is not None:
            return self.encoder.centre(row)
        mel = self.log_mel
        return (row * mel.shift_samples + mel.frame_samples / 2) / mel.sample_rate

    @property
    def log_mel(self) -> LogMel:
        """What computes the spectrograms."""
        return LogMel.of(self.settings)

    @property
    def clip_samples(self) -> int:
        """Number of samples of a clip."""
        return n_samples(self.settings["clip_seconds"], self.settings["sample_rate"])

    def padded(self, features: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Pad features (t, F), t at most T, with zeros.

        Parameters
        ----------
        features : sequence of (t, F) float16 or float32
            Those of B clips.

        Returns
        -------
        (B, T, F) float16 or float32
            The padded features.
        (B, T) bool
            True for the rows that hold sound.
        """
        x = np.zeros((len(features), *self.shape), features[0].dtype)
        sound = np.zeros(x.shape[:2], bool)
        for rows, heard, of_clip in zip(x, sound, features, strict=True):
            rows[: len(of_clip)] = of_clip
            heard[: len(of_clip)] = True
        return torch.from_numpy(x), torch.from_numpy(sound)


class Embeddings(NamedTuple):
    """Embeddings of B clips and their n frames, as a network of D dimensions makes them.

    Attributes
    ----------
    seed : int
        The seed of the network.
    bag : (B, D) float32
        What strategies see of the clips.
    frame : (B, n, D) float32
        Inputs of the last layer.
    """

    seed: int
    bag: np.ndarray
    frame: np.ndarray


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
    embeddings : tuple of Embeddings
        Those of each seed; none if they were not asked for.
    """

    clip: np.ndarray
    frame: np.ndarray | None
    part: np.ndarray | None
    embeddings: tuple[Embeddings, ...] = ()

    @classmethod
    def mean(cls, scores: Sequence["Predictions"]) -> "Predictions":
        """Average the scores of several networks for the same clips."""
        frames = [each.frame for each in scores if each.frame is not None]
        parts = [each.part for each in scores if each.part is not None]
        return cls(
            np.mean([each.clip for each in scores], axis=0),
            np.mean(frames, axis=0) if frames else None,
            np.mean(parts, axis=0) if parts else None,
            tuple(embeddings for each in scores for embeddings in each.embeddings),
        )


@dataclass(frozen=True)
class TrainedModel:
    """The classifiers of a class, one per seed; its score is the mean of their probabilities.

    Attributes
    ----------
    path : Path
        File of the model, which may hold other classes, too.
    study, class_name, strategy : str
        Which run it is.
    front_end : FrontEnd
        How recordings become features.
    mean, std : (1,) or (F,) float32
        Features are normalised with these.
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
    mean: Tensor
    std: Tensor
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
        """Number of rows of the features from one frame that the model scores to the next.

        The first frame is centred on the first row.
        """
        return next(iter(self.networks.values())).frame_step

    @torch.inference_mode()
    def instances(self, seed: int, x: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Encode clips, as all classes of a model of many do.

        Parameters
        ----------
        seed : int
            Which classifier.
        x, sound : tensors
            Features and the rows that hold sound, as `FrontEnd.padded` returns them.

        Returns
        -------
        (B, n, D) float32
            Embeddings of the frames.
        (B, n) bool
            True where there is a frame.
        """
        network = self.networks[seed]
        device = next(network.parameters()).device
        x = (x.to(device).float() - self.mean) / self.std
        if self.front_end.encoder is None:  # a spectrogram is one input of the network
            x = x[:, None]
        return network.instances(x, sound.to(device) if self.masked else None)

    @torch.inference_mode()
    def score(
        self, seed: int, h: Tensor, mask: Tensor, frames: bool, embeddings: bool = False
    ) -> Predictions:
        """Score clips with the classifier of a seed.

        Parameters
        ----------
        seed : int
            Which classifier.
        h, mask : tensors
            The clips, as `instances` returns them.
        frames : bool
            Whether to score frames, too.
        embeddings : bool
            Whether to return embeddings, too.

        Returns
        -------
        Predictions

        Raises
        ------
        UserError
            When a score is NaN or infinite.
        """
        network = self.networks[seed]
        clip = network.head.logit(h, mask)
        if not torch.isfinite(clip).all():
            raise UserError(
                f"{self.path}: seed {seed} gives scores that are NaN or infinite; train it again."
            )
        frame = part = None
        if frames:
            one = torch.ones(mask.numel(), 1, dtype=torch.bool, device=h.device)
            alone = network.head.logit(h.flatten(0, 1)[:, None], one)
            frame = _probability(alone.view(h.shape[:2]))
            if isinstance(network.head, AttentionHead | PslaHead):
                part = network.head.parts(h, mask).double().cpu().numpy()
        if self.calibration is not None:
            clip = self.calibration.logit(clip.double())
        found: tuple[Embeddings, ...] = ()
        if embeddings:
            bag = network.head.score(h, mask, gradients=False).embeddings
            found = (Embeddings(seed, bag.cpu().numpy(), h.cpu().numpy()),)
        return Predictions(_probability(clip), frame, part, found)


def by_file(models: Sequence[TrainedModel]) -> list[list[TrainedModel]]:
    """The models of each file, which are the classes of a model of many, or one model."""
    return [list(classes) for _, classes in groupby(models, key=attrgetter("path"))]


def score_classes(
    classes: Sequence[TrainedModel],
    seed: int,
    x: Tensor,
    sound: Tensor,
    frames: bool,
    embeddings: bool = False,
) -> list[Predictions]:
    """Score clips with the models of a file, which share an encoder.

    Parameters
    ----------
    classes : sequence of TrainedModel
        The models.
    seed, frames, embeddings
        As for `TrainedModel.score`.
    x, sound : tensors
        As for `TrainedModel.instances`.

    Returns
    -------
    list of Predictions
        Those of each model.

    Raises
    ------
    UserError
        When a score is NaN or infinite.
    """
    h, mask = classes[0].instances(seed, x, sound)
    return [model.score(seed, h, mask, frames, embeddings) for model in classes]


def read_models(
    paths: Sequence[str | os.PathLike[str]],
    seeds: Sequence[int] | None,
    device: torch.device,
    encoder: Path | None = None,
) -> list[TrainedModel]:
    """Read trained models that use the same spectrograms, or the same embeddings.

    Parameters
    ----------
    paths : sequence of path
        Folders of runs, or model files.
    seeds : sequence of int, optional
        The classifiers to use; by default all.
    device : torch.device
        Where to put them.
    encoder : Path, optional
        The file of the encoder of the embeddings; by default where it was when they were computed.

    Returns
    -------
    list of TrainedModel
        In the order of `paths`; of a model of many classes, one for each class.

    Raises
    ------
    UserError
        When a file is missing, damaged, or not a model of sound, when it lacks a seed, when models
        need different spectrograms or embeddings, when two have the same study, class and strategy,
        and when the encoder is missing, another one or not needed.
    """
    models: dict[tuple[str, str, str], TrainedModel] = {}
    files = [path / MODEL_FILE if path.is_dir() else path for path in map(Path, paths)]
    for path in dict.fromkeys(files):
        for model in _read_models(path, seeds, device, encoder):
            first = next(iter(models.values()), model)
            if model.front_end != first.front_end:
                raise UserError(
                    f"{first.path} and {model.path} need different spectrograms or embeddings: use "
                    "one of them at a time."
                )
            if model.name in models:
                raise UserError(
                    f"{models[model.name].path} and {model.path} are both of study {model.study}, "
                    f"class {model.class_name} and strategy {model.strategy}: name only one of "
                    "them."
                )
            models[model.name] = model
    return list(models.values())


def _read_models(
    path: Path, seeds: Sequence[int] | None, device: torch.device, encoder: Path | None
) -> list[TrainedModel]:
    saved = read_saved(path)
    if "kind" not in saved:
        raise UserError(
            f"{path} was trained with an old version that did not save the settings of the data: "
            "train it again."
        )
    encodes = saved["kind"] == "clips" and "encoding" in saved.get("parameters", {})
    if saved["kind"] != "spectrograms" and not encodes:
        raise UserError(
            f"{path} is a model of {saved['kind']}, but only models of spectrograms, and those of "
            "studies with an encoder, can score recordings: use `python -m weakneg score_run` to "
            "score a feature store."
        )
    if encoder is not None and not encodes:
        raise UserError(f"{path} is a model of spectrograms, without an encoder: name none.")
    try:
        return _models(path, saved, seeds, device, encoder)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        line = " ".join(str(reason).split())[:_LONGEST_REASON] or type(error).__name__
        raise UserError(
            f"{path} is damaged or of another version ({line}): train it again."
        ) from error


def _models(
    path: Path,
    saved: dict[str, Any],
    seeds: Sequence[int] | None,
    device: torch.device,
    encoder: Path | None,
) -> list[TrainedModel]:
    # The settings decide what is imported and computed, so they are checked like a user's input.
    parameters = {name: saved["parameters"][name] for name in _FRONT_END}
    parameters |= {
        name: saved["parameters"][name] for name in _YOUNGER if name in saved["parameters"]
    }
    settings = AudioSettings.model_validate(parameters).model_dump(include={*parameters})
    if saved["kind"] == "clips":
        front_end = _with_encoder(path, saved, settings, encoder)
    else:
        n_frames, n_bins = saved["instance_shape"]
        front_end = FrontEnd(settings, (n_frames, n_bins))
        frames = settings["frames"] or front_end.log_mel.n_frames(front_end.clip_samples)
        if front_end.shape != (frames, settings["mel_bins"]):
            raise ValueError(f"its spectrograms are {n_frames} x {n_bins}")
    missing = set(seeds or ()) - set(saved["weights"])
    if missing:
        has = ", ".join(map(str, saved["weights"]))
        raise UserError(f"{path} has no seed {min(missing)}: name some of its seeds ({has}).")
    # Scores use full precision, even if training did not.
    model = ModelSettings.model_validate(saved["model"] | {"precision": "float32"})
    classes = saved.get("classes")  # of a model of many
    n_classes = None if classes is None else len(classes)
    networks = {}
    for seed in seeds or saved["weights"]:
        classifier = bag_classifier.load(model, tuple(saved["instance_shape"]), n_classes)
        classifier.load_state_dict(saved["weights"][seed])
        networks[seed] = classifier.to(device).eval()
    study, class_name, strategy = (str(saved[key]) for key in ("study", "class", "strategy"))
    mean, std = (torch.tensor(saved[key], device=device) for key in ("mean", "std"))
    if mean.shape != std.shape or len(mean) not in (1, front_end.shape[1]):
        raise ValueError(f"it has {len(mean)} means and {len(std)} standard deviations")
    masked = saved["parameters"].get("padding") == "masked"  # older models lack it
    of_classes = {class_name: networks}
    if classes is not None:
        of_classes = {
            str(name): {seed: one_class(each, model, number) for seed, each in networks.items()}
            for number, name in enumerate(classes)
        }
    return [
        TrainedModel(
            *(path, study, name, strategy, front_end, mean, std, masked, of_class),
            validation=Validation.of(saved, name, networks),
        )
        for name, of_class in of_classes.items()
    ]


def _with_encoder(
    path: Path, saved: dict[str, Any], settings: dict[str, Any], file: Path | None
) -> FrontEnd:
    """The front end of a model of embeddings."""
    from weakneg.audio.encoder import open_encoder

    known = str(saved["parameters"]["encoder"])
    if file is None and not os.path.exists(known):
        raise UserError(
            f"{path} needs its encoder, which was {known}: name that file, or a copy of it, with "
            "--encoder."
        )
    encoder = open_encoder(file or known, Encoding.model_validate(saved["parameters"]["encoding"]))
    front_end = FrontEnd(settings, (0, 0), encoder)
    n_frames = encoder.n_frames(front_end.clip_samples)
    return front_end._replace(shape=(n_frames, encoder.window_shape[1]))


def _probability(logits: Tensor) -> np.ndarray:
    probability: np.ndarray = logits.double().sigmoid().cpu().numpy()
    return probability
