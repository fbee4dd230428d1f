"""CSV tables: how every one of them is read and written.

A table has a header and is text in UTF-8. It is written whole or not at all, and its lines end with
"\\n". Tables that people make are read as well: spreadsheets put a byte-order mark in front, end
lines with "\\r\\n" and leave some of them empty.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole

if TYPE_CHECKING:
    import pandas as pd

MAKE_AGAIN = "delete it, so that the next run makes it again"
"""What to do about a table of the workflow that cannot be used."""

_LONGEST_VALUE = 1 << 30  # characters; the events of a day of sound are longer than the default


def read_lines(
    path: str | os.PathLike[str], delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of a CSV file, the header included.

    Parameters
    ----------
    path : path
        The file.
    delimiter : str
        What separates values.

    Yields
    ------
    int, list of str
        The number of the line, from 1, and its values. A value in quotes may go over several lines;
        the first one counts. Empty lines have no values.

    Raises
    ------
    OSError, UnicodeDecodeError
        When the file cannot be read, or is not text in UTF-8.
    csv.Error
        When quotes are not closed or not doubled, with the number of the line.
    """
    csv.field_size_limit(_LONGEST_VALUE)
    number = 1
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for values in reader:
                yield number, values
                number = reader.line_num + 1
        except csv.Error as error:
            raise csv.Error(f"line {number}: {error}") from error


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str],
    advice: str = MAKE_AGAIN,
    delimiter: str = ",",
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows of a table, one after the other. Empty lines are left out.

    Parameters
    ----------
    path : path
        The table.
    columns : sequence of str
        Those that it needs; it may have others.
    advice : str
        What to do when it cannot be used: the end of the error's sentence.
    delimiter : str
        What separates values.

    Yields
    ------
    str, dict of str
        Where the row is, for messages, such as "bags.csv, line 2", and its values by column.

    Raises
    ------
    UserError
        When the file cannot be read, lacks a column, or a row has more or fewer values than the
        header.
    """
    try:
        lines = read_lines(path, delimiter)
        _, header = next(lines, (0, []))
        for column in columns:
            if column not in header:
                needed = ", ".join(columns)
                raise UserError(f"{path} has no column {column}, it needs {needed}: {advice}.")
        for number, values in lines:
            where = f"{path}, line {number}"
            if values and len(values) != len(header):
                raise UserError(
                    f"{where} has {len(values)} values, the header has {len(header)}: {advice}."
                )
            if values:
                yield where, dict(zip(header, values, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}): {advice}.") from error


def write_table(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write a table.

    Parameters
    ----------
    path : path
        The table.
    header : sequence of str
        Names of the columns.
    rows : iterable of sequences
        Their values; None is written as an empty one.
    """
    with table_writer(path, header) as writer:
        writer.writerows(rows)


@contextmanager
def table_writer(
    path: str | os.PathLike[str], header: Sequence[str], errors: str = "strict"
) -> Iterator[Any]:
    """Write a table bit by bit, for rows that are not all there at once.

    Parameters
    ----------
    path : path
        The table, which is there when the block ends without error.
    header : sequence of str
        Names of the columns.
    errors : str
        How text is encoded that is not Unicode, such as names of files, see `open`.

    Yields
    ------
    csv.writer
        Writes rows, with its methods `writerow` and `writerows`.
    """
    with (
        replace_when_whole(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=errors) as file,
    ):
        writer = _writer(file)
        writer.writerow(header)
        yield writer


def format_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ","
) -> str:
    """The text of a table, as `write_table` writes it."""
    text = io.StringIO()
    _writer(text, delimiter).writerows([header, *rows])
    return text.getvalue()


def write_frame(
    path: str | os.PathLike[str], frame: "pd.DataFrame", float_format: str | None = None
) -> None:
    """Write a table of pandas, without its index.

    Parameters
    ----------
    path : path
        The table.
    frame : DataFrame
        Its columns and rows.
    float_format : str, optional
        How numbers are written, such as "%.3f"; by default with all their digits.
    """
    with replace_when_whole(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")


def _writer(file: IO[str], delimiter: str = ",") -> Any:
    return csv.writer(file, delimiter=delimiter, lineterminator="\n")
