"""ESC-50's list, meta/esc50.csv: filename, fold, target, category, esc10, src_file and take.

Clips of one source (src_file) are a group; folds are splits, of which a study names one as
`test_split`.

References
----------
.. [1] Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import Format, Row, Table, recording, records, table_files


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of the list."""
    return set(header) >= {"filename", "fold", "category", "src_file"}


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each clip."""
    for path in table_files(table.path):
        for where, values in records(path, table)[1]:
            name = recording(where, values["filename"], table)
            split, group = values["fold"], values["src_file"]
            yield Row(where, *name, (values["category"],), split=split, group=group)


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "whole")
