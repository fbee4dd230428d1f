"""Stage: get the sound of a shard of recordings, and write down what became of each of them.

The result is the status table of the shard, a CSV file with one row for every recording of it, in
their order:

- `id`: of the recording
- `path`: the audio file, if the status is "ok"
- `start`, `end`: the part of that file to use, seconds; empty: all of it
- `status`: "ok", or what kind of failure (see `weakneg.audio.acquire.outcome`)
- `message`: what the source said

A recording that cannot be had is normal and fails nothing. A source that cannot be used at all is
an error, and then no clip counts as failed.

The sources are one file each, named in a study as `source: {type: <file>}`. Such a file defines
`acquire(recordings, settings, folder)`, a generator of (recording, outcome) of each of the
recordings, in any order. `settings` are those of the source (see `weakneg.audio.acquire.settings`);
`folder` is that of the data where the sound is there, and where it is downloaded the folder to
write it to: under the name `clip_name`, and whole or not at all, so that a shard that was killed
goes on where it was.
"""

import csv
import importlib
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from weakneg.audio.acquire.journal import Journal
from weakneg.audio.acquire.outcome import OK, Outcome
from weakneg.audio.acquire.settings import DownloadSource, parse
from weakneg.audio.listing import LABEL_SEPARATOR, list_recordings
from weakneg.errors import UserError
from weakneg.files import replace_when_whole

STATUS_COLUMNS = ("id", "path", "start", "end", "status", "message")

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".aifc", ".au", ".w64", ".caf", ".wma", ".mp2"}
)

_LIST_COLUMNS = ("id", "split", "file", "start", "end", "labels")
_REPORT_SECONDS = 30
_LONGEST_NAME = 150  # of a file, in bytes; file systems allow 255


class Recording(NamedTuple):
    """A row of the list of recordings.

    file : path in the folder of the data; empty where the list names none
    start, end : the part to use, seconds; None: from its beginning, to its end
    """

    id: str
    split: str
    file: str
    start: float | None
    end: float | None
    labels: tuple[str, ...]


def acquire_listed(
    dataset: str,
    list_file: str | None,
    test_split: str,
    data_folder: str | os.PathLike,
    *shard: object,
) -> None:
    """Stage: `acquire_shard` of a data set, whose files are in `data_folder`, or of one's own list.

    The list is read anew, and not from the file of the stage before: all shards would have to
    follow when that is written again, and not only those whose part of it is new.
    """
    with tempfile.TemporaryDirectory(prefix="weakneg-") as folder:
        recordings_csv = Path(folder, "recordings.csv")
        list_recordings(dataset, list_file, test_split, data_folder, recordings_csv)
        acquire_shard(recordings_csv, *shard)


def acquire_shard(
    recordings_csv: str | os.PathLike,
    split: str,
    shard: int,
    shard_size: int,
    source: Mapping,
    folder: str | os.PathLike,
    audio_folder: str | os.PathLike,
    status_csv: str | os.PathLike,
) -> None:
    """Get the recordings number `shard` x `shard_size` and following of a split of the list.

    source : settings, with the key `type`
    folder : of the data, for the source `folder`
    audio_folder : where downloads go, and the record of what could not be had

    Raises UserError when the list or the settings are wrong, or the source cannot be used at all.
    """
    settings = parse(source)
    recordings = [row for row in read_recordings(recordings_csv) if row.split == split]
    recordings = recordings[shard * shard_size : (shard + 1) * shard_size]
    if not recordings:
        raise UserError(f"{recordings_csv} has no shard {shard} of the {split} split.")
    name = f"{split}-{shard:03}"
    module = importlib.import_module(f"{__name__}.{settings.type}")
    if isinstance(settings, DownloadSource):
        outcomes = _download(module, recordings, settings, Path(audio_folder), name)
    else:
        outcomes = dict(module.acquire(recordings, settings, Path(folder)))
    write_table(
        status_csv,
        STATUS_COLUMNS,
        (_status_row(recording, outcomes[recording]) for recording in recordings),
    )
    counts = Counter(outcome.status for outcome in outcomes.values())
    listed = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    print(f"{name}: {len(recordings)} recordings: {listed}", file=sys.stderr)


