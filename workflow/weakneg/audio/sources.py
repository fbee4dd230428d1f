"""The samples of a file, at its own rate and in all its channels, whatever its header says.

libsndfile reads what it can, judging by the content of a file and not by its suffix. ffmpeg reads
the rest, and files whose length libsndfile gets wrong. FLAC files that are read whole are decoded
by miniaudio, if it is installed: to the same numbers, in three fifths of the time.

The number of samples is what decoding gives; a header is only a hint. Where a file is damaged, the
sound after it is read, at its time.
"""

import os
import stat
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import soundfile

from weakneg.audio.errors import EMPTY, MISSING, UNREADABLE, AudioError
from weakneg.audio.ffmpeg import Decoder, find_ffmpeg
from weakneg.audio.lengths import (
    Chunk,
    Mp3,
    Ogg,
    is_piece_of_flac,
    mp3_frames,
    ogg_pages,
    sound_chunk,
)

try:
    import miniaudio
except ImportError:  # there is no wheel for Linux on ARM
    miniaudio = None

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz
_UNKNOWN_FRAMES = 1 << 48  # libsndfile reports at least this many for a file of unknown length
_STEPS = 100  # a second: damage is found as exactly as that
_ENCODER_DELAY = 1105  # samples before the sound that decoders leave out if MP3 has a header
# ffmpeg would look for chunks after the samples, which takes minutes in 4 GiB of silence.
_TO_THE_END_OF_WAV = ("-seekable", "0", "-f", "wav", "-ignore_length", "1")
_ERRORS = (soundfile.LibsndfileError, RuntimeError)


class Window(NamedTuple):
    """Samples from a place in the file on.

    Attributes
    ----------
    samples : ndarray, (n, channels) float32
        As many as asked for, or fewer where the sound ends.
    damaged : bool
        Whether some of them were damaged; then all are 0.
    """

    samples: np.ndarray
    damaged: bool


class Loss(NamedTuple):
    """Sound that is lost.

    Attributes
    ----------
    first, stop : int or None
        Where it begins and ends, in samples from the start of the file; None if that is unknown.
    message : str
        What is wrong.
    """

    first: int | None
    stop: int | None
    message: str


class Source(ABC):
    """The samples of an open file. Closed by the caller.

    Attributes
    ----------
    rate, channels : int
        Sample rate, Hz, and number of channels.
    losses : list of Loss
        The sound that is known to be lost; it grows while the file is read.
    """

    def __init__(self, rate: int, channels: int) -> None:
        if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
            self.close()
            raise AudioError(UNREADABLE, f"unsupported sample rate of {rate} Hz")
        self.rate, self.channels = rate, channels
        self.losses: list[Loss] = []

    @abstractmethod
    def window(self, first: int, stop: int) -> Window:
        """Read the samples from `first` to `stop`, those at the end of the file excepted."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def _lost(self, first: int, stop: int) -> None:
        if stop > first:
            text = f"damaged from {first / self.rate:.2f} to {stop / self.rate:.2f} s"
            self.losses.append(Loss(first, stop, text))

    def _cut_short(self, end: int, said: int) -> None:
        text = f"cut short: the sound ends after {end / self.rate:.2f} s"
        self.losses.append(Loss(end, said, f"{text}, its header says {said / self.rate:.2f} s"))


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a file.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Source
        Its samples.

    Raises
    ------
    AudioError
        When it is missing, empty or unreadable.
    """
    descriptor = _descriptor(path)
    try:
        status = os.fstat(descriptor)
        structure = _structure(os.fspath(path), status.st_size, status.st_mtime_ns)
    except BaseException:
        os.close(descriptor)
        raise
    if find_ffmpeg() is None:
        return _Libsndfile(path, descriptor, structure)
    mp3, chunk = structure.mp3, structure.chunk
    if mp3 is not None and not mp3.as_said:
        os.close(descriptor)
        return _Ffmpeg(path, mp3=mp3)
    if chunk is not None and chunk.is_wav and chunk.found > chunk.said:
        os.close(descriptor)
        return _Ffmpeg(path, _TO_THE_END_OF_WAV)
    try:
        return _Libsndfile(path, descriptor, structure)
    except AudioError:
        return _Ffmpeg(path, mp3=mp3, ogg=structure.ogg)


class _Structure(NamedTuple):
    """What the structure of a file says about its length and its damage."""

    mp3: Mp3 | None
    chunk: Chunk | None
    ogg: Ogg | None
    is_piece: bool


