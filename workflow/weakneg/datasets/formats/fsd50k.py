"""FSD50K's ground truth: dev.csv and eval.csv with fname, labels, mids and, in dev.csv, split.

Names have no suffix, and commas separate labels. If the list is the folder of both tables, dev.csv
is for training and eval.csv for testing; in dev.csv alone, the split `val` is for testing. Labels
of dev.csv are correct, but some are missing; those of eval.csv are complete.

References
----------
.. [1] Fonseca et al., "FSD50K: an Open Dataset of Human-Labeled Sound Events", TASLP 2022.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from weakneg.datasets.formats import Format, Row, Table, recording, records, table_files


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of dev.csv or eval.csv."""
    return set(header) >= {"fname", "labels", "mids"}


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each clip."""
    with_commas = table._replace(separator=",")
    paths = [path for path in table_files(table.path) if recognises(records(path, table)[0])]
    for path in paths:
        of_file = {"dev.csv": "train", "eval.csv": "test"}.get(Path(path).name, "")
        for where, values in records(path, table)[1]:
            stated = {"val": "test"}.get(values.get("split", ""), values.get("split", ""))
            split = of_file if len(paths) > 1 else stated
            name = recording(where, values["fname"], table)
            yield Row(where, *name, with_commas.labels(values["labels"]), split=split)


FORMAT = Format(rows=rows, recognises=recognises, annotated=lambda table: "whole")
