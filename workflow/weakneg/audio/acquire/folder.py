"""Source: audio files in the folder of the data.

A recording is the file that the list names, or else the file named after its id, in the folder or
below it, but not in hidden folders, such as the snapshots of a file server. A file named after the
id is taken to be the clip itself and used as a whole: as in AudioSet, `start` and `end` in the list
then say where in the original the clip was cut.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from weakneg.audio.files import files_by_name, is_audio, nearest, visible_files
from weakneg.audio.outcome import ERROR, MISSING, OK, Outcome, one_line
from weakneg.audio.recordings import Recording
from weakneg.config.source import ID, FolderSource
from weakneg.datasets.local_copy import DATA_VARIABLE
from weakneg.errors import UserError


def acquire(
    recordings: Sequence[Recording], settings: FolderSource, folder: Path
) -> Iterator[tuple[Recording, Outcome]]:
    """Look for the files of recordings.

    Parameters
    ----------
    recordings : sequence of Recording
        The recordings to look for.
    settings : FolderSource
        How files are named.
    folder : Path
        The folder, here or in the one that WEAKNEG_DATA names.

    Yields
    ------
    Recording, Outcome
        A recording and its outcome.

    Raises
    ------
    UserError
        When the folder does not exist.
    """
    folder = find_folder(folder)
    unnamed = any(not recording.file for recording in recordings)
    there = files_by_name(visible_files(folder)) if unnamed else {}
    for recording in recordings:
        if recording.file:
            yield recording, _named(recording, folder)
        else:
            yield recording, _called(settings.name.replace(ID, recording.id), there, folder)


def find_folder(folder: Path) -> Path:
    """Find a folder, here or in the one that WEAKNEG_DATA names. Raises UserError if not found."""
    for path in (folder, Path(os.environ.get(DATA_VARIABLE) or os.devnull) / folder):
        if path.is_dir():
            return path
    raise UserError(
        f"there is no folder {folder} here or in the one that {DATA_VARIABLE} names: name the "
        "folder that holds the recordings."
    )


def audio_files(folder: Path) -> list[Path]:
    """List the audio files of a folder, at any depth, without hidden ones.

    Parameters
    ----------
    folder : Path
        The folder, here or in the one that WEAKNEG_DATA names.

    Returns
    -------
    list of Path
        At least one, sorted.

    Raises
    ------
    UserError
        When there is no such folder, or no audio file in it.
    """
    found = sorted(filter(is_audio, visible_files(find_folder(folder))))
    if not found:
        raise UserError(f"the folder {folder} holds no audio files.")
    return found


def _named(recording: Recording, folder: Path) -> Outcome:
    if _leaves(recording.file):
        return Outcome(
            ERROR, one_line(f"{recording.file} is not a path inside the folder of the data")
        )
    path = folder / recording.file
    if not os.path.isfile(path):  # unlike Path.is_file, it accepts any text
        guess = nearest(recording.file, folder)
        return Outcome(MISSING, one_line(f"there is no file {recording.file}{guess}"))
    return Outcome(OK, path=path, start=recording.start, end=recording.end)


def _called(name: str, there: dict[str, list[Path]], folder: Path) -> Outcome:
    match there.get(name, []):
        case []:
            return Outcome(MISSING, one_line(f"there is no audio file called {name}"))
        case [path]:
            return Outcome(OK, path=path)
        case several:
            names = ", ".join(str(path.relative_to(folder)) for path in several)
            return Outcome(ERROR, one_line(f"several files have this name: {names}"))


def _leaves(file: str) -> bool:
    """Whether the path may lead out of the folder. Links inside it are up to its owner."""
    path = PurePath(file)
    return bool(path.anchor) or ".." in path.parts