@lru_cache(maxsize=64)
def _structure(path: str, size: int, changed: int) -> _Structure:
    """Parts of a long file are opened one by one, so this is kept while the file is the same."""
    descriptor = _descriptor(path)
    try:
        return _Structure(
            mp3_frames(descriptor),
            sound_chunk(descriptor),
            ogg_pages(descriptor),
            is_piece_of_flac(descriptor),
        )
    finally:
        os.close(descriptor)


def _descriptor(path: str | os.PathLike[str]) -> int:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(MISSING, "not a file")
        if not status.st_size:
            raise AudioError(EMPTY, "the file has 0 bytes")
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise AudioError(MISSING, "no such file") from error
    except (OSError, ValueError) as error:  # for example, a name too long or with a null byte
        reason = getattr(error, "strerror", None) or error
        raise AudioError(UNREADABLE, f"not readable ({reason})") from error


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that reads on without a seek.

    Its method `read` seeks to where it is after each read. That fails at the end of a file whose
    header promises more, and then what was read is lost.
    """

    _reading = False

    def seekable(self) -> bool:
        return not self._reading and super().seekable()

    def read_on(self, count: int) -> np.ndarray:
        """Up to `count` samples from here on, (n, channels) float32."""
        self._reading = True
        try:
            return np.asarray(self.read(count, dtype="float32", always_2d=True))
        finally:
            self._reading = False


def _open(descriptor: int) -> _SoundFile:
    """Open by a descriptor: given a name, libsndfile guesses the format from the suffix."""
    try:
        return _SoundFile(descriptor, closefd=True)
    except _ERRORS as error:
        raise AudioError(UNREADABLE, f"not readable by libsndfile ({error})") from error


class _Libsndfile(Source):
    """A file that libsndfile reads, until it turns out that only ffmpeg reads all of it."""

    def __init__(
        self, path: str | os.PathLike[str], descriptor: int, structure: "_Structure"
    ) -> None:
        self._path = path
        self._other: _Ffmpeg | None = None
        self._file = file = _open(descriptor)
        super().__init__(file.samplerate, file.channels)
        self._frames, self._position = file.frames, 0
        self._damage: list[tuple[int, int]] = []
        self._end_checked = file.format not in ("FLAC", "OGG")  # of others, headers are checked
        if file.frames >= _UNKNOWN_FRAMES:  # a stream, such as FLAC written to a pipe
            self._needs_ffmpeg("a file of unknown length")
        mp3, chunk = structure.mp3, structure.chunk
        if file.format == "MP3" and mp3 is None:
            self._needs_ffmpeg("MPEG audio of unknown length")
        if mp3 is not None:
            there = mp3.frames * mp3.frame_samples
            if mp3.said is None and there > file.frames:
                self._needs_ffmpeg("an MP3 file of unknown length")
            self._frames = min(file.frames, there)
        if chunk is not None and 0 < chunk.found < chunk.said:
            self._cut_short(file.frames, round(file.frames * chunk.said / chunk.found))
        if chunk is not None and chunk.found > chunk.said:
            text = f"the header says {file.frames / self.rate:.2f} s; {chunk.found - chunk.said}"
            self.losses.append(Loss(file.frames, None, f"{text} bytes after that are not read"))
        if structure.ogg and structure.ogg.damage:  # its seeks are wrong near damaged pages
            self._needs_ffmpeg("a damaged Ogg file")
        if structure.ogg and structure.ogg.is_cut:
            text = f"cut short: the sound ends after {file.frames / self.rate:.2f} s"
            self.losses.append(Loss(file.frames, None, f"{text}, without the end of the stream"))
        if structure.is_piece:
            self._needs_ffmpeg("a piece of a FLAC file")

    def _needs_ffmpeg(self, what: str) -> None:
        if find_ffmpeg():
            self.close()
            raise AudioError(UNREADABLE, f"{what}, which needs ffmpeg")
        self._end_checked = True
        self.losses.append(Loss(None, None, f"{what}: without ffmpeg, not all of it is read"))

    def _add_damage(self, first: int, stop: int) -> None:
        self._damage.append((first, stop))
        self._lost(first, stop)

    def window(self, first: int, stop: int) -> Window:
        if self._other is not None:
            return self._other.window(first, stop)
        here = max(first, min(stop, self._frames))
        if any(begin < here and first < end for begin, end in self._damage):
            return Window(np.zeros((here - first, self.channels), np.float32), True)
        samples = self._read(first, here - first)
        if samples is None or len(samples) < here - first:
            self._examine(first, here)
            return self.window(first, stop)
        if stop > self._frames and not self._end_checked:
            self._end_checked = True
            if self._has_more() and self._hand_over(self._frames, self._frames + 1):
                return self.window(first, stop)
        return Window(samples, False)

    def close(self) -> None:
        self._file.close()
        if self._other is not None:
            self._other.close()

    def _read(self, first: int, count: int) -> np.ndarray | None:
        """Up to `count` samples, or None if some are damaged."""
        file = self._file
        if not count:
            return np.empty((0, self.channels), np.float32)
        if miniaudio and file.format == "FLAC" and file.frames < 2 * count:
            samples = _decode_flac(file)
            # It skips what is damaged; libsndfile finds the place.
            if samples.shape == (file.frames, file.channels):
                self._end_checked = True
                return samples[first : first + count]
        try:
            if self._position != first:
                self._seek(first)
            samples = self._file.read_on(count)
        except _ERRORS:
            self._position = -1
            return None
        self._position = first + len(samples)
        return samples

    def _seek(self, first: int) -> None:
        if self._file.seekable():
            self._file.seek(first)
            return
        if not 0 <= self._position <= first:  # GSM, for example, can only be read forwards
            self._reopen()
        while skip := min(first - self._position, self.rate):
            skipped = len(self._file.read_on(skip))
            self._position += skipped
            if skipped < skip:
                raise RuntimeError("the sound ends before")

    def _reopen(self) -> None:
        self._file.close()
        self._file, self._position = _open(_descriptor(self._path)), 0

    def _examine(self, first: int, stop: int) -> None:
        """Find out what is wrong from `first` to `stop`: damage, or the end of the sound."""
        step = max(1, self.rate // _STEPS)
        self._reopen()
        start, count = first, step
        while start < stop and count:
            samples = self._read(start, min(count, stop - start))
            if samples is None:  # what was read before the error is lost: read less
                self._reopen()
                count //= 2
            elif not len(samples):
                break
            else:
                start += len(samples)
        start = min(start, stop - 1)
        distance = step
        while start + distance < self._frames and not self._is_readable(start + distance, step):
            distance *= 2
        self._reopen()
        if start + distance >= self._frames:
            # Pieces that were cut from a FLAC file cannot be entered, only read from the start.
            if start > first or first == 0 or not self._hand_over(first, first + 1):
                self._cut_short(start, self._frames)
                self._frames, self._end_checked = start, True
            return
        damaged, good = start + distance // 2, start + distance
        while good - damaged > step:
            middle = (damaged + good) // 2
            if self._is_readable(middle, step):
                good = middle
            else:
                damaged = middle
        self._add_damage(start, good)

    def _is_readable(self, first: int, count: int) -> bool:
        count = min(count, self._frames - first)
        with _open(_descriptor(self._path)) as file:
            try:
                file.seek(first)
                return len(file.read_on(count)) == count
            except _ERRORS:
                return False

    def _has_more(self) -> bool:
        """Whether there is something after the sound."""
        if self._position != self._frames and self._read(self._frames - 1, 1) is None:
            return False
        descriptor = self._file.name
        return os.lseek(descriptor, 0, os.SEEK_CUR) < os.fstat(descriptor).st_size

    def _hand_over(self, first: int, stop: int) -> bool:
        """Let ffmpeg read the file from now on, if it finds sound from `first` to `stop`."""
        if not find_ffmpeg():
            return False
        try:
            other = _Ffmpeg(self._path)
        except AudioError:
            return False
        same = (other.rate, other.channels) == (self.rate, self.channels)
        if not same or len(other.window(first, stop).samples) < stop - first:
            other.close()
            return False
        other.losses = self.losses
        self._other = other
        return True


def _decode_flac(file: _SoundFile) -> np.ndarray:
    """What is readable of a FLAC file: (S, channels) float32, equal to libsndfile's."""
    descriptor = file.name
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    try:
        decoded = miniaudio.flac_read_f32(content)
    except miniaudio.MiniaudioError:
        return np.empty((0, 0), np.float32)
    return np.frombuffer(decoded.samples, np.float32).reshape(-1, decoded.nchannels)


