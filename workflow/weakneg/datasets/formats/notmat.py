"""Song annotations of evsonganaly: one .not.mat file for each recording, named after it.

Onsets and offsets are milliseconds, and each segment has a label of one character; "-" is what the
program writes before anybody has labelled a segment.

References
----------
.. [1] evsonganaly, SegmentNotes.m and the variables that it saves: onsets, offsets, labels.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io

from weakneg.datasets.formats import (
    Format,
    Row,
    Table,
    folder_of,
    read_by,
    recording,
    table_files,
)
from weakneg.errors import UserError

SUFFIXES = (".not.mat",)
_UNLABELLED = "- "
_RAW = ".cbin"
"""Suffix of raw recordings; those must be converted, so that any file of that name is meant."""


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each segment, and one for each file."""
    for path in table_files(table.path, SUFFIXES):
        of_recording = Path(path).name[: -len(SUFFIXES[0])].removesuffix(_RAW)
        name = recording(path, f"{folder_of(path, table)}{of_recording}", table)
        yield Row(path, *name)
        with read_by("scipy", path, table):
            values = scipy.io.loadmat(path)
        missing = [key for key in ("onsets", "offsets", "labels") if key not in values]
        if missing:
            raise UserError(f"{path} has no variable {missing[0]}: move it out of {table.path}.")
        # A row or a column, of strings or of characters.
        onsets, offsets = (np.ravel(values[key]) / 1000 for key in ("onsets", "offsets"))
        labels = "".join(np.ravel(values["labels"]))
        if not len(onsets) == len(offsets) == len(labels):
            raise UserError(
                f"{path} has {len(onsets)} onsets, {len(offsets)} offsets and {len(labels)} "
                "labels: save it again with evsonganaly, or remove it."
            )
        for onset, offset, label in zip(onsets, offsets, labels, strict=True):
            heard = () if label in _UNLABELLED else (label,)
            yield Row(path, *name, heard, (float(onset), float(offset)))


FORMAT = Format(
    rows=rows,
    recognises=lambda values: False,
    annotated=lambda table: "listed",
)
