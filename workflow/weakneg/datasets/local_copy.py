"""Where the files of a data set come from: a local copy, checked, before any download."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from weakneg.errors import UserError

DATA_VARIABLE = "WEAKNEG_DATA"
"""Environment variable: a folder of local copies, one folder per data set as published."""


def check_named(named: Mapping[str, str | None]) -> None:
    """Raise UserError where what a user names as a folder is none, before anything is downloaded.

    named : data set -> its folder, or None
    """
    keys = {f"data: {{{dataset}: ...}}": folder for dataset, folder in named.items()}
    for key, folder in (keys | {DATA_VARIABLE: os.environ.get(DATA_VARIABLE)}).items():
        if folder and not Path(folder).is_dir():
            raise UserError(f"{key} names {folder}, which is no folder.")


def how_to_name_one(dataset: str, folder: str) -> str:
    """What the user can do: the end of a sentence. Parameters as of `find_local_copy`."""
    return (
        f"name a sound copy of {folder} with the key data: {{{dataset}: ...}} or the environment "
        f"variable {DATA_VARIABLE}"
    )


def find_local_copy(
    dataset: str, folder: str, files: Iterable[str], named: str | os.PathLike | None
) -> Path | None:
    """The folder of a local copy; None if there is none.

    dataset : name of the data set, for messages
    folder : what the folder of the files is called in a local copy
    files : their names; not all of them need to be there
    named : that folder or its parent, as the user names it; else the one in the folder that
        WEAKNEG_DATA names is looked for

    Raises UserError when the named folder has none of the files.
    """
    if named is not None:
        files = tuple(files)
        for candidate in (Path(named) / folder, Path(named)):
            if any((candidate / file).is_file() for file in files):
                return candidate
        raise UserError(
            f"data: {{{dataset}: {named}}} has none of the files of {folder}: name that "
            "folder or its parent, or remove the key so that they are downloaded."
        )
    # The variable serves all data sets, so a folder without this one is no mistake.
    shared = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / folder
    return shared if shared.is_dir() else None


def read_checked(path: Path, md5: str, what_to_do: str) -> bytes:
    """The contents of `path`. Raises UserError when it is missing or has another md5."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be read ({reason}): {what_to_do}.") from error
    found = hashlib.md5(content).hexdigest()
    if found != md5:
        raise UserError(
            f"{path} is not the published file (md5 expected {md5}, found {found}): {what_to_do}."
        )
    return content


def md5_of(path: Path) -> str | None:
    """The md5 of a file; None where there is no file."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
