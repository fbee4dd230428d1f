"""AudioSet's strong labels: segment_id, start_time_seconds, end_time_seconds and label.

Times count from the start of the ten-second segment. In the framed tables, a column `present` says
of each frame whether a class that people looked for is there.

References
----------
.. [1] Hershey et al., "The Benefit of Temporally-Strong Labels in Audio Event Classification",
   ICASSP 2021: audioset_train_strong.tsv, audioset_eval_strong_framed_posneg.tsv.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import (
    Annotated,
    Format,
    Row,
    Table,
    recording,
    records,
    span,
    table_files,
)

_COLUMNS = {"segment_id", "start_time_seconds", "end_time_seconds", "label"}


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of such a table."""
    return set(header) >= _COLUMNS


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each event, or for each frame and class."""
    for path in table_files(table.path):
        for where, values in records(path, table)[1]:
            name = recording(where, values["segment_id"], table)
            times = span(where, values["start_time_seconds"], values["end_time_seconds"])
            label = (values["label"],)
            if values.get("present", "PRESENT") == "PRESENT":
                yield Row(where, *name, label, times)
            else:
                yield Row(where, *name, (), times, negatives=label)


def annotated(table: Table) -> Annotated:
    """All of a segment, except in the framed tables, which say what is absent."""
    header, _ = records(table_files(table.path)[0], table)
    return "listed" if "present" in header else "whole"


FORMAT = Format(rows=rows, recognises=recognises, annotated=annotated)
