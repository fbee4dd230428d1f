"""Lists of recordings, and what became of them when their sound was acquired."""

import csv
from pathlib import Path

import pytest

from weakneg.audio.acquire import acquire
from weakneg.audio.recordings import COLUMNS, read_recordings
from weakneg.errors import UserError


def write_list(path: Path, rows: list[dict]) -> Path:
    """A list of recordings; what a row does not say is empty, its split is train."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"split": "train", **row} for row in rows)
    return path


def acquire_listed(list_csv: Path, *arguments) -> None:
    """`acquire` of the recordings in a list."""
    acquire(read_recordings(list_csv), *arguments)


def read_rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def statuses(rows: list[dict]) -> dict[str, str]:
    return {row["id"]: row["status"] for row in rows}


def unusable(acquire, *arguments, **settings) -> str:
    with pytest.raises(UserError) as error:
        acquire(*arguments, **settings)
    message = str(error.value)
    assert "\n" not in message
    assert not list(acquire.audio.glob("journal/*"))
    assert not list(acquire.audio.glob("*.*"))
    return message
