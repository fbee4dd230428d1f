"""DCASE's tables of events, as of DESED: filename, onset, offset and event_label.

A recording without events has a row in which the others are empty.

References
----------
.. [1] DCASE 2019 to 2023, task 4, metadata of DESED: validation.tsv and others.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import Format, Row, Table, recording, records, span, table_files

_COLUMNS = {"filename", "onset", "offset", "event_label"}


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of such a table."""
    return set(header) >= _COLUMNS


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each event, and one for each recording without events."""
    for path in table_files(table.path):
        for where, values in records(path, table)[1]:
            name = recording(where, values["filename"], table)
            times = span(where, values["onset"], values["offset"])
            yield Row(where, *name, table.labels(values["event_label"]), times)


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "whole")
