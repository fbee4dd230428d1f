"""The format of this project: a CSV file with a header and one or more rows per recording.

- `file`: path in the folder;
- `labels`: names of classes, separated by semicolons; empty if the recording belongs to none;
- `split` (optional): "train" or "test", or the name of a fold; the study's test_split then names
  the fold to test on. Without this column, a quarter of the recordings is the test split, chosen by
  a hash of their names;
- `group` (optional): what recordings have in common, such as the night or the animal. A group is
  never on both sides of the split, nor is a recording that is cut into clips;
- `onset`, `offset` (optional, seconds): where in the recording the labels of the row are heard. A
  clip cut from the recording carries the labels that it overlaps with. Without these columns the
  labels apply to the whole recording;
- `negatives` (optional): names of classes, separated by semicolons, that were looked for and not
  heard: from `onset` to `offset`, or, without these, in all of the recording. It matters to studies
  that say `unlisted: unknown`. Events of the same recording are exceptions, so that "looked for
  Dog in all of it, heard it here and there" is one row with negatives and one for each event;
- `channel` (optional): the number of the channel that the row is about, from 1, in studies that
  hear each channel; empty: all of them.

Other columns are not read. The id of a recording is its `file`.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from weakneg.datasets.formats import Format, Row, Span, Table, channel, one_line_errors
from weakneg.datasets.own_lists import label_names, refuse_both
from weakneg.errors import UserError
from weakneg.io.csv import read_lines

COLUMNS = ("file", "labels", "split", "group", "onset", "offset", "negatives")


def recognises(header: Sequence[str]) -> bool:
    """Whether it is the header of such a list."""
    return {"file", "labels"} <= {name.strip().lower() for name in header}


def rows(table: Table) -> Iterator[Row]:
    """Yield the rows of the list."""
    with one_line_errors(table.path, table.path):
        lines = read_lines(table.path)
        _, names = next(lines, (1, []))
        header = _header(table.path, names)
        for number, line in lines:
            if any(value.strip() for value in line):
                yield _row(f"{table.path}, line {number}", header, line, table)


def _header(list_file: str, names: list[str]) -> list[str]:
    header = [name.strip().lower() for name in names]
    for column in COLUMNS:
        if header.count(column) > 1:
            raise UserError(f"{list_file} has two columns {column}: remove or rename one of them.")
    times = {"onset", "offset"}
    needed = ("file", "labels", *(sorted(times) if times & set(header) else ()))
    for column in needed:
        if column not in header:
            found = ", ".join(filter(None, header)) or "none"
            raise UserError(
                f"{list_file} has no column {column}; its columns, separated by commas, must "
                "include file and labels, and may include split, group, negatives, and onset with "
                f"offset (found: {found})."
            )
    return header


def _row(where: str, header: list[str], line: list[str], table: Table) -> Row:
    if len(line) != len(header):
        raise UserError(
            f"{where} has {len(line)} values, the header has {len(header)}: quote values that "
            "contain a comma."
        )
    values = dict(zip(header, line, strict=True))
    path = PurePosixPath(values["file"])
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{where}: file is {values['file']!r}, but must be a path inside the folder."
        )
    labels, negatives = label_names(values["labels"]), label_names(values.get("negatives", ""))
    refuse_both(where, labels, negatives)
    file = str(path)  # without a leading ./ so that a file is one recording
    return Row(
        where,
        file,
        file,
        "",
        tuple(labels),
        _times(where, values),
        tuple(negatives),
        values.get("split", "").strip(),
        values.get("group", "").strip(),
        channel=channel(where, values, table.column("channel")),
    )


def _times(where: str, values: dict[str, str]) -> Span | None:
    texts = [values.get(column, "").strip() for column in ("onset", "offset")]
    if texts == ["", ""]:
        return None
    try:
        onset, offset = map(float, texts)
    except ValueError:
        onset, offset = math.nan, math.nan
    if not 0 <= onset < offset < math.inf:
        raise UserError(
            f"{where}: onset is {texts[0]!r} and offset is {texts[1]!r}, but they must be numbers "
            "of seconds, the onset below the offset."
        )
    return onset, offset


FORMAT = Format(
    rows=rows, recognises=recognises, annotated=lambda table: "whole", channel="channel"
)
