"""CSV files."""

import csv
import os
from collections.abc import Iterable, Sequence

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole


def read_table(path: str | os.PathLike, columns: Sequence[str]) -> Iterable[tuple[str, dict]]:
    """Where each row of a CSV file is, for messages, and the row.

    Raises UserError when the file cannot be read, or lacks one of `columns`.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for column in columns:
                if column not in (reader.fieldnames or ()):
                    raise UserError(f"{path} has no column {column}.")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: it has not as many fields as the header.")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}).") from error


def write_table(path: str | os.PathLike, header: Sequence, rows: Iterable[Sequence]) -> None:
    """Write a CSV file."""
    with (
        replace_when_whole(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
