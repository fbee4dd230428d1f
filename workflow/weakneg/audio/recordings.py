"""The list of the recordings of an audio data set.

The list is a CSV file with a row for each recording and the fields of `Recording`: labels are
separated by semicolons, events, negatives and channels are JSON, and what a recording lacks is
empty. The column negatives is only there where the study says that what is not listed is unknown,
and those of channels where it hears each channel. The shards of a split are consecutive rows, so
that rows added at the end leave earlier shards as they are.
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

Event = tuple[str, float, float]
"""Label, onset and offset, in seconds from the start of the recording."""


class Recording(NamedTuple):
    """A row of the list of recordings.

    Attributes
    ----------
    id : str
        Unique; untrusted text.
    split : str
        "train" or "test".
    file : str
        Path in the folder of the data; empty if the list names none.
    start, end : float or None
        The part to use, in seconds; None: from its start, to its end.
    labels : tuple of str
        Names of its classes.
    events : tuple of (str, float, float)
        Label, onset and offset, in seconds from the start of the recording; empty if the times are
        unknown.
    group : str
        Shared by recordings that have more in common than their labels; empty for a recording that
        forms a group alone.
    negatives : tuple of (str, float, float)
        Class, onset and offset, as for `events`: where the class was looked for and not heard, but
        for its events. The offset is infinite where that is up to the end of the recording.
    event_channels, negative_channels : tuple of int
        The channel of each of `events` and of `negatives`, from 1; 0 for all channels. Empty if the
        list names no channel.
    """

    id: str
    split: str
    file: str
    start: float | None
    end: float | None
    labels: tuple[str, ...]
    events: tuple[Event, ...] = ()
    group: str = ""
    negatives: tuple[Event, ...] = ()
    event_channels: tuple[int, ...] = ()
    negative_channels: tuple[int, ...] = ()

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Recording":
        """Make it from a row of a data set, which may lack all but id, split, file and labels."""
        return cls(
            row["id"],
            row["split"],
            row["file"],
            row.get("start"),
            row.get("end"),
            tuple(row["labels"]),
            _events(row.get("events", ())),
            row.get("group", ""),
            _events(row.get("negatives", ())),
            tuple(row.get("event_channels", ())),
            tuple(row.get("negative_channels", ())),
        )

    @property
    def channel_of_events(self) -> tuple[int, ...]:
        """The channel of each event, from 1; 0 for all."""
        return self.event_channels or (0,) * len(self.events)

    def of_channel(self, channel: int) -> "Recording":
        """What the list says of a channel, counted from 1."""

        def in_it(events: Iterable[Event], channels: Iterable[int]) -> tuple[Event, ...]:
            pairs = zip(events, channels, strict=True)
            return tuple(event for event, number in pairs if number in (0, channel))

        found = self
        if self.event_channels:
            events = in_it(self.events, self.event_channels)
            labels = dict.fromkeys(label for label, _, _ in events)
            found = found._replace(events=events, labels=tuple(labels), event_channels=())
        if self.negative_channels:
            negatives = in_it(self.negatives, self.negative_channels)
            found = found._replace(negatives=negatives, negative_channels=())
        return found


COLUMNS = Recording._fields[:8]
"""The columns that every list has."""


@stage
def list_recordings(settings: ListSettings, folder: Path, output: Path) -> None:
    """Write the list of the recordings of an audio data set.

    Parameters
    ----------
    settings : ListSettings
        The data set, or the user's own list.
    folder : Path
        Folder of the files of the data set.
    output : Path
        The list, a CSV file.

    Raises
    ------
    UserError
        When the files of the data set, or the user's list, are missing or wrong.
    """
    dataset = settings.dataset
    columns: tuple[str, ...] = COLUMNS
    if dataset.unlisted == "unknown":
        columns = (*COLUMNS, "negatives")
    if dataset.columns is not None and dataset.columns.channel is not None:
        columns = Recording._fields
    write_recordings(output, recordings_of(dataset, folder), columns)


def recordings_of(dataset: DatasetSettings, folder: Path) -> Iterator[Recording]:
    """List the recordings of a data set.

    Parameters
    ----------
    dataset : DatasetSettings
        The data set. For the user's own recordings it names their list.
    folder : Path
        Folder of the files of a published data set.

    Returns
    -------
    iterator of Recording
        In the order of the list.

    Raises
    ------
    UserError
        When a list is missing or wrong.
    """
    data = datasets.load(dataset.name)
    assert data.recordings is not None
    if isinstance(data, OwnDataset):
        rows = data.recordings(*dataset.own_list)
    else:
        rows = data.recordings(folder)
    return map(Recording.of, rows)


def write_recordings(
    path: str | os.PathLike[str],
    recordings: Iterable[Recording],
    columns: Sequence[str] = COLUMNS,
) -> None:
    """Write the list of recordings.

    Parameters
    ----------
    path : path
        The list.
    recordings : iterable of Recording
        Its rows.
    columns : sequence of str
        The first fields of `Recording`: nobody needs the column negatives where everything that is
        not listed is negative.
    """
    write_table(path, columns, (_values(row)[: len(columns)] for row in recordings))


def read_recordings(
    path: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> list[Recording]:
    """Read the list of recordings.

    Parameters
    ----------
    path : path
        The list.
    classes : sequence of str, optional
        Names of the classes, if labels are to be checked.

    Returns
    -------
    list of Recording
        In the order of the list.

    Raises
    ------
    UserError
        When a row is wrong; the message names the line.
    """
    recordings: dict[str, Recording] = {}
    known = None if classes is None else set(classes)
    for where, row in read_table(path, COLUMNS):
        recording = _recording(row, where)
        if recording.id in recordings:
            raise UserError(f"{where}: the id {recording.id!r} occurs twice: make ids unique.")
        if known is not None:
            unknown = {*recording.labels, *(label for label, _, _ in recording.events)} - known
            if unknown:
                raise UserError(
                    f"{where}: {min(unknown)!r} is not one of the classes: correct the label."
                )
        recordings[recording.id] = recording
    return list(recordings.values())


def _values(recording: Recording) -> tuple[object, ...]:
    """The values of the columns of the file."""
    *others, labels, events, group, negatives, of_events, of_negatives = recording
    texts = [
        # JSON has no infinity.
        json.dumps([(name, a, None if b == math.inf else b) for name, a, b in found])
        if found
        else ""
        for found in (events, negatives)
    ]
    channels = [json.dumps(numbers) if numbers else "" for numbers in (of_events, of_negatives)]
    return *others, LABEL_SEPARATOR.join(labels), texts[0], group, texts[1], *channels


def _recording(row: Mapping[str, str], where: str) -> Recording:
    if not row["id"]:
        raise UserError(f"{where}: the id is empty: give each recording an id.")
    start, end = (_seconds(row, column, where) for column in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise UserError(f"{where}: the end, {end:g} s, is not after the start: correct it.")
    times = {}
    channels = {}
    for column in ("events", "negatives"):
        text, numbers = row.get(column, ""), row.get(f"{column[:-1]}_channels", "")
        try:
            times[column] = _events(json.loads(text)) if text else ()
            channels[column] = tuple(map(int, json.loads(numbers))) if numbers else ()
        except (ValueError, TypeError) as error:
            raise UserError(f"{where}: {column} cannot be read ({error}): correct them.") from error
        if channels[column] and len(channels[column]) != len(times[column]):
            raise UserError(f"{where}: {column} and their channels differ in number: correct them.")
    labels = tuple(label for label in row["labels"].split(LABEL_SEPARATOR) if label)
    return Recording(
        *(row["id"], row["split"], row["file"], start, end, labels),
        *(times["events"], row["group"], times["negatives"]),
        *(channels["events"], channels["negatives"]),
    )


def _events(events: Iterable[Sequence[Any]]) -> tuple[Event, ...]:
    return tuple(
        (label, float(onset), math.inf if offset is None else float(offset))
        for label, onset, offset in events
    )


def _seconds(row: Mapping[str, str], column: str, where: str) -> float | None:
    try:
        seconds = float(row[column]) if row[column] else None
    except ValueError:
        seconds = math.nan
    if seconds is not None and not 0 <= seconds < math.inf:
        raise UserError(
            f"{where}: {column} must be seconds, at least 0, or empty, not {row[column]!r}."
        )
    return seconds
