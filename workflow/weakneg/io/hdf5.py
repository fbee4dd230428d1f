"""HDF5 files: a full disk is one clear sentence, and who reads one knows what it holds.

HDF5 writes when it likes to, and what then fails it reports on stderr, or by a crash when the
process ends. So room is reserved before anything is written into it.

The hash of a large data set is written beside it, by whoever has its rows in hand, so that it need
not be read whole to see whether it is the one of yesterday.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole

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


class Digest:
    """Hash of the rows of a data set, to be `add`ed in their order, in any pieces."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, rows: np.ndarray) -> None:
        self._hash.update(np.ascontiguousarray(rows).data)

    def write(self, data: h5py.Dataset) -> None:
        """Leave it beside `data`, whose rows, type and shape it is of."""
        self._hash.update(f"{data.dtype.str}{data.shape}".encode())
        data.attrs["digest"] = self._hash.hexdigest()


def content_digest(data: h5py.Dataset) -> str:
    """The hash that was written beside `data`; of a virtual one, that of those of its sources.

    Raises UserError when a source is missing.
    """
    if not data.is_virtual:
        return data.attrs["digest"]
    digest = hashlib.sha256()
    for source in data.virtual_sources():
        path = Path(data.file.filename).parent / source.file_name
        try:
            with h5py.File(path, "r") as file:
                digest.update(file[source.dset_name].attrs["digest"].encode())
        except (OSError, KeyError) as error:
            raise UserError(
                f"{path} is missing or damaged, and {data.file.filename} needs it: delete what is "
                "left of it, so that the next run makes it again."
            ) from error
    return digest.hexdigest()


def read_rows(data: h5py.Dataset | np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Read the rows numbered `rows` (n,) of `data` into `out` (n, ...), of the same type.

    Rows that follow each other are one read. Raises UserError when the file cannot be read.
    """
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for first, end in pairwise([0, *breaks, len(rows)] if len(rows) else []):
        wanted = np.s_[rows[first] : rows[first] + end - first]
        if not isinstance(data, h5py.Dataset):
            out[first:end] = data[wanted]
            continue
        try:
            data.read_direct(out[first:end], wanted)
        except OSError as error:
            raise UserError(f"{data.file.filename} cannot be read ({error}).") from error


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array of bytes, in UTF-8; `np.char.decode` gives them back."""
    return np.char.encode(np.array(texts, dtype=str), "utf-8") if texts else np.zeros(0, "S1")
