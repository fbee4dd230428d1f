"""Results of BirdNET-Analyzer in its types csv, r and kaleidoscope.

Its tables for Raven and Audacity are read as those. One file for each recording, or one for all.

References
----------
.. [1] BirdNET-Analyzer 2, analyze/utils.py: `CSV_HEADER`, `KALEIDOSCOPE_HEADER`; version 1,
   `RTABLE_HEADER`.
"""

from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import (
    Format,
    Row,
    Span,
    Table,
    number,
    recording,
    recording_of,
    records,
    span,
    table_files,
)
from weakneg.errors import UserError

_CSV = {"Start (s)", "End (s)", "Scientific name", "Common name", "Confidence"}
_R = {"filepath", "start", "end", "scientific_name", "common_name", "confidence"}
_KALEIDOSCOPE = {"IN FILE", "OFFSET", "DURATION", "common_name"}


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of one of these types."""
    return any(set(header) >= columns for columns in (_CSV, _R, _KALEIDOSCOPE))


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each detection, and one for each file of results without any."""
    for path in table_files(table.path):
        header, lines = records(path, table)
        if not recognises(header):
            raise UserError(
                f"{path} is not a table of BirdNET-Analyzer: move it out of {table.path}."
            )
        label = str(
            table.column("labels") or ("Common name" if set(header) >= _CSV else "common_name")
        )
        if label not in header:
            raise UserError(f"{path} has no column {label!r}: correct dataset.columns.")
        empty = True
        for where, values in lines:
            empty = False
            file, times = _place(where, values)
            name = recording(where, file, table) if file else recording_of(path, table)
            # Version 1 wrote no confidences for Kaleidoscope.
            text = values.get("Confidence") or values.get("confidence") or ""
            confidence = number(where, "Confidence", text) if text else None
            yield Row(where, *name, (values[label],), times, confidence=confidence)
        if empty:
            yield Row(path, *recording_of(path, table))


def _place(where: str, values: dict[str, str]) -> tuple[str, Span | None]:
    """The path of the recording and the times of a detection."""
    if "IN FILE" in values:
        onset = number(where, "OFFSET", values["OFFSET"])
        times = onset, onset + number(where, "DURATION", values["DURATION"])
        folders = (values.get("INDIR", ""), values.get("FOLDER", ""))
        return "/".join([*filter(None, folders), values["IN FILE"]]), times
    if "filepath" in values:
        return values["filepath"], span(where, values["start"], values["end"])
    return values.get("File", ""), span(where, values["Start (s)"], values["End (s)"])


FORMAT = Format(
    rows=rows, recognises=recognises, annotated=lambda table: "listed", choosable=("labels",)
)
