"""Decoding: audio of any format, rate and number of channels to mono float32 at one rate.

Files are not trusted: a damaged, huge or malicious one gives an `AudioError`, or as much of its
sound as can be read (see `weakneg.audio.sources`).
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakneg.audio.errors import (
    CANCELLED,
    EMPTY,
    NOT_FINITE,
    SILENT,
    UNREADABLE,
    AudioError,
)
from weakneg.audio.sources import Loss, Source, open_source

Channel = Literal["mean", "first", "loudest", "each"]
"""What of several channels is used."""

SILENT_DBFS = -100.0
"""Sound below this level is silence: a constant amplitude of one step of 16 bits has -90 dBFS."""

CLIPPED_PEAK, CLIPPED_SHARE = 0.99, 1e-3
"""Sound is clipped if more than this share of its samples reaches this absolute value."""

OTHER_UNIT_PEAK = 16.0
"""Samples beyond this many times full scale are not clipped: they are in another unit."""

_LOUDEST = 1e10  # times full scale; integers stored as floats reach 2e9

# The resampling filter: torchaudio's defaults.
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99

_GROUP = 16  # outputs of the resampler that are computed together


@dataclass(frozen=True)
class Sound:
    """A piece of sound.

    Attributes
    ----------
    waveform : ndarray, (S,) float32
        Mono, with mean 0.
    level : float
        Root mean square of the waveform, dBFS.
    peak : float
        Largest absolute value in any channel of the file, before resampling; full scale is 1.
    clipped : float
        Share of the samples of all channels whose absolute value is at least `CLIPPED_PEAK`.
    """

    waveform: np.ndarray
    level: float
    peak: float
    clipped: float


class Stretch(NamedTuple):
    """Samples of a recording as they are in the file.

    Attributes
    ----------
    samples : ndarray, (n, channels) float32
        As many as asked for, or fewer where the part ends.
    end : float
        Seconds from the start of the part.
    damaged : bool
        Whether some samples were damaged; then all are 0.
    """

    samples: np.ndarray
    end: float
    damaged: bool

    def of_channel(self, channel: int) -> "Stretch":
        """The same of one channel, counted from 1."""
        return self._replace(samples=self.samples[:, channel - 1 : channel])


class Lost(NamedTuple):
    """Sound that cannot be read.

    Attributes
    ----------
    start, end : float or None
        Seconds from the start of the part; None if unknown.
    message : str
        What is wrong, with times in the file.
    """

    start: float | None
    end: float | None
    message: str


class AudioFile:
    """An open audio file, or a part of it. Made by `open_audio`.

    Attributes
    ----------
    file_rate : int
        Sample rate of the file, Hz.
    """

    def __init__(
        self,
        source: Source,
        sample_rate: int,
        start: float | None,
        end: float | None,
        channel: Channel,
    ) -> None:
        self._source, self._sample_rate, self.file_rate = source, sample_rate, source.rate
        self._channel = channel
        self._first = 0 if start is None else round(start * source.rate)
        self._stop = None if end is None else round(end * source.rate)
        self._told: set[Loss] = set()
        self._reached, self._ended = 0, False  # samples from the start of the part

    @property
    def seconds(self) -> float:
        """Duration of the part as far as it was read, with what was lost."""
        found = [
            self._reached,
            *(loss.stop - self._first for loss in self._source.losses if loss.stop),
        ]
        longest = max(found) if self._stop is None else min(max(found), self._stop - self._first)
        return longest / self._source.rate

    def stretch(self, offset: float, seconds: float) -> Stretch:
        """Read samples; how many there are is only known once they are read.

        Parameters
        ----------
        offset : float
            Seconds from the start of the part. Going back by more than `seconds` may be slow.
        seconds : float
            Duration.

        Returns
        -------
        Stretch
            The samples; none after the end of the part.

        Raises
        ------
        AudioError
            When the part has no samples at all.
        """
        rate = self._source.rate
        first = self._first + round(offset * rate)
        count = n_samples(seconds, rate)
        stop = first + count
        if self._stop is not None:
            stop = max(first, min(stop, self._stop))
        samples, damaged = self._source.window(first, stop)
        if not offset and not len(samples):
            if self._source.losses:
                raise AudioError(UNREADABLE, self._source.losses[-1].message)
            raise AudioError(EMPTY, f"no sound from {first / rate:g} s on")
        if len(samples) or not self._ended:  # without samples, the end is between two clips
            self._reached = max(self._reached, first - self._first + len(samples))
        self._ended |= len(samples) < count
        end = offset + seconds
        if len(samples) < count:
            end = min(end, (first - self._first + len(samples)) / rate)
        return Stretch(samples, end, damaged)

    def channels(self, stretch: Stretch) -> Iterator[tuple[int | None, Stretch]]:
        """Yield what is heard of a stretch: its channels, if each is heard, or all of it.

        Parameters
        ----------
        stretch : Stretch
            The samples.

        Yields
        ------
        int or None, Stretch
            The number of the channel, from 1, and its samples; None and all samples where a clip is
            made of all channels, or where there is only one.
        """
        n_channels = stretch.samples.shape[1]
        if self._channel != "each" or n_channels == 1:
            yield None, stretch
            return
        for channel in range(1, n_channels + 1):
            yield channel, stretch.of_channel(channel)

    def sound(self, stretch: Stretch, seconds: float) -> Sound:
        """Make mono sound at the sample rate asked for.

        Parameters
        ----------
        stretch : Stretch
            The samples; if each channel is heard, those of one.
        seconds : float
            The duration that was asked for; rounding gives no sample more.

        Returns
        -------
        Sound
            The sound.

        Raises
        ------
        AudioError
            When it is empty, damaged or silent, or holds NaN or absurdly large samples.
        """
        samples = stretch.samples
        if stretch.damaged:
            raise AudioError(UNREADABLE, self._source.losses[-1].message)
        if not len(samples):
            raise AudioError(EMPTY, f"no sound after {stretch.end:g} s")
        peak = max(float(samples.max()), -float(samples.min()))
        if not peak < _LOUDEST:  # NaN is not smaller either
            raise AudioError(NOT_FINITE, f"a sample of {peak:g}; full scale is 1")
        clipped = np.count_nonzero(np.abs(samples) >= CLIPPED_PEAK) if peak >= CLIPPED_PEAK else 0
        waveform = resample(_mono(samples, self._channel), self._source.rate, self._sample_rate)
        waveform = waveform[: n_samples(seconds, self._sample_rate)]
        waveform = waveform - waveform.mean()
        power = float(np.dot(waveform, waveform)) / len(waveform)
        level = 10 * math.log10(power) if power else -math.inf
        if level < SILENT_DBFS:
            silent = not float(samples.std(axis=0).max()) > 10 ** (SILENT_DBFS / 20)
            if silent or self._channel == "each":
                raise AudioError(SILENT, f"no sound louder than {SILENT_DBFS:.0f} dBFS")
            if self._channel == "mean":
                text = "the channels have opposite signs, so that nothing is left of their mean"
                raise AudioError(CANCELLED, text)
            raise AudioError(SILENT, "no sound in the first channel, but in another")
        return Sound(waveform, level, peak, clipped / samples.size)

    def read(self, offset: float, seconds: float) -> Sound:
        """Read and resample a piece of the part.

        Parameters
        ----------
        offset : float
            Start of the piece, in seconds from the start of the part.
        seconds : float
            Duration of the piece; it is shorter where the part ends.

        Returns
        -------
        Sound
            The piece.

        Raises
        ------
        AudioError
            As for `sound`.
        """
        return self.sound(self.stretch(offset, seconds), seconds)

    def lost(self, before: float = math.inf) -> Iterator[Lost]:
        """Yield what has turned out to be lost in the part, each loss once.

        Parameters
        ----------
        before : float
            Leave out what begins later, in seconds from the start of the part.

        Yields
        ------
        Lost
            A loss.
        """
        rate, stop = self._source.rate, math.inf if self._stop is None else self._stop
        for loss in sorted(self._source.losses, key=lambda loss: loss.first or 0):
            first, end, message = loss
            start = None if first is None else (first - self._first) / rate
            if loss in self._told or (start is not None and start >= before):
                continue
            self._told.add(loss)
            if (first or 0) < stop and (end is None or end > self._first):
                end_seconds = None if end is None else (min(end, stop) - self._first) / rate
                yield Lost(None if start is None else max(0.0, start), end_seconds, message)


@contextmanager
def open_audio(
    path: str | os.PathLike[str],
    sample_rate: int,
    start: float | None = None,
    end: float | None = None,
    channel: Channel = "mean",
) -> Iterator[AudioFile]:
    """Open an audio file, or a part of it, as a context manager.

    Parameters
    ----------
    path : path
        The file.
    sample_rate : int
        Rate to resample to, Hz.
    start, end : float, optional
        The part to use, in seconds; by default all of the file.
    channel : {"mean", "first", "loudest", "each"}
        What of several channels to use: their mean, the first, that with the largest power in the
        piece that is read, or each for itself: see `AudioFile.channels`.

    Yields
    ------
    AudioFile
        The open file.

    Raises
    ------
    AudioError
        When the file is missing, empty or unreadable.
    """
    source = open_source(path)
    try:
        yield AudioFile(source, sample_rate, start, end, channel)
    finally:
        source.close()


def _mono(samples: np.ndarray, channel: Channel) -> np.ndarray:
    """One waveform (S,) of samples (S, channels)."""
    if channel == "mean" and samples.shape[1] > 1:
        mean: np.ndarray = samples.mean(axis=1)
        return mean
    number = int(samples.var(axis=0).argmax()) if channel == "loudest" else 0
    return np.ascontiguousarray(samples[:, number])


def n_samples(seconds: float, rate: int) -> int:
    """Number of samples that start within `seconds`, up to rounding errors, at `rate` Hz."""
    return math.ceil(seconds * rate - 1e-6)


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample a waveform with the windowed sinc filter of torchaudio, at its default parameters.

    An output needs few of the inputs of a common period of both rates, and neighbouring outputs
    need nearly the same ones. So a group of outputs is one matrix product over all common periods.

    Parameters
    ----------
    waveform : ndarray, (S,) float32
        Samples at `rate`.
    rate, new_rate : int
        Sample rates, Hz.

    Returns
    -------
    ndarray, (ceil(S * new_rate / rate),) float32
        Samples at `new_rate`.
    """
    divisor = math.gcd(rate, new_rate)
    up, down = new_rate // divisor, rate // divisor
    if up == down:
        return waveform
    several = -(-4 * _GROUP // min(up, down))
    up, down = several * up, several * down
    groups = _kernel(up, down)
    length = -(-len(waveform) * up // down)
    periods = -(-length // up)
    before = -groups[0][0]
    after = (periods - 1) * down + groups[-1][0] + len(groups[-1][1]) - len(waveform)
    padded = torch.from_numpy(np.pad(waveform, (before, max(0, after))))
    resampled = torch.empty(periods, up)
    for (first, weights), group in zip(groups, torch.split(resampled, _GROUP, 1), strict=True):
        inputs = padded.as_strided((periods, len(weights)), (down, 1), before + first)
        torch.mm(inputs, weights, out=group)
    return resampled.view(-1)[:length].numpy()


@lru_cache(maxsize=8)
def _kernel(up: int, down: int) -> list[tuple[int, Tensor]]:
    """The first input and the (inputs, outputs) weights of each group of outputs in a period.

    `up` and `down` are the numbers of outputs and inputs in a period.
    """
    base = min(up, down) * _ROLLOFF
    reach = _ZERO_CROSSINGS * down / base  # inputs
    groups = []
    for start in range(0, up, _GROUP):
        places = np.arange(start, min(start + _GROUP, up)) * (down / up)
        first, last = math.floor(places[0] - reach), math.ceil(places[-1] + reach)
        t = (np.arange(first, last + 1)[:, None] - places) * (base / down)
        t = t.clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
        window = np.cos(t * (math.pi / _ZERO_CROSSINGS / 2)) ** 2
        weights = np.sinc(t) * window * (base / down)
        groups.append((first, torch.from_numpy(weights.astype(np.float32))))
    return groups
