"""The audio files of clips: how they are named, and which files of a folder are audio."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path, PurePath
from urllib.parse import quote

from weakneg.audio.recordings import Recording

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka"}
    | {".aif", ".aiff", ".aifc", ".au", ".w64", ".caf", ".wma", ".mp2"}
)
"""Endings of the names of audio files, in lower case."""

_LONGEST_NAME = 150  # of a file, in bytes; file systems allow 255


def clip_name(recording: Recording) -> str:
    """Name of the file of a clip, without ending: its id and, if it is a part, the seconds.

    No two clips have the same one, and none leads to another folder or hides its file.
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
    """Name without ending -> the audio files that are called so, sorted."""
    found: dict[str, list[Path]] = {}
    for file in sorted(files):
        if is_audio(file):
            found.setdefault(file.stem, []).append(file)
    return found


def is_audio(path: PurePath) -> bool:
    """Whether a file is audio, by the ending of its name."""
    return path.suffix.lower() in AUDIO_SUFFIXES
