"""Models of embeddings as an ONNX graph: windows of waveforms, the encoder, the classifiers."""

from collections.abc import Callable, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from weakneg.audio.encoder import Encoder
from weakneg.errors import UserError
from weakneg.inference.trained import FrontEnd, TrainedModel

_WINDOWS, _SOUND, _EMBEDDING = "windows", "sound", "embedding"
Export = Callable[[nn.Module, tuple[Tensor, ...], Any, list[str], list[str]], "onnx.ModelProto"]


class _Windows(nn.Module):
    """Maps waveforms (batch, S) to windows (batch * n, W), and passes the waveforms on."""

    def __init__(self, front_end: FrontEnd, encoder: Encoder) -> None:
        super().__init__()
        self.clip, self.window, self.hop = front_end.clip_samples, encoder.window, encoder.hop
        self.n = encoder.n_windows(self.clip)
        self.flat = len(encoder.interface.shape) == 1

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        needed = (self.n - 1) * self.hop + self.window
        padded = pad(waveform, (0, self.clip - waveform.shape[1]))
        padded = pad(padded, (0, max(0, needed - self.clip)))
        windows = [padded[:, i * self.hop : i * self.hop + self.window] for i in range(self.n)]
        stacked = torch.stack(windows, 1).flatten(0, 1)
        return stacked[0] if self.flat else stacked, waveform.clone()


class _Classifiers(nn.Module):
    """Maps the embeddings of windows, and the waveforms (batch, S), to scores (batch, models)."""

    def __init__(self, models: Sequence[TrainedModel], encoder: Encoder) -> None:
        super().__init__()
        self.shape = models[0].front_end.shape
        self.window, self.hop = encoder.window, encoder.hop
        self.per_window = encoder.window_shape[0]
        self.models = models
        self.networks = nn.ModuleList(
            nn.ModuleList(model.networks.values()) for model in models
        ).requires_grad_(False)

    def forward(self, embedding: Tensor, sound: Tensor) -> Tensor:
        n_samples = sound.shape[1]
        x = embedding.float().reshape(-1, *self.shape)
        number = torch.arange(self.shape[0] // self.per_window)
        # As `Encoder.n_windows`: half of the window is sound, and the one before left some over.
        heard = (2 * number * self.hop + self.window <= 2 * n_samples) & (
            (number - 1) * self.hop + self.window < n_samples
        )
        mask = ((number == 0) | heard).repeat_interleave(self.per_window)[None]
        scores = []
        for model in self.models:
            normalised = (x - model.mean) / model.std
            logits = [network(normalised, mask) for network in model.networks.values()]
            scores.append(torch.stack(logits).double().sigmoid().mean(0))
        return torch.stack(scores, 1)


def composed(
    models: Sequence[TrainedModel], export: Export, input_name: str, output_name: str
) -> "onnx.ModelProto":
    """Join the encoder of models with their classifiers.

    Parameters
    ----------
    models : sequence of TrainedModel
        Models with the same encoder.
    export : callable
        `export(module, examples, dynamic_shapes, inputs, outputs)` writes a module as ONNX.
    input_name, output_name : str
        Names of the waveforms and of the scores.

    Returns
    -------
    onnx.ModelProto
        From waveforms (batch, samples) to scores (batch, models).

    Raises
    ------
    UserError
        When the encoder takes one waveform at a time and a clip has several windows, or its version
        of ONNX cannot be converted.
    """
    front_end = models[0].front_end
    encoder = front_end.encoder
    assert encoder is not None
    file = encoder.interface.file
    windows = _Windows(front_end, encoder).eval()
    several = len(encoder.interface.shape) == 2 and encoder.interface.shape[0] is None
    if not several and windows.n > 1:
        raise UserError(
            f"{file} takes one waveform at a time, and a clip has {windows.n} windows: export "
            "needs an encoder that takes any number of waveforms."
        )
    n_samples = front_end.clip_samples
    batch: Any = torch.export.Dim("batch") if several else 1
    lengths = torch.export.Dim("samples", min=front_end.log_mel.frame_samples, max=n_samples)
    sound = torch.zeros(2 if several else 1, n_samples)
    sizes = {0: batch, 1: lengths} if several else {1: lengths}
    first = export(windows, (sound,), (sizes,), [input_name], [_WINDOWS, _SOUND])
    embedding = torch.from_numpy(encoder.run(windows(sound)[0].numpy()))
    of_windows = {0: windows.n * batch} if several else {}
    last = export(
        _Classifiers(models, encoder).eval(),
        (embedding, sound),
        (of_windows, sizes),
        [_EMBEDDING, _SOUND],
        [output_name],
    )
    middle = _converted(onnx.load(file), first, file)
    for part in (first, last, middle):
        part.ir_version = max(first.ir_version, middle.ir_version)
    joined = onnx.compose.merge_models(
        onnx.compose.add_prefix(first, "in/", rename_inputs=False),
        onnx.compose.add_prefix(middle, "encoder/"),
        [(f"in/{_WINDOWS}", f"encoder/{encoder.interface.input}")],
        outputs=[f"in/{_SOUND}", f"encoder/{encoder.encoding.output}"],
    )
    return onnx.compose.merge_models(
        joined,
        onnx.compose.add_prefix(last, "out/", rename_outputs=False),
        [
            (f"encoder/{encoder.encoding.output}", f"out/{_EMBEDDING}"),
            (f"in/{_SOUND}", f"out/{_SOUND}"),
        ],
    )


def _converted(encoder: "onnx.ModelProto", like: "onnx.ModelProto", file: str) -> Any:
    """The encoder in the version of ONNX's operators that another model has."""
    (version,) = (each.version for each in like.opset_import if each.domain in ("", "ai.onnx"))
    if any(each.version == version and not each.domain for each in encoder.opset_import):
        return encoder
    try:
        return onnx.version_converter.convert_version(encoder, version)
    except Exception as error:  # nearly anything, where an operator has no conversion
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{file} cannot be converted to version {version} of ONNX's operators ({reason}): "
            "export it in that version."
        ) from error
