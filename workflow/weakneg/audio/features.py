"""Stage: from the audio files of a shard to its log-mel spectrograms.

A shard is an HDF5 file of the features of some hundred recordings, n clips in the order of the
list:

- `x` (n, T, F): float16, log-mel spectrograms (see `weakneg.audio.mel`); one chunk per clip. Rows
  behind the sound are 0, as in PSLA.
- `length` (n,): int64, rows that hold sound
- `id` (n,): text; that of the recording, or `<id>@<seconds>` of a clip that was cut from it
- `recording` (n,): text, id of the recording
- `start`, `end` (n,): float64, seconds from the beginning of the listed part of the recording
- `level` (n,), `peak` (n,): float32, see `weakneg.audio.decode.Sound`
- `waveform` (n, S): int16, where the settings ask for it; 32767 is full scale, 0 behind the sound
- `sum`, `sum_of_squares`, `count`: float64 and int64, over all numbers of `x` that hold sound
- `problems` (m, 3): text, rows of recording or clip, problem, consequence

Attributes: `format_version`, `settings`, as JSON, and `n_recordings`, those that gave no clip
included; of `x` and `waveform`, `digest` (see `weakneg.hdf5`).
"""

import csv
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch

from weakneg.audio.decode import (
    CLIPPED_SHARE,
    TOO_SHORT,
    AudioError,
    Recording,
    Sound,
    n_samples,
    open_recording,
)
from weakneg.audio.mel import LogMel
from weakneg.errors import UserError
from weakneg.hdf5 import Digest, encoded, new_file, reserve

FORMAT_VERSION = 2
STATUS_COLUMNS = ("id", "path", "start", "end", "status", "message")

COLUMNS = {
    **{"id": str, "recording": str, "start": np.float64, "end": np.float64},
    **{"length": np.int64, "level": np.float32, "peak": np.float32},
}
"""Name and type of the numbers and texts of a clip in the file."""

_PIECE = 16  # clips that a thread computes before they are written
_ROOM = 64  # clips that room is reserved for at a time
_REPORT_SECONDS = 5
_FULL_SCALE = 32767  # of waveforms, in 16 bits
_INT16 = (-32768, 32767)
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Clip:
    """A clip of a recording.

    start, end : seconds from the beginning of the (part of the) recording
    log_mel : (t, F) float16, without padding
    """

    start: float
    end: float
    sound: Sound
    log_mel: np.ndarray


class ShardProblem(NamedTuple):
    """What was wrong with a recording or a clip, and what was done about it."""

    id: str
    problem: str
    consequence: str


class Listed(NamedTuple):
    """A row of the status table: a recording, and where its sound is, if it is anywhere."""

    id: str
    path: str
    start: float | None
    end: float | None
    status: str
    message: str


# ----------------------------------------------------------------------------- clips
def cut(seconds: float, clip_seconds: float, hop_seconds: float) -> list[tuple[float, float]]:
    """Start and end of the clips of a recording of that many seconds.

    Clips begin every `hop_seconds`, until one reaches the end. The last one is shorter if need be;
    it is left out if it has less than half of `clip_seconds`, unless it is the only one.
    """
    clips = [(0.0, min(clip_seconds, seconds))]
    number = 1
    while clips[-1][1] < seconds and seconds - number * hop_seconds >= clip_seconds / 2:
        start = number * hop_seconds
        clips.append((start, min(start + clip_seconds, seconds)))
        number += 1
    return clips


def compute_clip(
    recording: Recording, start: float, end: float, settings: Mapping[str, Any]
) -> Clip:
    """The clip of a recording. Raises AudioError when its sound cannot be used."""
    sound = recording.read(start, end - start)
    log_mel = LogMel.of(settings)
    if not log_mel.n_frames(len(sound.waveform)):
        raise AudioError(TOO_SHORT, f"{end - start:g} s, a frame has {log_mel.frame_length_ms} ms")
    with torch.inference_mode():
        spectrogram = log_mel(torch.from_numpy(sound.waveform))[: settings["frames"]].half()
    return Clip(start, end, sound, spectrogram.numpy())


