"""Stage: list the recordings of a data set of sound.

The list is a CSV file of one row per recording:

- `id`: distinct; untrusted text
- `split`: "train" or "test"
- `file`: path in the folder of the data; empty where it is to be downloaded
- `start`, `end`: the part of the recording to use, seconds; empty: all of it
- `labels`: names of its classes, separated by semicolons
- `events`: empty, or JSON [[label, onset, offset], ...], seconds from the recording's beginning
- `group`: that of recordings which have more in common than their labels; empty: a recording alone

The shards of a split are consecutive rows of it, so that rows which are added at the end leave the
shards before them as they are.
"""

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from weakneg import datasets
from weakneg.config.sections import DatasetSettings
from weakneg.config.stages import ListSettings
from weakneg.datasets import OwnDataset
from weakneg.errors import UserError
from weakneg.io.csv import read_table
from weakneg.io.files import replace_when_whole
from weakneg.stages import stage

COLUMNS = ("id", "split", "file", "start", "end", "labels", "events", "group")
LABEL_SEPARATOR = ";"


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
    write_recordings(recordings_of(settings.dataset, folder), output)


def recordings_of(dataset: DatasetSettings, folder: Path) -> Iterable[Mapping]:
    """The recordings of a data set whose files are in `folder`, or of a person's own list."""
    data = datasets.load(dataset.name)
    assert data.recordings is not None
    if isinstance(data, OwnDataset):
        assert dataset.list is not None
        return data.recordings(dataset.list, dataset.test_split)
    return data.recordings(folder)


def write_recordings(rows: Iterable[Mapping], path: str | os.PathLike) -> None:
    """Write the list: of each row the fields `COLUMNS`; start, end, events and group may lack."""
    with (
        replace_when_whole(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            events = row.get("events")
            writer.writerow(
                (
                    row["id"],
                    row["split"],
                    row["file"],
                    row.get("start", ""),
                    row.get("end", ""),
                    LABEL_SEPARATOR.join(row["labels"]),
                    json.dumps(events) if events else "",
                    row.get("group", ""),
                )
            )


LIST_COLUMNS = ("id", "split", "file", "start", "end", "labels", "events", "group")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Listed:
    """A row of the list of recordings; `events` are (label, onset, offset), or None.

    group : that of the recording; its id where the list names none
    """

    split: str
    start: float
    labels: tuple[str, ...]
    events: tuple[tuple[str, float, float], ...] | None
    group: str

    def labels_between(self, start: float, end: float) -> tuple[str, ...]:
        """Labels of a clip; `start` and `end` in seconds of the recording."""
        if self.events is None:
            return self.labels
        return tuple(event[0] for event in self.events if overlaps(event, start, end))


def overlaps(event, start, end):
    """Whether an event is heard between `start` and `end`, numbers or arrays of them."""
    _, onset, offset = event
    return (onset < end) & ((offset > start) | ((onset == offset) & (onset == start)))


def read_list(path: str | os.PathLike, classes: Sequence[str]) -> dict[str, Listed]:
    """Id -> row of the list. Raises UserError, naming the line, when one is not as it must be."""
    known = set(classes)
    listed = {}
    csv.field_size_limit(1 << 30)  # the events of a day of sound are longer than the default
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in LIST_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path} has no column {missing[0]}.")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                labels = tuple(label for label in row["labels"].split(";") if label)
                try:
                    start = float(row["start"] or 0)
                    events = json.loads(row["events"]) if row["events"] else None
                    if events is not None:
                        events = tuple(
                            (label, float(onset), float(offset)) for label, onset, offset in events
                        )
                except (ValueError, TypeError) as error:
                    raise UserError(
                        f"{where}: start or events cannot be read ({error})."
                    ) from error
                if row["id"] in listed:
                    raise UserError(f"{where}: the id {row['id']!r} occurs twice.")
                unknown = {*labels, *(event[0] for event in events or ())} - known
                if unknown:
                    raise UserError(f"{where}: {min(unknown)!r} is not one of the classes.")
                group = row["group"] or row["id"]
                listed[row["id"]] = Listed(row["split"], start, labels, events, group)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}).") from error
    return listed


_LIST_COLUMNS = ("id", "split", "file", "start", "end", "labels")


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
