r"""Label tracks of Audacity: one file for each recording, named after it.

A line holds onset, offset and label, separated by tabs; a point label has equal times. With
spectral selections, a line that begins with a backslash and holds two frequencies follows.
BirdNET-Analyzer adds the confidence as a fourth value. Where each channel is heard, the track of
channel 2 of rec1.wav is called rec1.wav.ch2.txt.

References
----------
.. [1] Audacity Manual, "Importing and Exporting Labels".
"""

import re
from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import (
    Format,
    Name,
    Row,
    Table,
    lines_of,
    number,
    recording_of,
    span,
    table_files,
)
from weakneg.errors import UserError


def recognises(values: Sequence[str]) -> bool:
    """Whether it is a line with two times."""
    try:
        return len(values) in (2, 3, 4) and float(values[0]) <= float(values[1])
    except ValueError:
        return False


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each label, and one for each recording whose track has none."""
    for path in table_files(table.path):
        name, channel = _named(path, table)
        yield Row(path, *name, channel=channel)
        for where, values in lines_of(path, table):
            if values[0] == "\\":
                continue
            if len(values) < 2:
                raise UserError(
                    f"{where} is not a label of Audacity, which is onset, offset and label, "
                    f"separated by tabs: remove the line, or move {path} out of {table.path}."
                )
            onset, offset, label, confidence = (*map(str.strip, values), "", "")[:4]
            yield Row(
                where,
                *name,
                table.labels(label),
                span(where, onset, offset),
                confidence=number(where, "the confidence", confidence) if confidence else None,
                channel=channel,
            )


def _named(path: str, table: Table) -> tuple[Name, int | None]:
    """The id and the file of the recording that a track is named after, and the channel."""
    found = re.search(r"\.ch([1-9]\d*)(?=\.\w+$)", path) if table.column("channel") else None
    if found is None:
        return recording_of(path, table), None
    return recording_of(path[: found.start()] + path[found.end() :], table), int(found[1])


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "listed", channel="file")
