"""Selection tables of Raven Pro and Raven Lite, and those that BirdNET-Analyzer writes.

A row is a selection. Which column holds the labels is up to the annotator. Raven writes a row for
each view of a selection, spectrogram and waveform, and says in which `Channel` it was made. Where a
table covers several files, `Begin Time` counts from the start of the first one, and `File Offset
(s)` from the start of `Begin File`.

References
----------
.. [1] Raven Pro 1.4 User's Manual (Cornell Lab of Ornithology, 2010), chapters 6 and 7.
.. [2] BirdNET-Analyzer 2, analyze/utils.py: `RAVEN_TABLE_HEADER`, and rows called "nocall" for
   recordings without detections.
"""

import re
from collections.abc import Iterator, Sequence

from weakneg.datasets.formats import (
    Format,
    Name,
    Row,
    Span,
    Table,
    channel,
    expansion,
    folder_of,
    number,
    recording,
    recording_of,
    records,
    span,
    table_files,
    within,
)
from weakneg.errors import UserError

_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
_MADE_BY_RAVEN = re.compile(  # measurements end with their unit
    r"Selection|View|Channel|(Begin|End) (File|Path|Date|Hour|Date Time|Clock Time)|.*\(.*\)"
    r"|Confidence|Score|time[ _]?exp.*",
    re.IGNORECASE,
)
_NO_CALL = "nocall"
_OF_BIRDNET = ("Common Name", "Species Code")


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of a selection table."""
    return {"Selection", _BEGIN, _END} <= {name.strip() for name in header}


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each selection."""
    for path in table_files(table.path):
        yield from _selections(path, table)


def _selections(path: str, table: Table) -> Iterator[Row]:
    header, lines = records(path, table)
    if not recognises(header):
        raise UserError(
            f"{path} is not a selection table of Raven, which has the columns Selection, {_BEGIN} "
            f"and {_END}: move it out of {table.path}."
        )
    selections = list(lines)
    if not selections:
        yield Row(path, *recording_of(path, table))
        return
    label = _label_column(path, header, table)
    # BirdNET hears the mean of all channels, and always writes 1.
    by_birdnet = {*_OF_BIRDNET} <= {*header}
    of_channel = None if by_birdnet else table.column("channel")
    starts = _starts(selections)
    confidence = str(table.column("confidence") or "Confidence")
    seen = set()
    for where, values in selections:
        # The views of a selection differ in what was measured.
        heard_in = channel(where, values, of_channel)
        names = ("Selection", _BEGIN, _END, label, "Begin File", "Begin Path")
        key = (*(values.get(name) for name in names), heard_in)
        if key in seen:
            continue
        seen.add(key)
        text = values.get(confidence, "")
        labels = () if values[label] == _NO_CALL else table.labels(values[label])
        for name, times in _parts(where, path, values, table, starts):
            yield Row(
                where,
                *name,
                labels,
                times,
                confidence=number(where, confidence, text) if text else None,
                expansion=expansion(where, values),
                channel=heard_in,
            )


def _label_column(path: str, header: Sequence[str], table: Table) -> str:
    named = table.column("labels")
    if named is not None:
        if named not in header:
            raise UserError(
                f"{path} has no column {named!r} (found: {', '.join(header)}): correct "
                "dataset.columns."
            )
        return str(named)
    found = [name for name in header if name and not _MADE_BY_RAVEN.fullmatch(name)]
    if set(found) == {*_OF_BIRDNET}:
        return "Common Name"
    if len(found) != 1:
        which = f"is it {' or '.join(found)}?" if found else "there is none of your own."
        raise UserError(
            f"{path}: which column holds the labels: {which} Name it in the study, as in columns: "
            f"{{labels: {found[0] if found else 'Species'}}}."
        )
    return found[0]


def _starts(selections: Sequence[tuple[str, dict[str, str]]]) -> dict[str, float]:
    """Where each file starts in the sequence of files that the table is about, in seconds."""
    return {
        _begin(values): number(where, _BEGIN, values[_BEGIN])
        - number(where, _OFFSET, values[_OFFSET])
        for where, values in selections
        if _begin(values) and values.get(_OFFSET)
    }


def _begin(values: dict[str, str]) -> str:
    """The path, or else the name, of the file in which a selection begins."""
    return values.get("Begin Path") or values.get("Begin File", "")


def _end(values: dict[str, str]) -> str:
    """The same for where it ends; a file without a path is beside the one in which it begins."""
    file, begin = values.get("End File", ""), values.get("Begin Path", "")
    if not begin:
        return file
    return values.get("End Path") or (file and re.sub(r"[^/\\]*$", "", begin) + file)


def _name(where: str, path: str, file: str, folder: str, table: Table) -> Name:
    """The recording at a path, or, where that is not in the folder, of that file name."""
    if not path:
        return recording(where, folder + file, table)
    name = recording(where, path, table)
    if not file or within(path, table):
        return name
    return recording(where, folder + file, table)._replace(source=name.source)


def _parts(
    where: str, path: str, values: dict[str, str], table: Table, starts: dict[str, float]
) -> Iterator[tuple[Name, Span | None]]:
    """Yield the recordings that a selection lies in, and its times there."""
    times = span(where, values[_BEGIN], values[_END])
    assert times is not None
    folder = folder_of(path, table)
    begin, end = _begin(values), _end(values)
    path_of_begin = values.get("Begin Path", "")
    if begin:
        name = _name(where, path_of_begin, values.get("Begin File", ""), folder, table)
    else:
        name = recording_of(path, table)
    if values.get(_OFFSET):
        onset = number(where, _OFFSET, values[_OFFSET])
        yield name, (onset, onset + times[1] - times[0])
    else:
        yield name, times
    if end and begin and end != begin:
        if end not in starts:
            raise UserError(
                f"{where}: the selection continues in {end}, but none begins there, which would "
                "tell when that file starts: divide the selection in two."
            )
        path_of_end = end if path_of_begin else ""
        name = _name(where, path_of_end, values.get("End File", ""), folder, table)
        yield name, (0.0, times[1] - starts[end])


FORMAT = Format(
    rows=rows,
    recognises=recognises,
    annotated=lambda table: "listed",
    choosable=("labels", "confidence"),
    channel="Channel",
)
