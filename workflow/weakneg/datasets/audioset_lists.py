"""What every AudioSet data set shares: its classes, its lists of clips and its ontology.

Source: J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio events",
ICASSP 2017. A clip is up to 10 s of a YouTube video; a label is the mid of a class, such as
"/m/09x0r" for Speech. The lists are those of version 1: 22,160 clips for balanced training, 20,371
for evaluation, 527 classes.

The names and counts of the classes are needed before anything was fetched (a study names classes,
or asks for the most frequent ones), so a table of them is part of the package.
"""

import json
import os
import re
import urllib.parse
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

from weakneg.datasets.local_copy import md5_of, read_checked
from weakneg.errors import UserError
from weakneg.io.csv import format_table, read_table
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole

FOLDER = "audioset"
"""What the folder of the files is called in a local copy."""

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
    ONTOLOGY: (  # of one commit: the branch could change under the checksum
        "https://raw.githubusercontent.com/audioset/ontology/"
        "1e85b88a094054c66096a18073b76cb71f5b1436/ontology.json",
        "4880cd66e698acc00c5ee0757e23b993",
    ),
}

CLASS_TABLE = Path(__file__).with_name("audioset_classes.csv")

FETCH_AGAIN = "delete it, so that the next run fetches it again"

# Ids and mids are texts of others that end up in messages, tables and paths.
CLIP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEGMENT = re.compile(
    rf'({CLIP_ID.pattern}), (\d{{1,9}}\.\d+), (\d{{1,9}}\.\d+), "([\w/,]+)"', re.ASCII
)


class AudioSetClass(NamedTuple):
    """One of the 527 classes; its number is its place in the table.

    training_clips : clips of the balanced training list that carry it
    """

    mid: str
    name: str
    training_clips: int


class Segment(NamedTuple):
    """A clip of a list: where it lies in its video, in seconds, and its class numbers, sorted."""

    start: float
    end: float
    labels: tuple[int, ...]


# ----------------------------------------------------------------------------- classes
@cache
def classes() -> tuple[AudioSetClass, ...]:
    """The classes in the order of their numbers, from the table in the package."""
    columns = ("mid", "display_name", "training_clips")
    return tuple(
        AudioSetClass(row["mid"], row["display_name"], int(row["training_clips"]))
        for _, row in read_table(CLASS_TABLE, columns, "install the package again")
    )


@cache
def class_numbers() -> dict[str, int]:
    """Mid -> class number."""
    return {each.mid: number for number, each in enumerate(classes())}


def class_table(folder: str | os.PathLike) -> str:
    """The text of the table in the package, made from the published lists in `folder`.

    Made with: python -c "from weakneg.datasets.audioset_lists import *;
    CLASS_TABLE.write_text(class_table('<folder of the lists>'), encoding='utf-8')"
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
    """Address at which a clip can be heard: its video, from the second on at which it starts."""
    return f"https://youtu.be/{urllib.parse.quote(clip_id, safe='')}?t={int(start)}"


def read_segments(
    path: str | os.PathLike, numbers: dict[str, int] | None = None
) -> dict[str, Segment]:
    """Id -> segment, in the order of a published list of clips.

    Its first three lines start with #; the others are `YTID, start, end, "mid,mid,..."`.

    numbers : mid -> class number; those of the package's table if None

    Raises UserError, with the line, when the file is missing or a line is something else, names an
    unknown class, or names a clip again.
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
            raise problem(number, "it does not belong into a list of segments")
        clip_id, start, end, mids = match.groups()
        if float(start) >= float(end):
            raise problem(number, "the clip ends before it starts")
        labels = set()
        for mid in mids.split(","):
            if mid not in numbers:
                raise problem(number, f"{mid!r} is none of the {len(numbers)} classes")
            labels.add(numbers[mid])
        if clip_id in segments:
            raise problem(number, f"the clip {clip_id} is there twice")
        segments[clip_id] = Segment(float(start), float(end), tuple(sorted(labels)))
    if not segments:
        raise UserError(f"{path} lists no clip: {FETCH_AGAIN}.")
    return segments


# ----------------------------------------------------------------------------- ontology
def read_ontology(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """Mid of every node of the ontology, abstract ones included -> mids of its children.

    Raises UserError when the file is missing or is no ontology.
    """
    try:
        return {
            str(node["id"]): tuple(str(child) for child in node["child_ids"])
            for node in json.loads(_read_text(path))
        }
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is not AudioSet's ontology: {FETCH_AGAIN}.") from error


def related_classes(path: str | os.PathLike) -> dict[str, frozenset[str]]:
    """Class name -> names of the classes above it (which it implies) and below it (which imply it).

    path : of ontology.json, where a class can have several parents. Nodes that are no class
        (abstract and blacklisted ones) are passed through.

    Raises UserError when the file is missing, is no ontology, or lacks a class.
    """
    children = read_ontology(path)
    name_of = {each.mid: each.name for each in classes()}
    missing = sorted(name_of.keys() - children.keys())
    if missing:
        raise UserError(f"{path} has no class {missing[0]}: {FETCH_AGAIN}.")
    related: dict[str, set[str]] = {name: set() for name in name_of.values()}
    for mid, name in name_of.items():
        below, waiting = set(), [mid]
        while waiting:  # a node that was seen is not entered again: a cycle ends too
            for child in children.get(waiting.pop(), ()):
                if child not in below:
                    below.add(child)
                    waiting.append(child)
        for other in (name_of[node] for node in below & (name_of.keys() - {mid})):
            related[name].add(other)
            related[other].add(name)
    return {name: frozenset(others) for name, others in related.items()}


def _read_text(path: str | os.PathLike) -> str:
    try:
        # Bytes that are no text become signs that belong nowhere, and are refused there.
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): {FETCH_AGAIN}.") from (
            error
        )


# ----------------------------------------------------------------------------- fetching
def has_lists(folder: Path) -> bool:
    """Whether the four lists are in `folder`, as published."""
    return all(md5_of(folder / file) == md5 for file, (_, md5) in LISTS.items())


def fetch_lists(folder: Path, source: Path | None, instead: str) -> None:
    """Put the four lists into `folder`, each checked by its md5; sound ones are kept.

    source : folder of a local copy, or None to download
    instead : what the user can do when that fails: the end of the error's sentence
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
