"""Source: sound that is there, in the folder of the data.

A recording is the file that the list names, or else the one that is called like its id, in the
folder or one inside of it. Such a file is taken to be the clip itself, cut out already: `start` and
`end` of the list say where in the original it comes from (so in AudioSet), and all of the file is
used.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from weakneg.audio.files import files_by_name
from weakneg.audio.outcome import ERROR, MISSING, OK, Outcome, one_line
from weakneg.audio.recordings import Recording
from weakneg.config.source import ID, FolderSource
from weakneg.datasets.local_copy import DATA_VARIABLE
from weakneg.errors import UserError


def acquire(
    recordings: Sequence[Recording], settings: FolderSource, folder: Path
) -> Iterator[tuple[Recording, Outcome]]:
    """Look for the files, in `folder` or the one called so in that of WEAKNEG_DATA.

    Raises UserError when there is no such folder.
    """
    folder = find_folder(folder)
    unnamed = any(not recording.file for recording in recordings)
    there = files_by_name(_files(folder)) if unnamed else {}
    for recording in recordings:
        if recording.file:
            yield recording, _named(recording, folder)
        else:
            yield recording, _called(settings.name.replace(ID, recording.id), there, folder)


def find_folder(folder: Path) -> Path:
    """The folder, or the one called so in that of WEAKNEG_DATA. UserError where there is none."""
    for path in (folder, Path(os.environ.get(DATA_VARIABLE) or os.devnull) / folder):
        if path.is_dir():
            return path
    raise UserError(
        f"{folder} is not a folder, here or in the one that {DATA_VARIABLE} names: name the one "
        "that holds the recordings."
    )


def _files(folder: Path) -> Iterator[Path]:
    for inside, _, names in os.walk(folder):
        yield from (Path(inside, name) for name in names)


def _named(recording: Recording, folder: Path) -> Outcome:
    if _leaves(recording.file):
        return Outcome(ERROR, one_line(f"{recording.file} is not a path inside the data's folder"))
    path = folder / recording.file
    if not os.path.isfile(path):  # which, unlike Path's, takes any text
        return Outcome(MISSING, one_line(f"there is no file {recording.file}"))
    return Outcome(OK, path=path, start=recording.start, end=recording.end)


def _called(name: str, there: dict[str, list[Path]], folder: Path) -> Outcome:
    match there.get(name, []):
        case []:
            return Outcome(MISSING, one_line(f"there is no audio file called {name}"))
        case [path]:
            return Outcome(OK, path=path)
        case several:
            names = ", ".join(str(path.relative_to(folder)) for path in several)
            return Outcome(ERROR, one_line(f"several files are called so: {names}"))


def _leaves(file: str) -> bool:
    """Whether the path may lead out of the folder. Links inside it are its owner's business."""
    path = PurePath(file)
    return bool(path.anchor) or ".." in path.parts
