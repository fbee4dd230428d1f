"""Local copies of data sets: where they are, and whether they are intact."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from weakneg.errors import UserError

DATA_VARIABLE = "WEAKNEG_DATA"
"""Environment variable with a folder of local copies, one folder per data set as published."""


def check_named(named: Mapping[str, str | None]) -> None:
    """Check that the folders of local copies exist, before anything is downloaded.

    Parameters
    ----------
    named : mapping of str to str or None
        Data set -> the folder that the user names for it, if any. The folder that WEAKNEG_DATA
        names is checked, too.

    Raises
    ------
    UserError
        When one of them is not a folder.
    """
    keys = {f"data: {{{dataset}: ...}}": folder for dataset, folder in named.items()}
    for key, folder in (keys | {DATA_VARIABLE: os.environ.get(DATA_VARIABLE)}).items():
        if folder and not Path(folder).is_dir():
            raise UserError(f"{key} names {folder}, which is not a folder.")


def how_to_name_one(dataset: str, folder: str) -> str:
    """Say how to name a local copy, as the end of a sentence; parameters as `find_local_copy`."""
    return (
        f"name an intact copy of {folder} with the key data: {{{dataset}: ...}} or the environment "
        f"variable {DATA_VARIABLE}"
    )


def find_local_copy(
    dataset: str, folder: str, files: Iterable[str], named: str | os.PathLike[str] | None
) -> Path | None:
    """Find the folder of a local copy.

    Parameters
    ----------
    dataset : str
        Name of the data set, for messages.
    folder : str
        Name of the folder of the files in a local copy.
    files : iterable of str
        Names of the files; some of them may be missing.
    named : path or None
        That folder or its parent, as the user names it. If None, the folder is looked for in the
        one that WEAKNEG_DATA names.

    Returns
    -------
    Path or None
        None if there is no local copy.

    Raises
    ------
    UserError
        When the named folder has none of the files.
    """
    if named is not None:
        files = tuple(files)
        for candidate in (Path(named) / folder, Path(named)):
            if any((candidate / file).is_file() for file in files):
                return candidate
        raise UserError(
            f"data: {{{dataset}: {named}}} has none of the files of {folder}: name that folder or "
            "its parent, or remove the key to download them."
        )
    # The variable is for all data sets, so it is not an error if this one is missing there.
    shared = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / folder
    return shared if shared.is_dir() else None


def read_checked(path: Path, md5: str, what_to_do: str) -> bytes:
    """Read a file and check its md5.

    Parameters
    ----------
    path : Path
        The file.
    md5 : str
        The published md5.
    what_to_do : str
        What the user can do when the file cannot be used, as the end of the error's sentence.

    Returns
    -------
    bytes
        Its content.

    Raises
    ------
    UserError
        When it cannot be read or its md5 differs.
    """
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
    """Return the md5 of a file, or None if it does not exist."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
