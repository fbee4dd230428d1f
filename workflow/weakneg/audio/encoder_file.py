"""What the ONNX file of an encoder says: its input, its outputs and its content.

Without PyTorch, since every start of the workflow checks the configuration.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime

from weakneg.errors import UserError

_DIGEST = 32  # hexadecimal digits
_LONGEST_REASON = 200  # characters
_RATE = "sample_rate"  # key of the metadata of a file, as `weakneg export` writes it
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")

Shape = tuple[int | None, ...]
"""Shape of a tensor; None where a number is not fixed."""


class Interface(NamedTuple):
    """What goes into an encoder and what comes out, as its file says.

    Attributes
    ----------
    file : str
        The file.
    input : str
        Name of the input.
    shape : tuple of int or None
        Shape of the input.
    outputs : list of str
        Names of the outputs that can be embeddings.
    others : list of str
        Names of the other outputs.
    sample_rate : str
        Hz, if the metadata of the file have it; otherwise "".
    """

    file: str
    input: str
    shape: Shape
    outputs: list[str]
    others: list[str]
    sample_rate: str

    def check_rate(self, sample_rate: int) -> None:
        """Raise UserError if the file says that its sample rate is another one."""
        if self.sample_rate and self.sample_rate != str(sample_rate):
            raise UserError(
                f"{self.file} says that it was made for {self.sample_rate} Hz: set sample_rate to "
                f"that, not to {sample_rate}."
            )

    def seconds(self, wanted: float | None, sample_rate: int) -> float:
        """Length of the input.

        Parameters
        ----------
        wanted : float, optional
            The seconds that the study gives.
        sample_rate : int
            Hz.

        Returns
        -------
        float
            Seconds.

        Raises
        ------
        UserError
            When the file takes another number of samples, or any number and the study gives none.
        """
        samples = self.shape[-1]
        if samples is None and wanted is None:
            raise UserError(
                f"{self.file} takes any number of samples: say in seconds how much sound it is "
                "given at a time."
            )
        if samples is None:
            assert wanted is not None
            return wanted
        if wanted is not None and abs(wanted * sample_rate - samples) > 0.5:
            raise UserError(
                f"{self.file} takes {samples} samples, {samples / sample_rate:g} s at "
                f"{sample_rate} Hz, not {wanted:g} s: correct sample_rate or remove seconds."
            )
        return samples / sample_rate

    def output(self, wanted: str | None) -> str:
        """Name of the output with the embedding.

        Parameters
        ----------
        wanted : str, optional
            The name that the study gives.

        Returns
        -------
        str
            Name.

        Raises
        ------
        UserError
            When there is no such output, or several and the study names none.
        """
        if not self.outputs:
            raise UserError(
                f"{self.file} has no output that can be an embedding, which has the shape "
                "(batch, D) or (batch, frames, D)."
            )
        names = ", ".join(self.outputs)
        if wanted is None and len(self.outputs) > 1:
            raise UserError(f"{self.file} has several outputs: set output to one of {names}.")
        if wanted in self.others:
            raise UserError(
                f"the output {wanted!r} of {self.file} is not an embedding, which has the shape "
                f"(batch, D) or (batch, frames, D): set output to one of {names}."
            )
        if wanted is not None and wanted not in self.outputs:
            raise UserError(f"{self.file} has no output {wanted!r}: set output to one of {names}.")
        return wanted or names


def interface(file: str) -> Interface:
    """Read what goes into an encoder and what comes out.

    Parameters
    ----------
    file : str
        The ONNX file.

    Returns
    -------
    Interface

    Raises
    ------
    UserError
        When the file is missing or not an ONNX model, or its input is not a waveform.
    """
    return _interface(*version_of(file))


@lru_cache
def _interface(file: str, *_version: int) -> Interface:
    session = open_session(file, optimised=False)
    inputs = session.get_inputs()
    shapes = [_shape(each.shape) for each in inputs]
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shapes[0]) not in (1, 2):
        found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
        raise UserError(
            f"{file} takes {found}: an encoder takes one waveform, float32 of the shape (samples) "
            "or (batch, samples)."
        )
    if len(shapes[0]) == 2 and shapes[0][0] not in (None, 1):
        raise UserError(
            f"{file} takes exactly {shapes[0][0]} waveforms at a time: export it for any number of "
            "them, or for one."
        )
    # Without a batch, an embedding may be (D,); of some outputs the file does not say the shape.
    ranks = (0, 2, 3) if len(shapes[0]) == 2 else (0, 1, 2, 3)
    fits: list[str] = []
    others: list[str] = []
    for each in session.get_outputs():
        fitting = each.type in _FLOATS and len(each.shape) in ranks
        (fits if fitting else others).append(each.name)
    rate = session.get_modelmeta().custom_metadata_map.get(_RATE, "")
    return Interface(file, inputs[0].name, shapes[0], fits, others, rate)


def _shape(shape: list[Any]) -> Shape:
    return tuple(n if isinstance(n, int) else None for n in shape)


def digest_of(file: str) -> str:
    """Hash of an encoder, with the files beside it that hold weights of it.

    Parameters
    ----------
    file : str
        The ONNX file.

    Returns
    -------
    str
        32 hexadecimal digits, equal for copies.

    Raises
    ------
    UserError
        When a file cannot be read.
    """
    return _digest_of(*version_of(file))


@lru_cache
def _digest_of(file: str, *_version: int) -> str:
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    digest = hashlib.sha256()
    try:
        tensors = onnx.load(file, load_external_data=False).graph.initializer
        beside = {ExternalDataInfo(each).location for each in tensors if uses_external_data(each)}
        for path in (Path(file), *(Path(file).parent / name for name in sorted(beside))):
            with open(path, "rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise UserError(f"{error.filename or file} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()[:_DIGEST]


def version_of(file: str) -> tuple[str, int, int]:
    """A file with its size and modification time. Raises UserError if it is missing."""
    try:
        status = os.stat(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}): name an ONNX file.") from error
    return file, status.st_size, status.st_mtime_ns


def open_session(file: str, optimised: bool = True) -> onnxruntime.InferenceSession:
    """Open an ONNX file, to be run by one thread at a time or by several. Raises UserError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # recordings are computed side by side
    options.log_severity_level = 3  # errors; they are raised, too
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # nearly anything, for a file that is no model
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UserError(
            f"{file} is not a model that ONNX Runtime can read ({reason}): name an ONNX file."
        ) from error
