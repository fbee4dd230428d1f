"""The status table of a shard: the outcome for each of its recordings, in their order.

It is a CSV file with the fields of `StatusRow`, written when a shard is acquired and read when its
spectrograms are computed.
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
    """A recording, and where its sound is, if it was found.

    Attributes
    ----------
    id : str
        The id of the recording.
    path : str
        The audio file if the status is "ok", else empty.
    start, end : float or None
        The part of that file to use, in seconds; None: from its start, to its end.
    status : str
        "ok", or the kind of failure (see `weakneg.audio.outcome`).
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
        """Make the row of a recording from its outcome."""
        path = "" if outcome.path is None else outcome.path.as_posix()
        return cls(recording.id, path, outcome.start, outcome.end, outcome.status, outcome.message)


def write_status(path: str | os.PathLike[str], rows: Iterable[StatusRow]) -> None:
    """Write a status table."""
    write_table(path, StatusRow._fields, map(_values, rows))


def read_status(path: str | os.PathLike[str]) -> list[StatusRow]:
    """Read a status table. Raises UserError, naming the line, when a row is wrong."""
    return [_row(row, where) for where, row in read_table(path, StatusRow._fields)]


def digest_of_sound(status: str | os.PathLike[str]) -> str:
    """Hash a status table and the audio files that it names.

    Parameters
    ----------
    status : path
        The table.

    Returns
    -------
    str
        SHA-256, hexadecimal. Audio files that no longer exist are skipped.

    Raises
    ------
    FileNotFoundError
        When the table does not exist yet.
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
    """The values of the columns of the file."""
    return row.id, row.path, _text(row.start), _text(row.end), row.status, row.message


def _text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.12g}"