def _download(module, recordings, settings, audio_folder, shard) -> dict[Recording, Outcome]:
    """What is there already, what is known to fail, and the rest from the source."""
    journal = Journal(audio_folder / "journal", shard, settings.identity)
    failed = {} if settings.retry_failed else journal.failures()
    there = files_by_name(audio_folder.iterdir() if audio_folder.is_dir() else ())
    outcomes, wanted = {}, []
    for recording in recordings:
        name = clip_name(recording)
        if name in there:
            outcomes[recording] = Outcome(OK, path=there[name][0])
        elif name in failed:
            outcomes[recording] = failed[name]
        else:
            wanted.append(recording)
    if not wanted:
        return outcomes
    reported = time.monotonic()
    try:
        audio_folder.mkdir(parents=True, exist_ok=True)
        with closing(module.acquire(wanted, settings, audio_folder)) as arriving:
            for recording, outcome in arriving:
                outcomes[recording] = outcome
                if outcome.status != OK:
                    journal.add(clip_name(recording), outcome)
                if time.monotonic() - reported >= _REPORT_SECONDS:
                    reported = time.monotonic()
                    done = f"{len(outcomes)} of {len(recordings)}"
                    print(f"{shard}: {done} recordings", file=sys.stderr)
    except OSError as error:
        raise UserError(
            f"{audio_folder} cannot be written ({error.strerror or error}): make room, or let one "
            "write there, then run again (what is there is kept)."
        ) from error
    return outcomes


# ----------------------------------------------------------------------------- files of clips
def clip_name(recording: Recording) -> str:
    """Name of the file of a clip, without ending: its id and, if it is a part, the seconds.

    No two clips have the same one, and none leads to another folder or hides its file.
    """
    name = quote(recording.id, safe="")  # no @ in it
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = sha256(recording.id.encode()).hexdigest()
    if recording.start is None and recording.end is None:
        return name
    end = "" if recording.end is None else f"{recording.end:.12g}"
    return f"{name}@{recording.start or 0:.12g}-{end}"


def files_by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Name without ending -> the audio files that are called so, sorted."""
    found: dict[str, list[Path]] = {}
    for file in sorted(files):
        if file.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(file.stem, []).append(file)
    return found


# ----------------------------------------------------------------------------- tables
def read_recordings(path: str | os.PathLike) -> list[Recording]:
    """The list of recordings, without its events. Raises UserError, naming the line, if wrong."""
    csv.field_size_limit(1 << 30)  # the events of a day of sound are longer than the default
    found: dict[str, Recording] = {}
    for where, row in read_table(path, _LIST_COLUMNS):
        if not row["id"]:
            raise UserError(f"{where}: the id is empty: give each recording one.")
        if row["id"] in found:
            raise UserError(f"{where}: the id {row['id']!r} occurs twice: make them distinct.")
        found[row["id"]] = Recording(
            row["id"],
            row["split"],
            row["file"],
            _seconds(row, "start", where),
            _seconds(row, "end", where),
            tuple(label for label in row["labels"].split(LABEL_SEPARATOR) if label),
        )
        start, end = found[row["id"]].start, found[row["id"]].end
        if end is not None and end <= (start or 0):
            raise UserError(f"{where}: the end, {end:g} s, is not behind the start: correct it.")
    return list(found.values())


def _seconds(row: Mapping[str, str], column: str, where: str) -> float | None:
    try:
        seconds = float(row[column]) if row[column] else None
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise UserError(
            f"{where}: {column} must be seconds, from 0 on, or empty, not {row[column]!r}."
        )
    return seconds


def read_table(path: str | os.PathLike, columns: Sequence[str]) -> Iterable[tuple[str, dict]]:
    """Where each row of a CSV file is, for messages, and the row.

    Raises UserError when the file cannot be read, or lacks one of `columns`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for column in columns:
                if column not in (reader.fieldnames or ()):
                    raise UserError(f"{path} has no column {column}.")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: it has not as many fields as the header.")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}).") from error


def _status_row(recording: Recording, outcome: Outcome) -> tuple:
    path = "" if outcome.path is None else outcome.path.as_posix()
    times = ("" if time is None else f"{time:.12g}" for time in (outcome.start, outcome.end))
    return recording.id, path, *times, outcome.status, outcome.message


def write_table(path: str | os.PathLike, header: Sequence, rows: Iterable[Sequence]) -> None:
    """Write a CSV file."""
    with (
        replace_when_whole(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
