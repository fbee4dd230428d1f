"""From the audio files of a shard to its features: log-mel spectrograms, or embeddings.

A shard is an HDF5 file of the features of a few hundred recordings, n clips in the order of the
list:

- `x` (n, T, F): float16, log-mel spectrograms (see `weakneg.audio.mel`), or float32, embeddings
  (see `weakneg.audio.encoder`), one chunk per clip; rows after the sound are zero padding, as in
  PSLA
- `length` (n,): int64, number of valid rows
- `id` (n,): text, the id of the recording, or `<id>@<seconds>` for a clip cut from it; that of a
  channel, if each is heard, is `<id>@<seconds>-ch<channel>` or `<id>@ch<channel>`
- `recording` (n,): text, id of the recording
- `start`, `end` (n,): float64, seconds from the start of the listed part of the recording
- `channel` (n,): int64, only if each is heard: the channel, from 1
- `level` (n,), `peak` (n,): float32, see `weakneg.audio.decode.Sound`
- `waveform` (n, S): int16, if the settings ask for it; 32767 is full scale, 0 is padding
- `sum`, `sum_of_squares`, `count`: float64 and int64, over the valid rows of `x`; of embeddings
  (F,), for each feature
- `heard` (k, 4): text, the fields of `Heard`
- `problems` (m, 3): text, the fields of `ShardProblem`

Attributes of the file are `format_version`, `settings` as JSON, and `n_recordings`, which includes
recordings without a clip, and of embeddings `encoder`, the path of its file; `x` and `waveform`
have a `digest` (see `weakneg.io.hdf5`).
"""

import hashlib
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike

from weakneg.audio.clips import Clip, Compute, Extent, Problem, clips_of, compute_clip, in_order
from weakneg.audio.decode import CLIPPED_SHARE, OTHER_UNIT_PEAK, n_samples
from weakneg.audio.errors import AudioError
from weakneg.audio.mel import LogMel
from weakneg.audio.status_table import StatusRow, read_status
from weakneg.config.stages import ShardSettings
from weakneg.io.hdf5 import Digest, encoded, new_file, reserve
from weakneg.io.progress import Progress
from weakneg.stages import Threads, stage

FORMAT_VERSION = 3

COLUMNS = {
    **{"id": str, "recording": str, "start": np.float64, "end": np.float64},
    **{"length": np.int64, "level": np.float32, "peak": np.float32},
}
"""Name and type of the columns of clips in the file."""
CHANNEL = "channel"
"""A column that follows if each channel is heard."""
_ROOM = 64  # room is reserved for this many clips at a time
_FULL_SCALE = 32767  # of waveforms, in 16 bits
_INT16 = (-32768, 32767)
_LONGEST_MESSAGE = 300
_DIGEST = 32  # hexadecimal digits
_EMPTY_SHARE = 0.01  # of mel bins; the settings of PSLA have one in 128


class Heard(NamedTuple):
    """A recording that was read to its end, whether or not its clips could be used.

    Attributes
    ----------
    id : str
        The id of the recording.
    seconds : float
        Duration of the listed part.
    sample_rate : int
        Sample rate of the file, Hz.
    digest : str
        Equal for equal parts of files with the same bytes.
    """

    id: str
    seconds: float
    sample_rate: int
    digest: str

    @classmethod
    def of(cls, recording: str, seconds: str, sample_rate: str, digest: str) -> "Heard":
        """Read the texts of a file."""
        return cls(recording, float(seconds), int(sample_rate), digest)


class ShardProblem(NamedTuple):
    """A problem of a recording or a clip, and what was done about it.

    Attributes
    ----------
    id : str
        The recording or clip.
    problem : str
        What is wrong with it.
    consequence : str
        "excluded" or "kept".
    """

    id: str
    problem: str
    consequence: str


@stage
def compute_shard(status: Path, settings: ShardSettings, output: Path, threads: Threads) -> None:
    """Compute the log-mel spectrograms of a shard of recordings.

    A recording without sound, or a clip with unusable sound, becomes a row of the shard's problems.
    Clips are written one by one, so memory does not grow with their number.

    Parameters
    ----------
    status : Path
        The status table of the shard.
    settings : ShardSettings
        How sound becomes spectrograms.
    output : Path
        The shard, an HDF5 file.
    threads : int
        Number of clips that are computed at a time.

    Raises
    ------
    UserError
        When the table cannot be read, or the shard cannot be written.
    """
    parameters = settings.model_dump()
    log_mel = LogMel.of(parameters)
    _warn_of_empty_bins(log_mel)
    samples = n_samples(settings.clip_seconds, settings.sample_rate)
    n_frames = settings.frames or log_mel.n_frames(samples)
    arrays = [Array("x", (n_frames, log_mel.mel_bins), np.float16, lambda clip: clip.features)]
    if settings.waveform:
        arrays.append(Array("waveform", (samples,), np.int16, in_16_bits))
    write_shard(status, parameters, output, threads, arrays, _sums)


