"""From the audio files of a shard to its log-mel spectrograms.

A shard is an HDF5 file of the features of a few hundred recordings, n clips in the order of the
list:

- `x` (n, T, F): float16, log-mel spectrograms (see `weakneg.audio.mel`), one chunk per clip; rows
  after the sound are zero padding, as in PSLA
- `length` (n,): int64, number of valid rows
- `id` (n,): text, the id of the recording, or `<id>@<seconds>` for a clip cut from it
- `recording` (n,): text, id of the recording
- `start`, `end` (n,): float64, seconds from the start of the listed part of the recording
- `level` (n,), `peak` (n,): float32, see `weakneg.audio.decode.Sound`
- `waveform` (n, S): int16, if the settings ask for it; 32767 is full scale, 0 is padding
- `sum`, `sum_of_squares`, `count`: float64 and int64, over the valid rows of `x`
- `heard` (k, 4): text, the fields of `Heard`
- `problems` (m, 3): text, the fields of `ShardProblem`

Attributes of the file are `format_version`, `settings` as JSON, and `n_recordings`, which includes
recordings without a clip; `x` and `waveform` have a `digest` (see `weakneg.io.hdf5`).
"""

import hashlib
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike

from weakneg.audio.clips import Clip, Extent, Problem, clips_of, in_order
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
    listed = read_status(status)
    torch.set_num_threads(1)  # for each of the threads
    digest_of = lru_cache(maxsize=64)(_file_digest)  # recordings may be parts of one file
    _warn_of_empty_bins(LogMel.of(parameters))
    with (
        Progress(Path(output).name, len(listed), "recordings", parts="clips") as progress,
        new_file(output) as file,
    ):
        items = in_order((_items(row, parameters, digest_of, progress) for row in listed), threads)
        _write_shard(file, items, parameters)
        file.attrs["n_recordings"] = len(listed)


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
) -> Iterator[_Item]:
    """What a recording contributes: clips, each with its id and that of the recording; the rest."""
    if row.status != "ok":
        problem = f"{row.status}: {row.message}" if row.message else row.status
        yield ShardProblem(row.id, problem, "excluded")
    else:
        try:
            extent = yield from _clips(row, settings, progress)
            of_part = f"{digest_of(row.path)} {row.start} {row.end}"
            yield Heard(row.id, extent.seconds, extent.sample_rate, of_part)
        except AudioError as error:
            yield ShardProblem(row.id, f"{error.reason}: {error}", "excluded")
    progress.add()


def _clips(
    row: StatusRow, settings: Mapping[str, Any], progress: Progress
) -> Generator[_Item, None, Extent]:
    """The clips of a recording and its problems; returns the extent of the recording."""
    clips = clips_of(row.path, settings, row.start, row.end)
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


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST]


def _write_shard(
    file: h5py.File,
    items: Iterable[_Item],
    settings: Mapping[str, Any],
) -> None:
    log_mel = LogMel.of(settings)
    samples = n_samples(settings["clip_seconds"], settings["sample_rate"])
    n_frames = settings["frames"] or log_mel.n_frames(samples)
    arrays = [_Rows(file, "x", (n_frames, log_mel.mel_bins), np.float16)]
    if settings["waveform"]:
        arrays.append(_Rows(file, "waveform", (samples,), np.int16))
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    problems = []
    heard: list[str] = []
    sums = np.zeros(2)
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
            reserve(file, (number + _ROOM) * sum(rows.row_bytes for rows in arrays))
            for rows in arrays:
                rows.resize(number + _ROOM)
        arrays[0].write(number, clip.log_mel)
        if settings["waveform"]:
            arrays[1].write(number, (clip.sound.waveform * _FULL_SCALE).round().clip(*_INT16))
        log_mels = torch.from_numpy(clip.log_mel).float()
        # Each frame in single precision: eight digits are correct, in half the time of double.
        sums += [x.sum(1).double().sum().item() for x in (log_mels, log_mels.square())]
        count += log_mels.numel()
        row = (clip_id, recording, clip.start, clip.end, len(clip.log_mel))
        for name, value in zip(columns, (*row, clip.sound.level, clip.sound.peak), strict=True):
            columns[name].append(value)
    for rows in arrays:
        rows.resize(len(columns["id"]))
    contents: dict[str, ArrayLike] = {
        name: encoded(values) if dtype is str else np.array(values, dtype)
        for (name, dtype), values in zip(COLUMNS.items(), columns.values(), strict=True)
    }
    texts = [text for problem in problems for text in problem]
    contents["problems"] = encoded(texts).reshape(-1, len(ShardProblem._fields))
    contents["heard"] = encoded(heard).reshape(-1, len(Heard._fields))
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