def clips_of(
    path: str | os.PathLike,
    settings: Mapping[str, Any],
    start: float | None = None,
    end: float | None = None,
) -> Iterator[tuple[str, Clip | AudioError]]:
    """The clips of a recording, or what was wrong with them, one after the other.

    The text is the suffix of the clip's id: empty when the recording is one clip.

    settings : as `shard_features` takes them, but for `waveform`
    start, end : seconds in the file, of the part that is wanted

    Raises AudioError when the whole recording cannot be used.
    """
    with open_recording(path, settings["sample_rate"], start, end) as recording:
        clip_seconds = settings["clip_seconds"]
        parts = cut(recording.seconds, clip_seconds, settings["hop_seconds"] or clip_seconds)
        for part in parts:
            suffix = "" if len(parts) == 1 else f"@{part[0]:g}"
            try:
                yield suffix, compute_clip(recording, *part, settings)
            except AudioError as error:
                yield suffix, error


# ----------------------------------------------------------------------------- shards
def shard_features(
    status: str | os.PathLike, settings: Mapping[str, Any], output: str | os.PathLike, threads: int
) -> None:
    """Compute the features of the recordings in the status table `status`; writes `output`.

    A recording without sound, or a clip whose sound cannot be used, becomes a row of the shard's
    problems. Clips are written as they come, so that memory does not grow with their number.

    settings : `sample_rate`, `clip_seconds`, `hop_seconds` (None: that of `clip_seconds`),
        `mel_bins`, `frame_length_ms`, `frame_shift_ms`, `window`, `frames` (None: those that a clip
        gives) and `waveform` (whether to keep it)
    threads : clips that are computed at a time

    Raises UserError when the table cannot be read, or the shard not be written.
    """
    listed = read_status(status)
    torch.set_num_threads(1)  # each of the threads is one
    progress = _Progress(Path(output).name, len(listed))
    items = in_order((_items(row, settings, progress) for row in listed), threads)
    with new_file(output) as file:
        _write_shard(file, items, settings)
        file.attrs["n_recordings"] = len(listed)


def _items(
    row: Listed, settings: Mapping[str, Any], progress: "_Progress"
) -> Iterator[tuple[str, str, Clip] | ShardProblem]:
    """What a recording contributes: clips, with their id and its, and problems."""
    if row.status != "ok":
        problem = f"{row.status}: {row.message}" if row.message else row.status
        yield ShardProblem(row.id, problem, "excluded")
    else:
        try:
            for suffix, clip in clips_of(row.path, settings, row.start, row.end):
                clip_id = row.id + suffix
                if isinstance(clip, AudioError):
                    yield ShardProblem(clip_id, f"{clip.reason}: {clip}", "excluded")
                    continue
                yield clip_id, row.id, clip
                if clip.sound.clipped > CLIPPED_SHARE:
                    share = f"clipped: {clip.sound.clipped:.1%} of the samples"
                    yield ShardProblem(clip_id, share, "kept")
        except AudioError as error:
            yield ShardProblem(row.id, f"{error.reason}: {error}", "excluded")
    progress.count()


def in_order(sources: Iterable[Iterator], threads: int) -> Iterator:
    """The items of all sources, one source after the other, computed some pieces ahead."""

    if threads == 1:  # in the main thread, where memory that was freed is used again
        for source in sources:
            yield from source
        return

    def advance(source: Iterator) -> tuple[Iterator, list]:
        return source, list(islice(source, _PIECE))

    with ThreadPoolExecutor(threads) as pool:
        sources = iter(sources)
        ahead = deque(pool.submit(advance, source) for source in islice(sources, 2 * threads))
        while ahead:
            source, piece = ahead.popleft().result()
            if len(piece) == _PIECE:
                ahead.appendleft(pool.submit(advance, source))
            else:
                ahead.extend(pool.submit(advance, source) for source in islice(sources, 1))
            yield from piece