class _Ffmpeg(Source):
    """A file that ffmpeg decodes from start to end; what was read last is kept."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        options: Sequence[str] = (),
        mp3: Mp3 | None = None,
        ogg: Ogg | None = None,
    ) -> None:
        ffmpeg = find_ffmpeg()
        assert ffmpeg is not None
        if mp3 is not None:  # without a header that may be wrong
            options = ("-f", "mp3", "-skip_initial_bytes", str(mp3.begin))
        self._open = partial(Decoder, ffmpeg, path, options)
        self._decoder = self._open()
        super().__init__(self._decoder.rate, self._decoder.channels)
        self._all_gaps: list[tuple[int, int]] = []  # where samples are missing, and how many
        self._damage: list[tuple[int, int]] = []
        self._said = self._delay = 0  # samples
        if mp3 is not None:
            self._delay = mp3.delay
            self._add_gaps(mp3)
        for first, stop in ogg.damage if ogg else ():
            self._damage.append((first, stop))
            self._lost(first, stop)
        self._rewind()

    def _add_gaps(self, mp3: Mp3) -> None:
        size, n_lost = mp3.frame_samples, 0
        unread = 0
        if mp3.gaps:  # ffmpeg may leave out frames beside damaged ones, too
            read = 0
            while count := len(self._decoder.read()):
                read += count
            unread = round((mp3.frames - read / size) / len(mp3.gaps))
            self._decoder.close()
            self._decoder = self._open()
        for before, lost in mp3.gaps:
            at = max(0, (before + n_lost - 1) * size - mp3.delay)
            n_lost += lost
            self._all_gaps.append((at, max(0, lost + unread) * size))
            # A frame overlaps with the one before it, and may need bits of two before it.
            self._damage.append((at, at + (lost + 3) * size))
            self._lost(*self._damage[-1])
        if mp3.said is not None and mp3.said > mp3.frames + n_lost + 1:
            self._said = mp3.said * size - mp3.delay

    def _rewind(self) -> None:
        self._blocks: deque[np.ndarray] = deque()
        self._begin = self._end = 0  # of the samples in blocks
        self._rest = np.empty((0, self.channels), np.float32)
        self._gaps = deque(self._all_gaps)
        self._silence, self._to_skip = 0, self._delay

    def window(self, first: int, stop: int) -> Window:
        if first < self._begin:
            self._decoder.close()
            self._decoder = self._open()
            self._rewind()
        while self._end < stop and self._advance():
            # As much as is asked for now may be asked for again, at the end of the sound.
            needed = min(first, self._end - (stop - first))
            while self._blocks and self._begin + len(self._blocks[0]) <= needed:
                self._begin += len(self._blocks.popleft())
        samples = np.zeros((max(0, min(stop, self._end) - first), self.channels), np.float32)
        if any(begin < stop and first < end for begin, end in self._damage):
            return Window(samples, True)
        at = self._begin
        for block in self._blocks:
            low, high = max(first, at), min(stop, at + len(block))
            if low < high:
                samples[low - first : high - first] = block[low - at : high - at]
            at += len(block)
        return Window(samples, False)

    def close(self) -> None:
        self._decoder.close()

    def _advance(self) -> bool:
        """Decode a block; False at the end of the sound."""
        if self._silence:
            block = np.zeros((min(self._silence, self.rate), self.channels), np.float32)
            self._silence -= len(block)
        else:
            block = self._rest if len(self._rest) else self._decoder.read()
            while self._to_skip and len(block):
                block, n_skipped = block[self._to_skip :], min(self._to_skip, len(block))
                self._to_skip -= n_skipped
                block = block if len(block) else self._decoder.read()
            if not len(block):
                self._finish()
                return False
            if self._gaps and self._end + len(block) >= self._gaps[0][0]:
                at, self._silence = self._gaps.popleft()
                block, self._rest = np.split(block, [at - self._end])
            else:
                self._rest = block[:0]
        self._blocks.append(block)
        self._end += len(block)
        return True

    def _finish(self) -> None:
        if self._said > self._end and not any("cut short" in text for *_, text in self.losses):
            self._cut_short(self._end, self._said)
        message = self._decoder.message
        text = f"damaged: ffmpeg may have left out some of it ({message})"
        loss = Loss(None, None, text)
        if message and not self._damage and loss not in self.losses:
            self.losses.append(loss)
