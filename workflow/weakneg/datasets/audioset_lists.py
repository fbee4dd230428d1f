"""What the AudioSet data sets share: the classes, the lists of clips and the ontology.

Source: J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events",
ICASSP 2017. A clip is up to 10 s of a YouTube video; a label is the machine identifier (mid) of a
class, such as "/m/09x0r" for Speech. The lists are those of version 1: 22,160 clips for balanced
training, 20,371 for evaluation, 527 classes.

The names and counts of the classes are needed before any file is fetched (a study names classes, or
asks for the most frequent ones), so the package includes a table of them.
"""

import json
import re
import urllib.parse
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from weakneg.datasets import Folder
from weakneg.datasets.local_copy import md5_of, read_checked
from weakneg.errors import UserError
from weakneg.io.csv import format_table, read_table
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole

FOLDER = "audioset"
"""Name of the folder of the files in a local copy."""

TRAIN_LIST = "balanced_train_segments.csv"
EVAL_LIST = "eval_segments.csv"
LABEL_LIST = "class_labels_indices.csv"
ONTOLOGY = "ontology.json"

_CSV_URL = "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv"

# File -> address and md5 of the published file.
LISTS = {
    TRAIN_LIST: (f"{_CSV_URL}/{TRAIN_LIST}", "0ec13c62ec25d1148b9bf3390dee8bd7"),
    EVAL_LIST: (f"{_CSV_URL}/{EVAL_LIST}", "85e796902a4e6a0898980a55f86b55f3"),
    LABEL_LIST: (f"{_CSV_URL}/{LABEL_LIST}", "68c0b5c199d6cc789852b144cc3ab500"),
    ONTOLOGY: (  # pinned to a commit: on a branch the file, and so its md5, could change
        "https://raw.githubusercontent.com/audioset/ontology/"
        "1e85b88a094054c66096a18073b76cb71f5b1436/ontology.json",
        "4880cd66e698acc00c5ee0757e23b993",
    ),
}

CLASS_TABLE = Path(__file__).with_name("audioset_classes.csv")

FETCH_AGAIN = "delete the file, so that the next run fetches it again"

# Ids and mids come from outside and end up in messages, tables and paths.
CLIP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEGMENT = re.compile(
    rf'({CLIP_ID.pattern}), (\d{{1,9}}\.\d+), (\d{{1,9}}\.\d+), "([\w/,]+)"', re.ASCII
)


class AudioSetClass(NamedTuple):
    """One of the 527 classes; its number is its position in the table.

    Attributes
    ----------
    mid : str
        Machine identifier, such as "/m/09x0r".
    name : str
        Display name, such as "Speech".
    training_clips : int
        Number of clips in the balanced training list that carry the label.
    """

    mid: str
    name: str
    training_clips: int


class Segment(NamedTuple):
    """A clip of a list.

    Attributes
    ----------
    start, end : float
        Position in its video, in seconds.
    labels : tuple of int
        Class numbers, in ascending order.
    """

    start: float
    end: float
    labels: tuple[int, ...]


# ----------------------------------------------------------------------------- classes
@cache
def classes() -> tuple[AudioSetClass, ...]:
    """Return the classes in the order of their numbers, from the table in the package."""
    columns = ("mid", "display_name", "training_clips")
    return tuple(
        AudioSetClass(row["mid"], row["display_name"], int(row["training_clips"]))
        for _, row in read_table(CLASS_TABLE, columns, "install the package again")
    )


@cache
def class_numbers() -> dict[str, int]:
    """Return the class number of each mid."""
    return {each.mid: number for number, each in enumerate(classes())}


def class_table(folder: Folder) -> str:
    """Make the text of the table in the package from the published lists.

    The table was written with: python -c "from weakneg.datasets.audioset_lists import *;
    CLASS_TABLE.write_text(class_table('<folder of the lists>'), encoding='utf-8')"

    Parameters
    ----------
    folder : path
        Folder of the lists.

    Returns
    -------
    str
        A CSV file with the columns index, mid, display_name and training_clips.
    """
    columns = ("index", "mid", "display_name")
    rows = [row for _, row in read_table(Path(folder) / LABEL_LIST, columns, FETCH_AGAIN)]
    numbers = {row["mid"]: int(row["index"]) for row in rows}
    segments = read_segments(Path(folder) / TRAIN_LIST, numbers)
    clips = Counter(label for segment in segments.values() for label in segment.labels)
    return format_table(
        (*columns, "training_clips"),
        [(row["index"], row["mid"], row["display_name"], clips[int(row["index"])]) for row in rows],
    )


# ----------------------------------------------------------------------------- lists of clips
def link(clip_id: str, start: float) -> str:
    """Return the address of a clip's video, playing from the second at which the clip starts."""
    return f"https://youtu.be/{urllib.parse.quote(clip_id, safe='')}?t={int(start)}"


