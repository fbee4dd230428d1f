"""CSV tables: the one way to read and write them.

A table has a header and is text in UTF-8. It is written whole or not at all, with Unix line ends.
Tables that people make are read as well: spreadsheets put a byte-order mark in front, use Windows
line ends and leave some lines empty.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole, unreadable

if TYPE_CHECKING:
    import pandas as pd

MAKE_AGAIN = "delete it, so that the next run makes it again"
"""What to do about an unusable table that the workflow wrote."""

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
        Separator of values.

    Yields
    ------
    int, list of str
        The number of the line, from 1, and its values; an empty line has none. A quoted value may
        span several lines; then the number is that of the first.

    Raises
    ------
    OSError, UnicodeDecodeError
        When the file cannot be read, or is not text in UTF-8.
    csv.Error
        When quotes are not closed or not doubled; the message has the number of the line.
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
    """Read the rows of a table one by one, without empty lines.

    Parameters
    ----------
    path : path
        The table.
    columns : sequence of str
        The required columns; the table may have others.
    advice : str
        What the user should do if the table is unusable: the end of the error message.
    delimiter : str
        Separator of values.

    Yields
    ------
    str, dict of str
        The place of the row for messages, such as "bags.csv, line 2", and its values by column.

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
    except PermissionError as error:
        raise unreadable(path, error, advice) from error
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
        Their values; None is written as an empty value.
    """
    with table_writer(path, header) as writer:
        writer.writerows(rows)


@contextmanager
def table_writer(
    path: str | os.PathLike[str], header: Sequence[str], errors: str = "strict"
) -> Iterator[Any]:
    """Write a table row by row, as a context manager.

    Parameters
    ----------
    path : path
        The table, which appears when the block ends without error.
    header : sequence of str
        Names of the columns.
    errors : str
        How text that is not valid Unicode, such as file names, is encoded; see `open`.

    Yields
    ------
    csv.writer
        Writes rows, with its methods `writerow` and `writerows`.
    """
    with (
        replace_when_whole(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=errors) as file,
    ):
        writer = row_writer(file)
        writer.writerow(header)
        yield writer


def format_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ","
) -> str:
    """Format a table as text, as `write_table` writes it.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequences
        Their values; None gives an empty value.
    delimiter : str
        Separator of values.

    Returns
    -------
    str
        The text, with a line break at the end of each line.
    """
    text = io.StringIO()
    row_writer(text, delimiter).writerows([header, *rows])
    return text.getvalue()


def write_frame(
    path: str | os.PathLike[str], frame: "pd.DataFrame", float_format: str | None = None
) -> None:
    """Write a pandas table, without its index.

    Parameters
    ----------
    path : path
        The table.
    frame : DataFrame
        The columns and rows.
    float_format : str, optional
        Format of numbers, such as "%.3f"; by default all digits are written.
    """
    with replace_when_whole(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")


def row_writer(file: IO[str], delimiter: str = ",") -> Any:
    """Return a `csv.writer` that writes as this module does.

    Parameters
    ----------
    file : file
        A text file that does not translate line ends.
    delimiter : str
        Separator of values.

    Returns
    -------
    csv.writer
        Writes rows, with its methods `writerow` and `writerows`.
    """
    return csv.writer(file, delimiter=delimiter, lineterminator="\n")
