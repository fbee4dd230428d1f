"""Files that are either whole or absent."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weakneg.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors that say that the disk, the quota or a limit leaves no room."""

_LEAST_ROOM = 1 << 20  # bytes


def check_writable(folders: Iterable[str | os.PathLike]) -> None:
    """Raise UserError for a folder that cannot be written to, or be made where it is not there."""
    for folder in map(Path, folders):
        there = next(
            each for each in (folder.absolute(), *folder.absolute().parents) if each.exists()
        )
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UserError(
                f"{there} cannot be written to, where the results belong: give yourself the right"
                " to, or make results a link to another folder."
            )


def check_room(folder: str | os.PathLike) -> None:
    """Raise UserError where the disk, or the quota on it, has no room for a file of 1 MiB.

    folder : one that exists
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_LEAST_ROOM))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(
                f"{Path(folder).absolute()}: {error.strerror}: make room and run again."
            ) from error


@contextmanager
def replace_when_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed onto it when the block ends without error.

    The temporary path keeps the suffix of `path` (libraries choose formats by it). It is in a
    folder of its own, which is removed with all that is left in it. A block that fails or is killed
    leaves whatever was at `path` before. The error of a full disk names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = folder / path.name
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in NO_ROOM:  # what fails to write does not know where
            error.filename = str(path)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