def read_segments(path: Folder, numbers: dict[str, int] | None = None) -> dict[str, Segment]:
    """Read a list of clips in AudioSet's format.

    Its first three lines start with #; the others are `YTID, start, end, "mid,mid,..."`.

    Parameters
    ----------
    path : path
        The list.
    numbers : dict of str to int, optional
        Class number of each mid; by default those of the package's table.

    Returns
    -------
    dict of str to Segment
        Id -> segment, in the order of the list.

    Raises
    ------
    UserError
        When the file is missing or empty, or, naming the line, when a line is malformed, names an
        unknown class, or repeats a clip.
    """
    numbers = class_numbers() if numbers is None else numbers
    lines = _read_text(path).splitlines()
    segments: dict[str, Segment] = {}

    def problem(number: int, what: str) -> UserError:
        return UserError(f"{path}, line {number}: {what}; {FETCH_AGAIN}.")

    for number, line in enumerate(lines, start=1):
        if number <= 3 and line.startswith("#"):
            continue
        match = _SEGMENT.fullmatch(line)
        if match is None or number <= 3:
            raise problem(number, "it does not belong in a list of segments")
        clip_id, start, end, mids = match.groups()
        if float(start) >= float(end):
            raise problem(number, "the clip ends before it starts")
        labels = set()
        for mid in mids.split(","):
            if mid not in numbers:
                raise problem(number, f"{mid!r} is not one of the {len(numbers)} classes")
            labels.add(numbers[mid])
        if clip_id in segments:
            raise problem(number, f"the clip {clip_id} is listed twice")
        segments[clip_id] = Segment(float(start), float(end), tuple(sorted(labels)))
    if not segments:
        raise UserError(f"{path} lists no clips: {FETCH_AGAIN}.")
    return segments


# ----------------------------------------------------------------------------- ontology
def read_ontology(path: Folder) -> dict[str, tuple[str, ...]]:
    """Read the ontology.

    Parameters
    ----------
    path : path
        The file `ontology.json`.

    Returns
    -------
    dict of str to tuple of str
        Mid of each node, abstract ones included -> mids of its children.

    Raises
    ------
    UserError
        When the file is missing or is not the ontology.
    """
    try:
        return {
            str(node["id"]): tuple(str(child) for child in node["child_ids"])
            for node in json.loads(_read_text(path))
        }
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is not AudioSet's ontology: {FETCH_AGAIN}.") from error


def related_classes(path: Folder) -> dict[str, frozenset[str]]:
    """Find the classes above each class, which it implies, and below it, which imply it.

    Parameters
    ----------
    path : path
        The file `ontology.json`. A class can have several parents. Paths may lead through nodes
        that are not classes (abstract and blacklisted ones).

    Returns
    -------
    dict of str to frozenset of str
        Class name -> names of its related classes.

    Raises
    ------
    UserError
        When the file is missing, is not the ontology, or lacks a class.
    """
    children = read_ontology(path)
    name_of = {each.mid: each.name for each in classes()}
    missing = sorted(name_of.keys() - children.keys())
    if missing:
        raise UserError(f"{path} has no class {missing[0]}: {FETCH_AGAIN}.")
    related: dict[str, set[str]] = {name: set() for name in name_of.values()}
    for mid, name in name_of.items():
        below, waiting = set(), [mid]
        while waiting:  # each node is entered once, so that a cycle ends
            for child in children.get(waiting.pop(), ()):
                if child not in below:
                    below.add(child)
                    waiting.append(child)
        for other in (name_of[node] for node in below & (name_of.keys() - {mid})):
            related[name].add(other)
            related[other].add(name)
    return {name: frozenset(others) for name, others in related.items()}


def _read_text(path: Folder) -> str:
    try:
        # Invalid bytes become replacement characters, which no parser accepts.
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {FETCH_AGAIN}.") from (
            error
        )


# ----------------------------------------------------------------------------- fetching
def has_lists(folder: Path) -> bool:
    """Return whether the four lists are in `folder`, as published."""
    return all(md5_of(folder / file) == md5 for file, (_, md5) in LISTS.items())


def fetch_lists(folder: Path, source: Path | None, instead: str) -> None:
    """Put the four lists into a folder, each checked by its md5; intact ones are kept.

    Parameters
    ----------
    folder : Path
        Where to put them.
    source : Path or None
        Folder of a local copy; None to download them.
    instead : str
        What the user can do when that fails, as the end of the error's sentence.

    Raises
    ------
    UserError
        When a list is missing or is not the published one, or the download fails.
    """
    for file, (url, md5) in LISTS.items():
        if md5_of(folder / file) == md5:
            continue
        if source is None:
            download(url, folder / file, md5=md5, instead=instead)
        else:
            content = read_checked(source / file, md5, instead)
            with replace_when_whole(folder / file) as temporary:
                temporary.write_bytes(content)
