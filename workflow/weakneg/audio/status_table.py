"""The status table of a shard: what became of each of its recordings, in their order.

It is a CSV file:

- `id`: of the recording
- `path`: the audio file, if the status is "ok"
- `start`, `end`: the part of that file to use, seconds; empty: all of it
- `status`: "ok", or what kind of failure (see `weakneg.audio.outcome`)
- `message`: what the source said
"""

import csv
import hashlib
import os
from collections.abc import Mapping
from typing import NamedTuple

from weakneg.audio.outcome import Outcome
from weakneg.audio.recordings import Recording
from weakneg.errors import UserError


def digest_of_sound(status: str | os.PathLike) -> str:
    """SHA-256 of a table of what became of recordings, and of the audio files that it names.

    Raises FileNotFoundError when there is no such table yet. A file that is gone counts as empty.
    """
    digest = hashlib.sha256()
    with open(status, "rb") as file:
        digest.update(file.read())
    with open(status, newline="", encoding="utf-8") as file:
        paths = dict.fromkeys(row["path"] for row in csv.DictReader(file) if row["path"])
    for path in filter(os.path.isfile, paths):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


STATUS_COLUMNS = ("id", "path", "start", "end", "status", "message")


class Listed(NamedTuple):
    """A row of the status table: a recording, and where its sound is, if it is anywhere."""

    id: str
    path: str
    start: float | None
    end: float | None
    status: str
    message: str


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


def status_row(recording: Recording, outcome: Outcome) -> tuple:
    path = "" if outcome.path is None else outcome.path.as_posix()
    times = ("" if time is None else f"{time:.12g}" for time in (outcome.start, outcome.end))
    return recording.id, path, *times, outcome.status, outcome.message
