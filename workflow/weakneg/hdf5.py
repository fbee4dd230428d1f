"""Writing HDF5 files, so that a full disk is one clear sentence.

HDF5 writes when it likes to, and what then fails it reports on stderr, or by a crash when the
process ends. So room is reserved before anything is written into it.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import h5py
import numpy as np

from weakneg.errors import UserError
from weakneg.files import replace_when_whole

_SLACK_BYTES = 1 << 20  # for what HDF5 writes of its own


@contextmanager
def new_file(path: str | os.PathLike) -> Iterator[h5py.File]:
    """A new HDF5 file that gets the name `path` when the block ends without error.

    Raises UserError when the folder or the disk does not let it be written.
    """
    try:
        with replace_when_whole(path) as temporary:
            with h5py.File(temporary, "w") as file:
                reserve(file, 0)
                yield file
                file.flush()
                size = file.id.get_filesize()
            os.truncate(temporary, size)  # what was reserved and not used
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be written ({reason}): make room and run again.") from error


def reserve(file: h5py.File, n_bytes: int) -> None:
    """Make sure that there is room for `n_bytes` of data in all. Raises OSError when there is not.

    Where the system or the file system cannot reserve room, nothing is done.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.id.get_vfd_handle(), 0, n_bytes + _SLACK_BYTES)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array of bytes, in UTF-8; `np.char.decode` gives them back."""
    return np.char.encode(np.array(texts, dtype=str), "utf-8") if texts else np.zeros(0, "S1")
