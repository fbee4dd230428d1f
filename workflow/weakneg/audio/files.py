"""The audio files of clips: their names, and which files of a folder are audio."""

import difflib
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path, PurePath
from urllib.parse import quote

from weakneg.audio.recordings import Recording

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".aifc", ".au", ".w64", ".caf", ".wma", ".mp2", ".mp1", ".mpga", ".m4b"}
    | {".wave", ".bwf", ".rf64", ".wv", ".ape", ".tta", ".tak", ".mpc", ".spx", ".amr", ".3ga"}
    | {".nist", ".sph", ".snd", ".ircam", ".voc", ".gsm", ".ac3", ".eac3", ".dts", ".mkv", ".weba"}
)
"""Suffixes of audio files, in lower case. Of videos, these are the usual ones on the web."""

_LONGEST_NAME = 150  # bytes; file systems allow 255


def clip_name(recording: Recording) -> str:
    """Name the file of a clip, without suffix: its id and, if it is a part, the seconds.

    Names are distinct, and none leads to another folder or makes a hidden file.

    Parameters
    ----------
    recording : Recording
        The clip; its id may be any text.

    Returns
    -------
    str
        The name, such as "abc" or "abc@30-40".
    """
    name = quote(recording.id, safe="")  # no @ in it
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST_NAME:
        name = sha256(recording.id.encode()).hexdigest()
    if recording.start is None and recording.end is None:
        return name
    end = "" if recording.end is None else f"{recording.end:.12g}"
    return f"{name}@{recording.start or 0:.12g}-{end}"


def files_by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Group audio files by their names.

    Parameters
    ----------
    files : iterable of Path
        Files of any kind.

    Returns
    -------
    dict of str to list of Path
        Name without suffix -> the audio files with this name, sorted.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(files):
        if is_audio(file):
            found.setdefault(file.stem, []).append(file)
    return found


def visible_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the files of a folder, at any depth, without hidden files and folders, by name."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if not name.startswith("."))


def is_audio(path: PurePath) -> bool:
    """Whether a file is audio, judging by its suffix."""
    return path.suffix.lower() in AUDIO_SUFFIXES


def nearest(name: str, folder: Path) -> str:
    """Suggest a file for a name that does not exist.

    Parameters
    ----------
    name : str
        Path in the folder.
    folder : Path
        Where it was looked for.

    Returns
    -------
    str
        Such as "; did you mean UPPER.WAV?", or "" if no name is similar.
    """
    parent = PurePath(name).parent
    try:
        names = sorted(os.listdir(folder / parent))
    except (OSError, ValueError):
        return ""
    alike = {each.lower(): each for each in names}
    found = difflib.get_close_matches(PurePath(name).name.lower(), alike, n=1)
    return f"; did you mean {(parent / alike[found[0]]).as_posix()}?" if found else ""
