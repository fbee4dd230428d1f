"""Encoders: foundation models of sound, ONNX files with a waveform in and embeddings out.

The input is float32, mono sound in [-1, 1] of a fixed or any number of samples: (samples,) or
(batch, samples). The output is float, (D,) or (frames, D), with a batch in front or not. A clip is
encoded window by window; its embeddings are the frames of a store of the kind "clips".
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import onnxruntime

from weakneg.audio.clips import Clip
from weakneg.audio.decode import AudioFile, Stretch, n_samples
from weakneg.audio.encoder_file import Interface, digest_of, interface, open_session, version_of
from weakneg.audio.errors import NOT_FINITE, AudioError
from weakneg.config.encoder import Encoding
from weakneg.errors import UserError


@dataclass(frozen=True)
class Encoder:
    """An encoder that is ready to use. Made by `open_encoder`.

    Attributes
    ----------
    encoding : Encoding
        What the embeddings depend on.
    interface : Interface
        What its file says.
    """

    encoding: Encoding
    interface: Interface = field(compare=False)
    _session: onnxruntime.InferenceSession = field(compare=False, repr=False)

    @property
    def window(self) -> int:
        """Samples that are encoded at a time."""
        return n_samples(self.encoding.seconds, self.encoding.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from the start of a window to that of the next."""
        return max(1, round(self.encoding.hop_seconds * self.encoding.sample_rate))

    @cached_property
    def window_shape(self) -> tuple[int, int]:
        """Number of frames of a window, and of their features."""
        _, frames, features = self._encode(np.zeros((1, self.window), np.float32)).shape
        return frames, features

    def n_windows(self, samples: int) -> int:
        """Number of windows of a clip.

        A window starts every `hop` samples until one reaches the end; the last is left out if less
        than half of it is sound, unless it is the only one.
        """
        hops = math.ceil((samples - self.window) / self.hop)  # until one reaches the end
        half = (samples - self.window / 2) // self.hop  # the last that is half full
        return 1 + max(0, int(min(hops, half)))

    def n_frames(self, samples: int) -> int:
        """Number of embeddings of a clip."""
        return self.n_windows(samples) * self.window_shape[0]

    def centre(self, frame: int) -> float:
        """Centre of the sound of an embedding, in seconds from the start of its clip."""
        frames = self.window_shape[0]
        window, inside = divmod(frame, frames)
        samples = window * self.hop + (inside + 0.5) * self.window / frames
        return samples / self.encoding.sample_rate

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Encode a clip.

        Parameters
        ----------
        waveform : (S,) float32
            Samples in [-1, 1]; the last window is padded with zeros.

        Returns
        -------
        (n, D) float32
            Embeddings, in the order of time.
        """
        n = self.n_windows(len(waveform))
        padded = np.zeros((n - 1) * self.hop + self.window, np.float32)
        kept = waveform[: len(padded)]
        padded[: len(kept)] = kept
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        return self._encode(windows).reshape(n * self.window_shape[0], -1)

    def compute_clip(
        self,
        audio: AudioFile,
        start: float,
        end: float,
        stretch: Stretch,
        settings: Mapping[str, Any],
    ) -> Clip:
        """Compute the embeddings of a clip; the parameters are those of `clips.compute_clip`.

        Raises
        ------
        AudioError
            When its sound is unusable, or an embedding is NaN or infinite.
        """
        sound = audio.sound(stretch, end - start)
        features = self(sound.waveform)
        if not np.isfinite(features).all():
            raise AudioError(NOT_FINITE, "the encoder gives numbers that are NaN or infinite")
        return Clip(start, end, sound, features)

    def run(self, windows: np.ndarray) -> np.ndarray:
        """The output of the file for an input of its own shape."""
        output: np.ndarray
        (output,) = self._session.run([self.encoding.output], {self.interface.input: windows})
        return output

    def _encode(self, windows: np.ndarray) -> np.ndarray:
        """Encode windows (n, `window`); returns (n, frames, D) float32."""
        shape = self.interface.shape
        if len(shape) == 2 and shape[0] is None:
            inputs = [np.ascontiguousarray(windows)]
        else:
            inputs = [each if len(shape) == 1 else each[None] for each in windows]
        found = []
        for each in inputs:
            output = self.run(each)
            n = len(windows) // len(inputs)
            if not output.size or not output.ndim or output.size // output.shape[-1] % n:
                raise UserError(
                    f"the output {self.encoding.output!r} of {self.interface.file} has the shape "
                    f"{output.shape} for {n} waveforms, which is not (batch, D) or (batch, frames, "
                    "D): name another output."
                )
            found.append(output.astype(np.float32).reshape(n, -1, output.shape[-1]))
        return np.concatenate(found)


def open_encoder(file: str | os.PathLike[str], encoding: Encoding) -> Encoder:
    """Open an encoder.

    Parameters
    ----------
    file : path
        The ONNX file.
    encoding : Encoding
        What it was, and how it is to be used.

    Returns
    -------
    Encoder

    Raises
    ------
    UserError
        When the file is missing or has another content.
    """
    path = os.fspath(file)
    if digest_of(path) != encoding.digest:
        raise UserError(
            f"{path} is not the encoder that the study was made with: name a copy of that."
        )
    return _open(encoding, *version_of(path))


@lru_cache(maxsize=1)  # several models share it
def _open(encoding: Encoding, file: str, *_version: int) -> Encoder:
    return Encoder(encoding, interface(file), open_session(file))
