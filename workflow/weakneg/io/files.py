"""Files that are either whole or absent."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weakneg.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota or a limit on the size of files."""

_LEAST_ROOM = 1 << 20  # bytes


def check_writable(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Raise UserError for a folder that cannot be written to or, if it does not exist, be made."""
    for folder in map(Path, folders):
        there = next(
            each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()
        )
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UserError(
                f"{there}, where the results belong, cannot be written to: get write permission, "
                "or make results a link to another folder."
            )


def check_room(folder: str | os.PathLike[str]) -> None:
    """Raise UserError if the disk of an existing folder, or its quota, has no room for 1 MiB."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_LEAST_ROOM))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(
                f"{Path(folder).absolute()}: {error.strerror}: make room and run again."
            ) from error


def unreadable(path: str | os.PathLike[str], error: Exception, if_damaged: str) -> UserError:
    """The error of a file that cannot be read, which may be whole nevertheless.

    Parameters
    ----------
    path : path
        The file.
    error : Exception
        What a library raised. Only an OSError of the operating system has an error number.
    if_damaged : str
        What the user should do about a damaged or missing file: the end of the message.

    Returns
    -------
    UserError
        To be raised.
    """
    path = Path(path)
    number = getattr(error, "errno", None)
    if number is None:
        return UserError(f"{path} is truncated or damaged: {if_damaged}.")
    reason = os.strerror(number)
    if number == errno.ENOENT:
        return UserError(f"{path} is missing: {if_damaged}.")
    if number in (errno.EACCES, errno.EPERM):
        with suppress(OSError, KeyError):  # in a closed folder; a user without a name
            reason += f"; it belongs to {path.owner()}"
        return UserError(f"{path} cannot be read ({reason}): get permission to read it.")
    return UserError(f"{path} cannot be read ({reason}), but it may be whole: run again later.")


@contextmanager
def replace_when_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file whole or not at all, as a context manager.

    If the block fails or is killed, `path` stays as it was. The error of a full disk names `path`.

    Parameters
    ----------
    path : path
        The file; its folder is made if need be.

    Yields
    ------
    Path
        A temporary path beside `path` with the same name, since libraries choose formats by it. It
        is renamed to `path` when the block ends without error. The folder around it is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = folder / path.name
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in NO_ROOM:  # the failed write does not know the name of the file
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