Sums = Callable[[np.ndarray], tuple[float | np.ndarray, float | np.ndarray, int]]


class Array(NamedTuple):
    """An array of a shard with a row for each clip.

    Attributes
    ----------
    name : str
        Its name in the file.
    shape : tuple of int
        Shape of a row.
    dtype : type
        Its type.
    values : callable
        The row of a clip, which may be shorter; the rest is zeros.
    """

    name: str
    shape: tuple[int, ...]
    dtype: type
    values: Callable[[Clip], np.ndarray]


def write_shard(
    status: Path,
    settings: Mapping[str, Any],
    output: Path,
    threads: int,
    arrays: Sequence[Array],
    sums: Sums,
    compute: Compute = compute_clip,
    attributes: Mapping[str, str] = {},
) -> None:
    """Compute the features of a shard of recordings, and write them.

    Parameters
    ----------
    status : Path
        The status table of the shard.
    settings : mapping
        How sound becomes features: what the shard records, and `clips_of` reads.
    output : Path
        The shard, an HDF5 file.
    threads : int
        Number of clips that are computed at a time.
    arrays : sequence of Array
        What to write of each clip, `x` first.
    sums : callable
        Sum and sum of squares of the features (t, F) of a clip, and how many numbers these add up.
    compute : callable
        As for `weakneg.audio.clips.compute_clips`.
    attributes : mapping
        More attributes of the file.

    Raises
    ------
    UserError
        When the table cannot be read, or the shard cannot be written.
    """
    listed = read_status(status)
    torch.set_num_threads(1)  # for each of the threads
    digest_of = lru_cache(maxsize=64)(_file_digest)  # recordings may be parts of one file
    with (
        Progress(Path(output).name, len(listed), "recordings", parts="clips") as progress,
        new_file(output) as file,
    ):
        sources = (_items(row, settings, digest_of, progress, compute) for row in listed)
        _write_items(file, in_order(sources, threads), settings, arrays, sums)
        file.attrs["n_recordings"] = len(listed)
        file.attrs.update(attributes)


_Item = tuple[str, str, Clip] | ShardProblem | Heard


def _warn_of_empty_bins(log_mel: LogMel) -> None:
    empty = log_mel.empty_bins
    if len(empty) > _EMPTY_SHARE * log_mel.mel_bins:
        print(
            f"warning: {len(empty)} of {log_mel.mel_bins} mel bins are constant at "
            f"{log_mel.sample_rate} Hz, because no frequency falls into them: lower "
            "audio.mel_bins.",
            file=sys.stderr,
        )


def _items(
    row: StatusRow,
    settings: Mapping[str, Any],
    digest_of: Callable[[str], str],
    progress: Progress,
    compute: Compute,
) -> Iterator[_Item]:
    """What a recording contributes: clips, each with its id and that of the recording; the rest."""
    if row.status != "ok":
        problem = f"{row.status}: {row.message}" if row.message else row.status
        yield ShardProblem(row.id, problem, "excluded")
    else:
        try:
            extent = yield from _clips(row, settings, progress, compute)
            of_part = f"{digest_of(row.path)} {row.start} {row.end}"
            yield Heard(row.id, extent.seconds, extent.sample_rate, of_part)
        except AudioError as error:
            yield ShardProblem(row.id, f"{error.reason}: {error}", "excluded")
    progress.add()


def _clips(
    row: StatusRow, settings: Mapping[str, Any], progress: Progress, compute: Compute
) -> Generator[_Item, None, Extent]:
    """The clips of a recording and its problems; returns the extent of the recording."""
    clips = clips_of(row.path, settings, row.start, row.end, compute)
    while True:
        try:
            suffix, clip = next(clips)
        except StopIteration as end:
            extent: Extent = end.value
            return extent
        clip_id = row.id + suffix
        if isinstance(clip, Problem):
            yield ShardProblem(clip_id, clip.message, "kept" if clip.kept else "excluded")
            continue
        progress.add(0, parts=1)
        yield clip_id, row.id, clip
        if clip.sound.clipped > CLIPPED_SHARE and clip.sound.peak <= OTHER_UNIT_PEAK:
            yield ShardProblem(clip_id, f"clipped: {clip.sound.clipped:.1%} of the samples", "kept")