def _write_shard(
    file: h5py.File,
    items: Iterable[tuple[str, str, Clip] | ShardProblem],
    settings: Mapping[str, Any],
) -> None:
    log_mel = LogMel.of(settings)
    samples = n_samples(settings["clip_seconds"], settings["sample_rate"])
    n_frames = settings["frames"] or log_mel.n_frames(samples)
    arrays = [_Rows(file, "x", (n_frames, log_mel.mel_bins), np.float16)]
    if settings["waveform"]:
        arrays.append(_Rows(file, "waveform", (samples,), np.int16))
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    problems = []
    sums = np.zeros(2)
    count = 0
    for item in items:
        if isinstance(item, ShardProblem):
            problems.append([text[:_LONGEST_MESSAGE] for text in item])
            continue
        clip_id, recording, clip = item
        number = len(columns["id"])
        if number % _ROOM == 0:
            reserve(file, (number + _ROOM) * sum(rows.row_bytes for rows in arrays))
            for rows in arrays:
                rows.resize(number + _ROOM)
        arrays[0].write(number, clip.log_mel)
        if settings["waveform"]:
            arrays[1].write(number, (clip.sound.waveform * _FULL_SCALE).round().clip(*_INT16))
        values = torch.from_numpy(clip.log_mel).float()
        # Frame by frame in single precision: eight digits are right, in half the time of double.
        sums += [x.sum(1).double().sum().item() for x in (values, values.square())]
        count += values.numel()
        row = (clip_id, recording, clip.start, clip.end, len(clip.log_mel))
        for name, value in zip(columns, (*row, clip.sound.level, clip.sound.peak), strict=True):
            columns[name].append(value)
    for rows in arrays:
        rows.resize(len(columns["id"]))
    contents = {
        name: encoded(values) if dtype is str else np.array(values, dtype)
        for (name, dtype), values in zip(COLUMNS.items(), columns.values(), strict=True)
    }
    texts = [text for problem in problems for text in problem]
    contents["problems"] = encoded(texts).reshape(-1, len(ShardProblem._fields))
    contents |= {"sum": sums[0], "sum_of_squares": sums[1], "count": count}
    clips = len(columns["id"]) * sum(rows.row_bytes for rows in arrays)
    reserve(file, clips + sum(np.asarray(values).nbytes for values in contents.values()))
    for name, values in contents.items():
        file[name] = values
    for rows in arrays:
        rows.finish()
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["settings"] = json.dumps(dict(settings), sort_keys=True)


class _Rows:
    """A data set that grows, a chunk each row; 0 behind rows that are shorter."""

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: type):
        self._data = file.create_dataset(
            name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(1, *shape)
        )
        self._row = np.zeros(shape, dtype)
        self._digest = Digest()
        self.row_bytes = self._row.nbytes

    def resize(self, n_rows: int) -> None:
        self._data.resize(n_rows, axis=0)

    def write(self, number: int, values: np.ndarray) -> None:
        self._row[: len(values)] = values
        self._row[len(values) :] = 0
        # As it is: HDF5 would look for what it need not, and copy it into its cache.
        self._data.id.write_direct_chunk((number, *[0] * self._row.ndim), self._row)
        self._digest.add(self._row)

    def finish(self) -> None:
        self._digest.write(self._data)


class _Progress:
    """Says now and then on stderr how many recordings are done."""

    def __init__(self, name: str, total: int):
        self._name, self._total, self._done = name, total, 0
        self._started = self._reported = time.monotonic()

    def count(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS or self._done == self._total:
            self._reported = now
            rate = self._done / (now - self._started)
            print(
                f"{self._name}: {self._done} of {self._total} recordings, {rate:.0f} per second",
                file=sys.stderr,
            )


def read_status(path: str | os.PathLike) -> list[Listed]:
    """The rows of a status table. Raises UserError, naming the line, when one is not as it must."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in STATUS_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path} has no column {missing[0]}: delete it and run again.")
            return [_listed(row, f"{path}, line {reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}): delete it and run again.") from error


def _listed(row: Mapping[str, str | None], where: str) -> Listed:
    try:
        texts = {name: row[name] or "" for name in STATUS_COLUMNS}
        times = {name: float(texts[name]) if texts[name] else None for name in ("start", "end")}
    except ValueError as error:
        raise UserError(f"{where}: {error}; delete the file and run again.") from error
    return Listed(**(texts | times))
