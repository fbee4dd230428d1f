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
import os
from collections.abc import Iterable, Mapping

from weakneg import datasets
from weakneg.files import replace_when_whole

COLUMNS = ("id", "split", "file", "start", "end", "labels", "events", "group")
LABEL_SEPARATOR = ";"


def list_recordings(
    dataset: str,
    list_file: str | None,
    test_split: str,
    folder: str | os.PathLike,
    output: str | os.PathLike,
) -> None:
    """Write the list of a data set, whose files are in `folder`, or of a person's own list."""
    source = (folder,) if list_file is None else (list_file, test_split)
    write_recordings(datasets.module(dataset).recordings(*source), output)


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
