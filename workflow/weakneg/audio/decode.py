"""Decoding: audio of any format, rate and number of channels to mono float32 at one rate.

libsndfile reads what it can (WAV, FLAC, Ogg, MP3, AIFF, ...), judging by the content of a file and
not by its suffix. If ffmpeg is installed, it converts the rest (AAC, WMA, the sound of videos, ...)
to a temporary file that libsndfile reads. If miniaudio is installed, it decodes FLAC files that are
read whole: to the same numbers, in three fifths of the time.

Files are not trusted: a damaged, huge or malicious one gives an `AudioError`.
"""

import errno
import math
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from weakneg.audio.ffmpeg import find_ffmpeg

try:
    import miniaudio
except ImportError:  # there is no wheel for Linux on ARM
    miniaudio = None

MISSING, UNREADABLE, EMPTY = "missing", "unreadable", "empty"
TOO_SHORT, SILENT, NOT_FINITE = "too_short", "silent", "not_finite"

SILENT_DBFS = -100.0
"""Sound below this level is silence: a constant amplitude of one step of 16 bits has -90 dBFS."""

CLIPPED_PEAK, CLIPPED_SHARE = 0.99, 1e-3
"""Sound is clipped if more than this share of its samples reaches this absolute value."""

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz
_UNKNOWN_FRAMES = 1 << 48  # libsndfile reports at least this many for a file of unknown length
_LOUDEST = 1e10  # times full scale; integers stored as floats reach 2e9
_CONVERSION_SECONDS = 600
_CONVERSION_BYTES = 4 << 30
_NO_ROOM_BYTES = 1 << 20

# What ffmpeg may read: containers of audio and video that cannot refer to other files.
_CONTAINERS = (
    "3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,m4a,matroska,mov,mp3,mp4,mpc,mpc8,"
    "mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,webm,wv"
)

# The resampling filter: torchaudio's defaults.
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99

_GROUP = 16  # outputs of the resampler that are computed together


class AudioError(Exception):
    """Audio is unusable.

    Attributes
    ----------
    reason : str
        One of the constants of this module, such as "silent". The message has the details.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


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


class AudioFile:
    """An open audio file, or a part of it. Made by `open_audio`.

    Attributes
    ----------
    seconds : float
        Duration of the part.
    file_rate : int
        Sample rate of the file, Hz.
    """

    def __init__(
        self, file: soundfile.SoundFile, sample_rate: int, start: float | None, end: float | None
    ) -> None:
        self._file, self._sample_rate = file, sample_rate
        self.file_rate = rate = file.samplerate
        self._first = 0 if start is None else round(start * rate)
        self._stop = file.frames if end is None else min(round(end * rate), file.frames)
        self.seconds = max(self._stop - self._first, 0) / rate

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
            When the piece is empty, damaged or silent, or holds NaN or absurdly large samples.
        """
        rate = self._file.samplerate
        first = self._first + round(offset * rate)
        count = min(n_samples(seconds, rate), self._stop - first)
        try:
            samples = self._samples(first, count)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioError(UNREADABLE, f"damaged after {first / rate:.2f} s: {error}") from error
        if not len(samples):
            raise AudioError(EMPTY, f"no sound after {first / rate:.2f} s")
        if len(samples) < count:
            raise AudioError(UNREADABLE, f"cut short after {(first + len(samples)) / rate:.2f} s")
        peak = max(float(samples.max()), -float(samples.min()))
        if not peak < _LOUDEST:  # NaN is not smaller either
            raise AudioError(NOT_FINITE, f"a sample of {peak:g}; full scale is 1")
        clipped = np.count_nonzero(np.abs(samples) >= CLIPPED_PEAK) if peak >= CLIPPED_PEAK else 0
        mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
        waveform = resample(mono, rate, self._sample_rate)
        waveform = waveform[: n_samples(seconds, self._sample_rate)]
        waveform = waveform - waveform.mean()
        power = float(np.dot(waveform, waveform)) / len(waveform)
        level = 10 * math.log10(power) if power else -math.inf
        if level < SILENT_DBFS:
            raise AudioError(SILENT, f"no sound louder than {SILENT_DBFS:.0f} dBFS")
        return Sound(waveform, level, peak, clipped / samples.size)

    def _samples(self, first: int, count: int) -> np.ndarray:
        """(`count`, channels) float32, or fewer where the file is cut short."""
        file = self._file
        if miniaudio and file.format == "FLAC" and file.frames < 2 * count:
            samples = _decode_flac(file)
            # It skips what is damaged; libsndfile says what is wrong.
            if samples.shape == (file.frames, file.channels):
                return samples[first : first + count]
        if file.tell() != first:
            file.seek(first)
        return np.asarray(file.read(count, dtype="float32", always_2d=True))


