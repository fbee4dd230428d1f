"""Any other table, of which the study names the columns.

They are named as in the table, or, if it has no header, by their numbers, from 1.
"""

from collections.abc import Iterator

from weakneg.datasets.formats import (
    Annotated,
    Format,
    Row,
    Table,
    channel,
    lines_of,
    number,
    recording,
    records,
    span,
    table_files,
)
from weakneg.errors import UserError


def rows(table: Table) -> Iterator[Row]:
    """Yield a row for each row of the tables."""
    for path in table_files(table.path):
        for where, values in _values(path, table):
            name = recording(where, values["file"], table)
            onset, offset = values.get("onset", ""), values.get("offset", "")
            if onset and values.get("duration"):
                length = number(where, "the duration", values["duration"])
                offset = repr(number(where, "the onset", onset) + length)
            confidence, longer = values.get("confidence"), values.get("time_expansion")
            yield Row(
                where,
                *name,
                table.labels(values["labels"]),
                span(where, onset, offset),
                table.labels(values.get("negatives", "")),
                values.get("split", ""),
                values.get("group", ""),
                number(where, "the confidence", confidence) if confidence else None,
                number(where, "the time expansion", longer) if longer else None,
                channel(where, values, "channel"),
            )


def _values(path: str, table: Table) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the values of the columns that the study names, by what they hold."""
    columns = dict(table.columns)
    numbers = {key: column for key, column in columns.items() if isinstance(column, int)}
    if numbers:
        for where, values in lines_of(path, table):
            if len(values) < max(numbers.values()):
                raise UserError(
                    f"{where} has {len(values)} values, but dataset.columns names column "
                    f"{max(numbers.values())}."
                )
            yield where, {key: values[column - 1].strip() for key, column in numbers.items()}
        return
    header, lines = records(path, table)
    for column in columns.values():
        if header.count(str(column)) != 1:
            lack = "no" if column not in header else "more than one"
            raise UserError(
                f"{path} has {lack} column {column!r} (found: {', '.join(header) or 'none'}): "
                "correct dataset.columns."
            )
    for where, record in lines:
        yield where, {key: record[str(column)] for key, column in columns.items()}


def annotated(table: Table) -> Annotated:
    """Of recordings with events nobody knows what was listened to."""
    return "listed" if table.column("onset") else "whole"


FORMAT = Format(rows=rows, recognises=lambda values: False, annotated=annotated)
