"""Lists of clips that people listened to, and what they heard in each.

Labels of a data set can be missing; such a list says what is true. Two formats are read:

- `.csv`: one clip per line, with the columns `id`, `labels` (names separated by semicolons, empty
  if none of the sounds was heard) and, where a recording has several clips, `start` in seconds. A
  line with a value in the column `unsure`, as pages save it, is left out;
- `.tsv`: that of DESED, one sound per line, with the columns `filename` and `event_label`, and,
  where the time of the sound is known, `onset` and `offset` in seconds. The file name
  Y<id>_<start>_<end>.wav is that of a clip of AudioSet; a clip without sounds has one line without
  a label.

Source: N. Turpault et al., "Sound event detection in domestic environments with weakly labeled data
and soundscape synthesis", DCASE workshop 2019 (DESED).
"""

import hashlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from weakneg.datasets import audioset_lists
from weakneg.datasets.local_copy import DATA_VARIABLE
from weakneg.datasets.own_lists import label_names
from weakneg.errors import UserError
from weakneg.io.csv import read_table
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole, unreadable
from weakneg.stages import stage


class PublishedList(NamedTuple):
    """A published list.

    Attributes
    ----------
    url : str
        Its address.
    sha256 : str
        That of the published file, hexadecimal.
    """

    url: str
    sha256: str


# Name in a study -> list; the local file is <name>.tsv.
PUBLISHED = {
    # Pinned to a commit: on a branch the file could change.
    "desed_validation": PublishedList(
        "https://raw.githubusercontent.com/turpaultn/DESED/"
        "23fd1be2d36227c84fd8fc591157d6f880049de1/real/metadata/validation/validation.tsv",
        "aa137f17507407ff08fd245ba63c2af4383c0a8fff9e5a89938df7de0c363871",
    ),
}

# A list may round starts; clips of AudioSet of one video are far apart.
_SAME_START_SECONDS = 0.5

_DESED_FILE = re.compile(
    rf"Y({audioset_lists.CLIP_ID.pattern})_(\d{{1,9}}\.\d+)_(\d{{1,9}}\.\d+)\.wav", re.ASCII
)
_CORRECT_IT = "correct the list"


class HeardClip(NamedTuple):
    """A clip that people listened to.

    Attributes
    ----------
    id : str
        That of the clip in the data set.
    start : float or None
        Where the clip starts in its recording, in seconds; None if the id is enough.
    labels : frozenset of str
        What was heard, in the words of the list.
    sounds : tuple of (str, float, float)
        The same with onset and offset, in seconds from the start of the clip, where they are known.
    """

    id: str
    start: float | None
    labels: frozenset[str]
    sounds: tuple[tuple[str, float, float], ...] = ()


@stage
def fetch_truth(name: str, output: Path) -> None:
    """Put a published list of what people heard into a file, checked by its SHA-256.

    It comes from the folder `audioset` in the folder that WEAKNEG_DATA names, if it is there, and
    is downloaded otherwise.

    Parameters
    ----------
    name : str
        Name of the list, such as "desed_validation".
    output : Path
        The file to write.

    Raises
    ------
    UserError
        When the local copy is not the published file, or the download fails.
    """
    url, sha256 = PUBLISHED[name]
    place = Path(audioset_lists.FOLDER) / f"{name}.tsv"
    instead = f"put an intact copy into {place} of the folder that {DATA_VARIABLE} names"
    local = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / place
    if not local.is_file():
        download(url, output, sha256=sha256, instead=instead)
        return
    try:
        content = local.read_bytes()
    except OSError as error:
        raise unreadable(local, error, instead) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{local} is not the published file (its sha256 differs): {instead}.")
    with replace_when_whole(output) as temporary:
        temporary.write_bytes(content)


def read_heard(path: str | os.PathLike[str]) -> list[HeardClip]:
    """Read a list of what people heard.

    Parameters
    ----------
    path : path
        The list; see the module for its formats.

    Returns
    -------
    list of HeardClip
        Each clip once, in the order of the list.

    Raises
    ------
    UserError
        When the file cannot be read or lists no clips, or, naming the line, when a line is
        malformed or lists a clip again.
    """
    found = _read_sounds(path) if Path(path).suffix == ".tsv" else _read_clips(path)
    if not found:
        raise UserError(f"{path} lists no clips: {_CORRECT_IT}.")
    return found


def _read_sounds(path: str | os.PathLike[str]) -> list[HeardClip]:
    labels: dict[tuple[str, float], set[str]] = {}
    sounds: dict[tuple[str, float], list[tuple[str, float, float]]] = {}
    for where, row in read_table(path, ("filename", "event_label"), _CORRECT_IT, delimiter="\t"):
        match = _DESED_FILE.fullmatch(row["filename"])
        if match is None:
            raise UserError(
                f"{where}: {row['filename']!r} is not of the form Y<id>_<start>_<end>.wav: "
                f"{_CORRECT_IT}."
            )
        clip, names = (match[1], float(match[2])), label_names(row["event_label"])
        labels.setdefault(clip, set()).update(names)
        of_clip = sounds.setdefault(clip, [])
        if names and "onset" in row and "offset" in row:
            try:
                onset, offset = float(row["onset"]), float(row["offset"])
            except ValueError:
                raise UserError(
                    f"{where}: onset and offset are {row['onset']!r} and {row['offset']!r}, but"
                    f" must be in seconds: {_CORRECT_IT}."
                ) from None
            of_clip += [(name, onset, offset) for name in names]
    return [
        HeardClip(*clip, frozenset(names), tuple(sounds[clip])) for clip, names in labels.items()
    ]


def _read_clips(path: str | os.PathLike[str]) -> list[HeardClip]:
    found: dict[tuple[str, float | None], HeardClip] = {}
    for where, row in read_table(path, ("id", "labels"), _CORRECT_IT):
        if row.get("unsure"):
            continue
        text = row.get("start", "")
        try:
            start = float(text) if text else None
        except ValueError:
            raise UserError(
                f"{where}: start is {text!r}, but must be in seconds: {_CORRECT_IT}."
            ) from None
        if (row["id"], start) in found:
            raise UserError(f"{where}: the clip {row['id']!r} is listed twice: {_CORRECT_IT}.")
        found[row["id"], start] = HeardClip(row["id"], start, frozenset(label_names(row["labels"])))
    return list(found.values())


def match_clips(
    ids: Sequence[str], starts: Sequence[float], heard: Sequence[HeardClip]
) -> dict[int, HeardClip]:
    """Find what was heard in the clips of a data set.

    Parameters
    ----------
    ids : sequence of str
        Id of each clip.
    starts : sequence of float
        Start of each clip in its recording, in seconds.
    heard : sequence of HeardClip
        The list.

    Returns
    -------
    dict of int to HeardClip
        Position of each clip that is in the list -> what was heard.
    """
    by_id: dict[str, list[HeardClip]] = {}
    for clip in heard:
        by_id.setdefault(clip.id, []).append(clip)
    found = {}
    for position, (name, start) in enumerate(zip(ids, starts, strict=True)):
        off = [
            (_SAME_START_SECONDS if clip.start is None else abs(clip.start - start), number)
            for number, clip in enumerate(by_id.get(name, ()))
        ]
        nearest, number = min(off, default=(math.inf, 0))
        if nearest <= _SAME_START_SECONDS:
            found[position] = by_id[name][number]
    return found