def columns_of(settings: Mapping[str, Any]) -> dict[str, type]:
    """The columns of clips of a shard with these settings: name -> type."""
    each = settings.get("channel") == "each"
    return {**COLUMNS, CHANNEL: np.int64} if each else {**COLUMNS}


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST]


def in_16_bits(clip: Clip) -> np.ndarray:
    """The waveform of a clip, in whole numbers of which 32767 is full scale."""
    return (clip.sound.waveform * _FULL_SCALE).round().clip(*_INT16)


def _sums(log_mel: np.ndarray) -> tuple[float, float, int]:
    """Sum and sum of squares of a spectrogram, and the number of its values."""
    log_mels = torch.from_numpy(log_mel).float()
    # Each frame in single precision: eight digits are correct, in half the time of double.
    total, of_squares = (x.sum(1).double().sum().item() for x in (log_mels, log_mels.square()))
    return total, of_squares, log_mels.numel()


def _write_items(
    file: h5py.File,
    items: Iterable[_Item],
    settings: Mapping[str, Any],
    arrays: Sequence[Array],
    sums: Sums,
) -> None:
    rows_of = [_Rows(file, each.name, each.shape, each.dtype) for each in arrays]
    types = columns_of(settings)
    columns: dict[str, list[Any]] = {name: [] for name in types}
    problems = []
    heard: list[str] = []
    total: float | np.ndarray = 0.0
    of_squares: float | np.ndarray = 0.0
    count = 0
    for item in items:
        if isinstance(item, ShardProblem):
            problems.append([text[:_LONGEST_MESSAGE] for text in item])
            continue
        if isinstance(item, Heard):
            heard += map(str, item)
            continue
        clip_id, recording, clip = item
        number = len(columns["id"])
        if number % _ROOM == 0:
            reserve(file, (number + _ROOM) * sum(rows.row_bytes for rows in rows_of))
            for rows in rows_of:
                rows.resize(number + _ROOM)
        for rows, array in zip(rows_of, arrays, strict=True):
            rows.write(number, array.values(clip))
        of_clip, of_its_squares, n = sums(clip.features)
        total, of_squares, count = total + of_clip, of_squares + of_its_squares, count + n
        row: tuple[Any, ...] = (clip_id, recording, clip.start, clip.end, len(clip.features))
        row += (clip.sound.level, clip.sound.peak)
        row += (clip.channel or 1,) if CHANNEL in columns else ()
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    for rows in rows_of:
        rows.resize(len(columns["id"]))
    contents: dict[str, ArrayLike] = {
        name: encoded(values) if dtype is str else np.array(values, dtype)
        for (name, dtype), values in zip(types.items(), columns.values(), strict=True)
    }
    texts = [text for problem in problems for text in problem]
    contents["problems"] = encoded(texts).reshape(-1, len(ShardProblem._fields))
    contents["heard"] = encoded(heard).reshape(-1, len(Heard._fields))
    contents |= {"sum": total, "sum_of_squares": of_squares, "count": count}
    clips = len(columns["id"]) * sum(rows.row_bytes for rows in rows_of)
    reserve(file, clips + sum(np.asarray(values).nbytes for values in contents.values()))
    for name, values in contents.items():
        file[name] = values
    for rows in rows_of:
        rows.finish()
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["settings"] = json.dumps(dict(settings), sort_keys=True)


class _Rows:
    """A growing data set, one chunk per row; shorter rows are padded with zeros."""

    def __init__(self, file: h5py.File, name: str, shape: tuple[int, ...], dtype: type) -> None:
        self._data = file.create_dataset(
            name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(1, *shape)
        )
        self._row: np.ndarray = np.zeros(shape, dtype)
        self._digest = Digest()
        self.row_bytes = self._row.nbytes

    def resize(self, n_rows: int) -> None:
        self._data.resize(n_rows, axis=0)

    def write(self, number: int, values: np.ndarray) -> None:
        self._row[: len(values)] = values
        self._row[len(values) :] = 0
        # Written directly: HDF5 would otherwise look for the chunk and copy it into its cache.
        self._data.id.write_direct_chunk((number, *[0] * self._row.ndim), self._row)
        self._digest.add(self._row)

    def finish(self) -> None:
        self._digest.write(self._data)
