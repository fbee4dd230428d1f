"""UrbanSound8K's list: slice_file_name, fsID, start, end, salience, fold, classID and class.

Files are in a folder for each fold. Slices of one recording (fsID) are a group; start and end are
seconds in that recording, not in the slice. Slices of some recordings are in two folds: each of
these parts is a group, since the published folds are what others report.

References
----------
.. [1] Salamon et al., "A Dataset and Taxonomy for Urban Sound Research", ACM Multimedia 2014.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import Format, Row, Table, recording, records, table_files


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of the list."""
    return set(header) >= {"slice_file_name", "fsID", "fold", "class"}


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each slice."""
    for path in table_files(table.path):
        for where, values in records(path, table)[1]:
            fold = values["fold"]
            name = recording(where, f"fold{fold}/{values['slice_file_name']}", table)
            group = f"{values['fsID']} in fold {fold}"
            yield Row(where, *name, (values["class"],), split=fold, group=group)


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "whole")
