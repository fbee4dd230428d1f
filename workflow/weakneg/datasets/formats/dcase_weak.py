"""DCASE's tables of tags, as of DESED: filename and event_labels, which commas separate.

References
----------
.. [1] DCASE 2019 to 2023, task 4, metadata of DESED: weak.tsv.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import Format, Row, Table, recording, records, table_files


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of such a table."""
    return set(header) >= {"filename", "event_labels"}


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each recording."""
    with_commas = table._replace(separator=",")
    for path in table_files(table.path):
        for where, values in records(path, table)[1]:
            name = recording(where, values["filename"], table)
            yield Row(where, *name, with_commas.labels(values["event_labels"]))


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "whole")
