"""The list of the recordings of a data set of sound.

The list is a CSV file of one row per recording, with the fields of `Recording`: labels are
separated by semicolons, events are JSON, and what a recording lacks is empty. The shards of a split
are consecutive rows of it, so that rows which are added at the end leave the shards before them as
they are.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from weakneg import datasets
from weakneg.config.sections import DatasetSettings
from weakneg.config.stages import ListSettings
from weakneg.datasets import OwnDataset
from weakneg.errors import UserError
from weakneg.io.csv import read_table, write_table
from weakneg.stages import stage

LABEL_SEPARATOR = ";"
SPLITS = ("train", "test")


class Recording(NamedTuple):
    """A row of the list of recordings.

    Attributes
    ----------
    id : str
        Distinct; untrusted text.
    split : str
        "train" or "test".
    file : str
        Path in the folder of the data; empty where the list names none.
    start, end : float or None
        The part to use, seconds; None: from its beginning, to its end.
    labels : tuple of str
        Names of its classes.
    events : tuple of (str, float, float)
        Label, onset and offset, in seconds from the beginning of the recording; empty where the
        times are not known.
    group : str
        That of recordings which have more in common than their labels; empty: a recording alone.
    """

    id: str
    split: str
    file: str
    start: float | None
    end: float | None
    labels: tuple[str, ...]
    events: tuple[tuple[str, float, float], ...] = ()
    group: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Recording":
        """A row as data sets make them; it may lack start, end, events and group."""
        return cls(
            row["id"],
            row["split"],
            row["file"],
            row.get("start"),
            row.get("end"),
            tuple(row["labels"]),
            _events(row.get("events", ())),
            row.get("group", ""),
        )


@stage
def list_recordings(settings: ListSettings, folder: Path, output: Path) -> None:
    """Write the list of the recordings of a data set of sound.

    Parameters
    ----------
    settings : ListSettings
        The data set, or a person's own list.
    folder : Path
        Folder of the files of the data set.
    output : Path
        The list, a CSV file.
    """
    write_recordings(output, recordings_of(settings.dataset, folder))


def recordings_of(dataset: DatasetSettings, folder: Path) -> Iterator[Recording]:
    """The recordings of a data set whose files are in `folder`, or of a person's own list."""
    data = datasets.load(dataset.name)
    assert data.recordings is not None
    if isinstance(data, OwnDataset):
        assert dataset.list is not None
        rows = data.recordings(dataset.list, dataset.test_split)
    else:
        rows = data.recordings(folder)
    return map(Recording.of, rows)


def write_recordings(path: str | os.PathLike[str], recordings: Iterable[Recording]) -> None:
    """Write the list of recordings."""
    write_table(path, Recording._fields, map(_values, recordings))


def read_recordings(
    path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> list[Recording]:
    """Read the list of recordings.

    Parameters
    ----------
    path : path
        The list.
    classes : sequence of str, optional
        Names of the classes, where labels are to be checked.

    Returns
    -------
    list of Recording
        In the order of the list.

    Raises
    ------
    UserError
        Naming the line, when a row is not as it must be.
    """
    recordings: dict[str, Recording] = {}
    known = None if classes is None else set(classes)
    for where, row in read_table(path, Recording._fields):
        recording = _recording(row, where)
        if recording.id in recordings:
            raise UserError(f"{where}: the id {recording.id!r} occurs twice: make them distinct.")
        if known is not None:
            unknown = {*recording.labels, *(label for label, _, _ in recording.events)} - known
            if unknown:
                raise UserError(f"{where}: {min(unknown)!r} is not one of the classes.")
        recordings[recording.id] = recording
    return list(recordings.values())


def _values(recording: Recording) -> tuple[object, ...]:
    """What the columns of the file hold."""
    *others, labels, events, group = recording
    text = json.dumps(events) if events else ""
    return *others, LABEL_SEPARATOR.join(labels), text, group


def _recording(row: Mapping[str, str], where: str) -> Recording:
    if not row["id"]:
        raise UserError(f"{where}: the id is empty: give each recording one.")
    start, end = (_seconds(row, column, where) for column in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise UserError(f"{where}: the end, {end:g} s, is not after the start: correct it.")
    try:
        events = _events(json.loads(row["events"])) if row["events"] else ()
    except (ValueError, TypeError) as error:
        raise UserError(f"{where}: events cannot be read ({error}): correct them.") from error
    labels = tuple(label for label in row["labels"].split(LABEL_SEPARATOR) if label)
    return Recording(row["id"], row["split"], row["file"], start, end, labels, events, row["group"])


def _events(events: Iterable[Sequence[Any]]) -> tuple[tuple[str, float, float], ...]:
    return tuple((label, float(onset), float(offset)) for label, onset, offset in events)


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
