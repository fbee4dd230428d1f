"""Lists of what somebody heard in clips, which correct their labels: the key `corrections`.

They are what pages with sound save: a CSV file with a line for each clip and the columns

- `id`: the clip, or its recording, also as a path that leads to it; where each channel is heard, a
  clip, such as night.wav@5-ch2;
- `start`: where the clip starts in its recording, in seconds; it may be empty where the id is
  enough;
- `labels`, `negatives`, `unsure`: classes, separated by semicolons, that were heard, that were not
  heard, and of which the listener was unsure.

Pages of older versions saved no `negatives`. Their lists are about one class: a line without labels
says that this class was not heard.
"""

import re
from collections.abc import Container, Iterator
from functools import lru_cache
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Literal, NamedTuple

from weakneg.datasets.own_lists import label_names
from weakneg.errors import UserError
from weakneg.io.csv import read_table

Answer = Literal["yes", "no", "unsure"]
"""Whether a class was heard."""

ANSWERS: dict[str, Answer] = {"labels": "yes", "negatives": "no", "unsure": "unsure"}
"""Column -> what it says of its classes."""

SAME_START_SECONDS = 0.01
"""Clips of a recording whose starts differ by no more are the same clip.

Pages save starts with at least three decimals; clips that overlap can start close to each other.
"""

_CORRECT_IT = "correct the list, or save it again"


class Correction(NamedTuple):
    """What somebody heard of a class in a clip.

    Attributes
    ----------
    where : str
        The place in the list, for messages.
    id : str
        Of the clip or of its recording.
    start : float or None
        Where the clip starts in its recording, in seconds; None if the id is enough.
    class_name : str
        The class.
    answer : {"yes", "no", "unsure"}
        Whether it was heard.
    """

    where: str
    id: str
    start: float | None
    class_name: str
    answer: Answer

    @property
    def channel(self) -> int | None:
        """The channel of the clip, from 1, if the id names it."""
        return channel_of(self.id)


@lru_cache
def read_corrections(path: str) -> tuple[Correction, ...]:
    """Read a list.

    Parameters
    ----------
    path : str
        The list.

    Returns
    -------
    tuple of Correction
        One for each clip and class, in the order of the list.

    Raises
    ------
    UserError
        When the file cannot be read or corrects nothing, or, naming the line, when a line is
        malformed, says nothing, or contradicts another one.
    """
    rows = list(read_table(path, ("id", "labels"), _CORRECT_IT))
    only = _only_class(path, rows)
    found: dict[tuple[str, float | None, str], Correction] = {}
    for where, row in rows:
        start = _start(where, row)
        for name, answer in _answers(where, row, only):
            correction = Correction(where, row["id"].strip(), start, name, answer)
            refuse_contradiction(found.setdefault((correction.id, start, name), correction), answer)
    if not found:
        raise UserError(f"{path} corrects nothing: {_CORRECT_IT}.")
    return tuple(found.values())


def refuse_contradiction(first: Correction, answer: Answer) -> None:
    """Raise UserError where another answer about the clip and the class of `first` differs."""
    if first.answer != answer:
        raise UserError(
            f"{first.where}: {first.class_name!r} in {first.id!r} is corrected twice, with "
            f"{first.answer!r} and with {answer!r}: keep one of them."
        )


def _only_class(path: str, rows: list[tuple[str, dict[str, str]]]) -> str | None:
    """The class that lines without labels are about, in a list without negatives."""
    if not rows or "negatives" in rows[0][1] or all(row["labels"].strip() for _, row in rows):
        return None
    names = sorted({name for _, row in rows for name in label_names(row["labels"])})
    if len(names) != 1:
        found = " and ".join(map(repr, names[:2])) if names else "no class"
        raise UserError(
            f"{path} has lines without labels, but no column negatives, and names {found}: say in "
            "that column which class was not heard."
        )
    return names[0]


def _answers(where: str, row: dict[str, str], only: str | None) -> Iterator[tuple[str, Answer]]:
    """The classes of a line, and what it says of them."""
    said = {column: label_names(row.get(column) or "") for column in ANSWERS}
    if only is not None and not said["labels"]:
        said["negatives"] = [only]
    if not any(said.values()):
        raise UserError(
            f"{where}: {row['id']!r} has neither labels nor negatives nor unsure: name a class, or "
            "remove the line."
        )
    for column, names in said.items():
        for name in names:
            yield name, ANSWERS[column]


def _start(where: str, row: dict[str, str]) -> float | None:
    text = row.get("start", "").strip()
    try:
        return float(text) if text else None
    except ValueError:
        raise UserError(
            f"{where}: start is {text!r}, but must be in seconds: {_CORRECT_IT}."
        ) from None


def channel_of(clip: str) -> int | None:
    """The channel, from 1, that the id of a clip names; None if it names none."""
    found = re.search(r"@(?:[^@]*-)?ch([1-9]\d*)$", clip)
    return int(found[1]) if found else None


def recording_of(clip: str, known: Container[str], folder: str) -> str | None:
    """Find the recording that a clip is from.

    Parameters
    ----------
    clip : str
        Id of the clip or of the recording, or a path that leads to the recording from elsewhere.
    known : container of str
        Ids of the recordings.
    folder : str
        Their folder. Of a path, the part after the name of that folder counts, the longest that is
        known.

    Returns
    -------
    str, optional
        Id of the recording; None if there is none.
    """
    home = PurePath(folder).name
    for text in (clip, clip.rpartition("@")[0]):
        windows = PureWindowsPath(text)
        path = PurePosixPath(windows.as_posix() if windows.drive or "\\" in text else text)
        # There may be a folder of that name inside it.
        after = [n for n, part in enumerate(path.parts[:-1], 1) if part == home] or [0]
        inside = [PurePosixPath(*path.parts[n:]) for n in after]
        names = [text, *(str(name) for each in inside for name in (each, each.parent / each.stem))]
        # A list may name recordings without their suffixes and folders.
        for name in (*names, path.stem):
            if text and name in known:
                return name
    return None
