"""The status table of a shard: what became of each of its recordings, in their order.

It is a CSV file with the fields of `StatusRow`. Acquiring a shard writes it, and computing its
spectrograms begins with it.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weakneg.audio.outcome import Outcome
from weakneg.audio.recordings import Recording
from weakneg.errors import UserError
from weakneg.io.csv import MAKE_AGAIN, read_table, write_table


class StatusRow(NamedTuple):
    """A recording, and where its sound is, if it is anywhere.

    Attributes
    ----------
    id : str
        Of the recording.
    path : str
        The audio file, if the status is "ok", else empty.
    start, end : float or None
        The part of that file to use, seconds; None: from its beginning, to its end.
    status : str
        "ok", or what kind of failure (see `weakneg.audio.outcome`).
    message : str
        What the source said.
    """

    id: str
    path: str
    start: float | None
    end: float | None
    status: str
    message: str

    @classmethod
    def of(cls, recording: Recording, outcome: Outcome) -> "StatusRow":
        """The row of a recording and what became of it."""
        path = "" if outcome.path is None else outcome.path.as_posix()
        return cls(recording.id, path, outcome.start, outcome.end, outcome.status, outcome.message)


def write_status(path: str | os.PathLike[str], rows: Iterable[StatusRow]) -> None:
    """Write a status table."""
    write_table(path, StatusRow._fields, map(_values, rows))


def read_status(path: str | os.PathLike[str]) -> list[StatusRow]:
    """The rows of a status table. Raises UserError, naming the line, when one is not as it must."""
    return [_row(row, where) for where, row in read_table(path, StatusRow._fields)]


def digest_of_sound(status: str | os.PathLike[str]) -> str:
    """SHA-256 of a status table and of the audio files that it names.

    Raises FileNotFoundError when there is no such table yet. A file that is gone counts as empty.
    """
    digest = hashlib.sha256()
    with open(status, "rb") as file:
        digest.update(file.read())
    paths = dict.fromkeys(row.path for row in read_status(status) if row.path)
    for path in filter(os.path.isfile, paths):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _row(row: Mapping[str, str], where: str) -> StatusRow:
    try:
        start, end = (float(row[name]) if row[name] else None for name in ("start", "end"))
    except ValueError as error:
        raise UserError(f"{where}: {error}; {MAKE_AGAIN}.") from error
    return StatusRow(row["id"], row["path"], start, end, row["status"], row["message"])


def _values(row: StatusRow) -> tuple[str, ...]:
    """What the columns of the file hold."""
    return row.id, row.path, _text(row.start), _text(row.end), row.status, row.message


def _text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.12g}"
