"""Trained models as one ONNX file, which can be used without this library and without PyTorch.

The input `waveform` (batch, samples) float32 in [-1, 1] is mono sound at the models' sample rate:
clips of the same length, from one frame of the spectrogram to the length of the study's clips. The
output `score` (batch, models) float64 holds probabilities, each the mean over the seeds of a model.
The metadata hold `sample_rate` (Hz), `clip_seconds`, and `models`, JSON with study, class, strategy
and seeds of each column.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import soundfile
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from weakneg.datasets.synthesis import SAMPLE_RATE, SOUNDS, soundscape
from weakneg.errors import UserError
from weakneg.inference.predict import find_recordings, pieces_of
from weakneg.inference.trained import (
    FrontEnd,
    Predictions,
    TrainedModel,
    by_file,
    read_models,
    score_classes,
)
from weakneg.io.files import replace_when_whole
from weakneg.stages import command

INPUT, OUTPUT = "waveform", "score"

MOST_BYTES = 1400 << 20
"""Largest size of the weights in a file. From 1,536 MiB on, including the constants of the
spectrogram, PyTorch writes a second file beside it, since protocol buffers are limited to 2 GiB."""

TOLERANCE = 1e-4
"""Largest difference of a score. Spectrograms are rounded to 16 bits, and a difference between two
libraries in the last of 32 bits can change the last of those 16."""


@command
def export(
    recordings: list[Path] | None = None,
    /,
    *,
    models: list[Path],
    output: Path,
    encoder: Path | None = None,
    seeds: list[int] | None = None,
) -> None:
    """Write trained models as one ONNX file, from waveforms to the scores that `predict` gives.

    The file is checked before it gets its name: ONNX Runtime applies it to noise, to synthetic
    soundscapes and to recordings, and the scores are compared with those of `predict`.

    Parameters
    ----------
    recordings : list of Path
        Audio files, or folders of them, for the check.
    models : list of Path
        Folders of runs, or their model.pt.
    output : Path
        The ONNX file.
    encoder : Path
        As for `predict`; the file that is written contains it.
    seeds : list of int
        The score is the mean over these; by default over all seeds of a run.

    Raises
    ------
    UserError
        When a model or a recording is missing or cannot be used, when the weights have more than
        `MOST_BYTES`, when scores differ by more than `TOLERANCE`, and when the file cannot be
        written.
    """
    loaded = read_models(models, seeds, torch.device("cpu"), encoder)
    size = _n_bytes(network for model in loaded for network in model.networks.values())
    if size > MOST_BYTES:
        raise UserError(
            f"{len(loaded)} models have {size >> 20} MiB of weights, but an ONNX file can hold "
            f"{MOST_BYTES >> 20}: export fewer models, or fewer seeds of them (--seeds)."
        )
    paths = find_recordings(recordings or [])
    print(f"{output}: exporting {len(loaded)} models, about half a minute", file=sys.stderr)
    program = _model(loaded)
    try:
        with replace_when_whole(output) as temporary:
            onnx.save(program, temporary)
            difference, n_clips = _compare(temporary, loaded, paths)
            if not difference <= TOLERANCE:
                raise UserError(
                    f"{output} was not written: its scores differ from those of the models by "
                    f"{difference:.2g}, more than the allowed {TOLERANCE:g}."
                )
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror or error}).") from error
    print(
        f"{output}: scores of {n_clips} clips differ from those of the models by at most "
        f"{difference:.1g}",
        file=sys.stderr,
    )


def _n_bytes(networks: Iterable[nn.Module]) -> int:
    """What networks need together; the classes of a model of many share an encoder."""
    states = (network.state_dict().values() for network in networks)
    distinct = {weights.data_ptr(): weights.nbytes for state in states for weights in state}
    return sum(distinct.values())


class _Scorer(nn.Module):
    """Maps waveforms (batch, samples) to scores (batch, models), in operations that ONNX has."""

    def __init__(self, models: Sequence[TrainedModel]) -> None:
        super().__init__()
        self.front_end = models[0].front_end
        self.normalise = [(model.mean, model.std) for model in models]
        self.masked = [model.masked for model in models]
        self.classifiers = [list(model.networks.values()) for model in models]
        # Registers their weights.
        self.networks = nn.ModuleList(map(nn.ModuleList, self.classifiers)).requires_grad_(False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrogram, sound = _spectrograms(waveform, self.front_end)
        scores = []
        for (mean, std), masked, networks in zip(
            self.normalise, self.masked, self.classifiers, strict=True
        ):
            x = ((spectrogram - mean) / std)[:, None]
            logits = [network(x, sound if masked else None) for network in networks]
            # In float32, the probabilities of all clips with a logit above 16.6 would be 1.
            scores.append(torch.stack(logits).double().sigmoid().mean(0))
        return torch.stack(scores, 1)


def _spectrograms(waveform: Tensor, front_end: FrontEnd) -> tuple[Tensor, Tensor]:
    """Compute what `FrontEnd.padded` gives of `compute_clip`, for waveforms (batch, S)."""
    log_mel, n_samples = front_end.log_mel, waveform.shape[1]
    n_rows = min(log_mel.n_frames(front_end.clip_samples), front_end.shape[0])
    first = log_mel.shift_samples * torch.arange(n_rows)
    waveform = pad(waveform, (0, front_end.clip_samples - n_samples))
    # The mean of the clip needs no removal, since that of every frame is removed.
    frames = waveform[:, first[:, None] + torch.arange(log_mel.frame_samples)]
    x = log_mel.of_frames(frames.flatten(0, 1)).unflatten(0, (-1, n_rows)).half().float()
    heard = first + log_mel.frame_samples <= n_samples
    padding = front_end.shape[0] - n_rows
    x = pad(torch.where(heard[:, None], x, 0.0), (0, 0, 0, padding))
    return x, pad(heard, (0, padding))[None]


def _model(models: Sequence[TrainedModel]) -> "onnx.ModelProto":
    front_end = models[0].front_end
    if front_end.encoder is not None:
        from weakneg.inference.compose import composed

        model = composed(models, _exported, INPUT, OUTPUT)
    else:
        n_samples = front_end.clip_samples
        lengths = torch.export.Dim("samples", min=front_end.log_mel.frame_samples, max=n_samples)
        scorer, example = _Scorer(models).eval(), torch.zeros(2, n_samples)
        scorer(example)  # makes the mel filters, which are cached: making them cannot be exported
        sizes = {0: torch.export.Dim("batch"), 1: lengths}
        model = _exported(scorer, (example,), (sizes,), [INPUT], [OUTPUT])
    columns = [
        dict(zip(("study", "class", "strategy", "seeds"), (*m.name, [*m.networks]), strict=True))
        for m in models
    ]
    metadata = {key: str(front_end.settings[key]) for key in ("sample_rate", "clip_seconds")}
    onnx.helper.set_model_props(model, metadata | {"models": json.dumps(columns)})
    return model


def _exported(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    dynamic_shapes: tuple[dict[int, Any], ...],
    inputs: list[str],
    outputs: list[str],
) -> "onnx.ModelProto":
    """A module as ONNX."""
    try:
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns about its own code
            program = torch.onnx.export(
                module,
                examples,
                dynamic_shapes=dynamic_shapes,
                input_names=inputs,
                output_names=outputs,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"the models cannot be written as ONNX: {error.__cause__}") from error
    assert program is not None  # it is with `dynamo`
    return program.model_proto


def _compare(
    file: Path, models: Sequence[TrainedModel], recordings: Sequence[str]
) -> tuple[float, int]:
    """Compare the scores of the file with those of the models.

    Parameters
    ----------
    file : Path
        The ONNX file.
    models : sequence of TrainedModel
        The models in it.
    recordings : sequence of str
        Audio files to use for the comparison, besides noise and soundscapes.

    Returns
    -------
    float, int
        The largest difference, and the number of clips.

    Raises
    ------
    UserError
        When a clip of a recording cannot be used.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # with so little work, more would wait for each other
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    front_end = models[0].front_end
    largest, n_clips = 0.0, 0
    with tempfile.TemporaryDirectory(prefix="weakneg-") as folder:
        for path in [*_sounds(Path(folder), front_end), *recordings]:
            for piece in pieces_of(path, front_end):
                if piece.clip is None:
                    raise UserError(f"{path} cannot be used for the check ({piece.problem}).")
                (found,) = session.run([OUTPUT], {INPUT: piece.clip.sound.waveform[None]})
                padded = front_end.padded([piece.clip.features])
                by_seed = (
                    [score_classes(each, seed, *padded, frames=False) for seed in each[0].networks]
                    for each in by_file(models)
                )
                expected = [
                    Predictions.mean(scores).clip
                    for of_seeds in by_seed
                    for scores in zip(*of_seeds, strict=True)
                ]
                # Python's max would ignore a NaN.
                largest = float(np.maximum(largest, np.abs(found.T - expected).max()))
                n_clips += 1
    return largest, n_clips


def _sounds(folder: Path, front_end: FrontEnd) -> Iterator[str]:
    """Make sound files for the comparison: noise of several lengths and levels, and soundscapes."""
    rng = np.random.default_rng(0)
    rate, whole = front_end.settings["sample_rate"], front_end.clip_samples
    sounds = [
        (level * rng.standard_normal(length), rate)
        for length in (whole, whole // 2 + 1, front_end.log_mel.frame_samples)
        for level in (0.5, 1e-3)
    ]
    sounds += [(soundscape([name], rng)[0] / 2**15, SAMPLE_RATE) for name in SOUNDS]
    for number, (waveform, sample_rate) in enumerate(sounds):
        path = folder / f"{number}.wav"
        soundfile.write(path, waveform, sample_rate, subtype="FLOAT")
        yield str(path)
