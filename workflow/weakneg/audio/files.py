"""The audio files of clips: their names, and which files of a folder are audio."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path, PurePath
from urllib.parse import quote

from weakneg.audio.recordings import Recording

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".aifc", ".au", ".w64", ".caf", ".wma", ".mp2"}
)
"""Suffixes of audio files, in lower case."""

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


def is_audio(path: PurePath) -> bool:
    """Whether a file is audio, judging by its suffix."""
    return path.suffix.lower() in AUDIO_SUFFIXES