@contextmanager
def open_audio(
    path: str | os.PathLike[str],
    sample_rate: int,
    start: float | None = None,
    end: float | None = None,
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

    Yields
    ------
    AudioFile
        The open file.

    Raises
    ------
    AudioError
        When the file is missing, empty or unreadable, or the part is empty.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_open(path))
        except AudioError as error:
            ffmpeg = find_ffmpeg()
            if error.reason != UNREADABLE or ffmpeg is None:
                raise
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="weakneg-"))
            converted = Path(folder, "converted.wav")
            _convert(ffmpeg, path, converted, start, end)
            file = stack.enter_context(_open(converted))
            start, end = None, None
        audio = AudioFile(file, sample_rate, start, end)
        if not audio.seconds:
            raise AudioError(EMPTY, f"no sound from {start or 0:g} s on")
        yield audio


def _open(path: str | os.PathLike[str]) -> soundfile.SoundFile:
    # By a descriptor: given a name, libsndfile guesses the format from the suffix.
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(MISSING, "not a file")
        if not status.st_size:
            raise AudioError(EMPTY, "the file has 0 bytes")
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise AudioError(MISSING, "no such file") from error
    except (OSError, ValueError) as error:  # for example, a name too long or with a null byte
        reason = getattr(error, "strerror", None) or error
        raise AudioError(UNREADABLE, f"not readable ({reason})") from error
    try:
        file = soundfile.SoundFile(descriptor, closefd=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(UNREADABLE, f"not readable by libsndfile ({error})") from error
    if not _LOWEST_RATE <= file.samplerate <= _HIGHEST_RATE:
        file.close()
        raise AudioError(UNREADABLE, f"unsupported sample rate of {file.samplerate} Hz")
    if file.frames >= _UNKNOWN_FRAMES:  # a stream, such as FLAC written to a pipe
        file.close()
        raise AudioError(UNREADABLE, "a file of unknown length, which needs ffmpeg")
    return file


def _decode_flac(file: soundfile.SoundFile) -> np.ndarray:
    """What is readable of a FLAC file: (S, channels) float32, equal to libsndfile's."""
    descriptor = file.name
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    try:
        decoded = miniaudio.flac_read_f32(content)
    except miniaudio.MiniaudioError:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(decoded.samples, np.float32).reshape(-1, decoded.nchannels)


def _convert(
    ffmpeg: str, path: str | os.PathLike[str], output: Path, start: float | None, end: float | None
) -> None:
    """Convert a part of a file to WAV. Raises AudioError, or OSError when the disk is full."""
    # `file:` and an absolute path: no name is taken for an option or the address of a server.
    command = [ffmpeg, "-nostdin", "-v", "error"]
    command += ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS]
    if start is not None:
        command += ["-ss", repr(float(start))]
    if end is not None:
        command += ["-t", repr(float(end) - float(start or 0))]
    command += ["-i", f"file:{Path(path).absolute()}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
    command += ["-fs", str(_CONVERSION_BYTES), "-f", "wav", f"file:{output}"]
    messages = output.with_name("messages")
    try:
        with open(messages, "wb") as file:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                timeout=_CONVERSION_SECONDS,
            )
    except subprocess.TimeoutExpired as error:
        raise AudioError(
            UNREADABLE, f"not converted by ffmpeg within {_CONVERSION_SECONDS} s"
        ) from error
    if ended.returncode or not output.is_file():
        if shutil.disk_usage(output.parent).free < _NO_ROOM_BYTES:
            raise OSError(errno.ENOSPC, f"no room for temporary files in {output.parent.parent}")
        with open(messages, encoding="utf-8", errors="replace") as file:
            message = re.sub(r"^\[[^]]*\] ", "", file.readline(300).strip())  # an address in memory
        raise AudioError(UNREADABLE, f"not readable by libsndfile or ffmpeg ({message})")
    if output.stat().st_size >= _CONVERSION_BYTES:
        raise AudioError(UNREADABLE, f"more than {_CONVERSION_BYTES >> 30} GiB when decoded")


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
