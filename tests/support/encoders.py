"""Small encoders of sound as ONNX files: the power of a waveform at some frequencies."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from weakneg.audio.encoder_file import digest_of
from weakneg.config.encoder import Encoding

HERTZ = (200, 700, 1500, 3000, 5000)
RATE = 16_000


def write_encoder(
    path: Path,
    samples: int | None = RATE // 2,
    *,
    frames: int | None = None,
    batch: int | str | None = "batch",
    outputs: tuple[str, ...] = ("embedding",),
    gain: float = 1.0,
    rate: str = "",
    opset: int = 20,
    beside: bool = False,
) -> Path:
    """An encoder of windows of `samples` (None: any number, of RATE // 2 only).

    Its outputs are (batch, D), or (batch, frames, D) if `frames` is given; without `batch`, its
    input is (samples,). "logits" is an output of the same shape, "pairs" one with a dimension more.
    `rate` goes into the metadata. `beside` puts the weights into a second file.
    """
    length = RATE // 2
    part = length // (frames or 1)
    time = np.arange(part) / RATE
    waves = [wave(2 * np.pi * hertz * time) for wave in (np.cos, np.sin) for hertz in HERTZ]
    basis = gain * np.stack(waves, 1).astype(np.float32) / part
    whole = [-1, frames, part] if frames else [-1, part]
    constants = {
        "basis": basis,
        "in": np.array(whole),
        "halves": np.array([0] * (len(whole) - 1) + [2, len(HERTZ)]),
        "axis": np.array([-2]),
        "floor": np.float32(1e-8),
    }
    nodes = [
        helper.make_node("Reshape", ["sound", "in"], ["parts"]),
        helper.make_node("MatMul", ["parts", "basis"], ["waves"]),
        helper.make_node("Mul", ["waves", "waves"], ["squares"]),
        helper.make_node("Reshape", ["squares", "halves"], ["pairs"]),
        helper.make_node("ReduceSum", ["pairs", "axis"], ["power"], keepdims=0),
        helper.make_node("Add", ["power", "floor"], ["above"]),
        helper.make_node("Log", ["above"], ["embedding"]),
        helper.make_node("Identity", ["embedding"], ["logits"]),
    ]
    n = batch if batch is not None else 1
    shape = [n, frames, len(HERTZ)] if frames else [n, len(HERTZ)]
    shapes = {"embedding": shape, "logits": shape, "pairs": [*shape[:-1], 2, len(HERTZ)]}
    sound = [samples or "samples"] if batch is None else [batch, samples or "samples"]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, sound)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    if rate:
        helper.set_model_props(model, {"sample_rate": rate})
    onnx.save(model, path, save_as_external_data=beside, location="weights", size_threshold=128)
    return path


def encoding_of(file: Path, **changes) -> Encoding:
    """How the tests use an encoder: windows of half a second that overlap by half."""
    settings = {"sample_rate": RATE, "seconds": 0.5, "hop_seconds": 0.25, "output": "embedding"}
    return Encoding(digest=digest_of(str(file)), **(settings | changes))
