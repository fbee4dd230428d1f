"""HDF5 files: a full disk gives one clear error, and large data sets carry their hash.

HDF5 writes lazily, and a late failure only shows on stderr, or as a crash when the process ends. So
room is reserved before anything is written into it.

The hash of a large data set is written beside it while its rows are at hand. So the data set need
not be read to see whether it has changed.
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

_SLACK_BYTES = 1 << 20  # for HDF5's own structures


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Write a new HDF5 file, whole or not at all, as a context manager.

    Parameters
    ----------
    path : path
        The file, which appears when the block ends without error.

    Yields
    ------
    h5py.File
        The open file.

    Raises
    ------
    UserError
        When the folder cannot be written to or the disk is full.
    """
    try:
        with replace_when_whole(path) as temporary:
            with h5py.File(temporary, "w") as file:
                reserve(file, 0)
                yield file
                file.flush()
                size = file.id.get_filesize()
            os.truncate(temporary, size)  # frees what was reserved and not used
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} cannot be written ({reason}): make room and run again.") from error


def reserve(file: h5py.File, n_bytes: int) -> None:
    """Reserve room on the disk. Does nothing where the file system cannot reserve room.

    Parameters
    ----------
    file : h5py.File
        A file that is being written.
    n_bytes : int
        Size of all its data.

    Raises
    ------
    OSError
        When there is too little room.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.id.get_vfd_handle(), 0, n_bytes + _SLACK_BYTES)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise


class Digest:
    """Hash of a data set, from its rows in their order, in pieces of any length."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, rows: np.ndarray) -> None:
        """Add the next rows."""
        self._hash.update(np.ascontiguousarray(rows).data)

    def write(self, data: h5py.Dataset) -> None:
        """Write the hash beside `data`, the data set with these rows."""
        self._hash.update(f"{data.dtype.str}{data.shape}".encode())
        data.attrs["digest"] = self._hash.hexdigest()


def content_digest(data: h5py.Dataset) -> str:
    """Read the hash that `Digest` wrote beside a data set.

    Parameters
    ----------
    data : h5py.Dataset
        The data set.

    Returns
    -------
    str
        The hash, hexadecimal. For a virtual data set, the hash of the hashes of its sources.

    Raises
    ------
    UserError
        When a source is missing or damaged.
    """
    if not data.is_virtual:
        return str(data.attrs["digest"])
    digest = hashlib.sha256()
    for source in data.virtual_sources():
        path = Path(data.file.filename).parent / source.file_name
        try:
            with h5py.File(path, "r") as file:
                digest.update(file[source.dset_name].attrs["digest"].encode())
        except (OSError, KeyError) as error:
            raise UserError(
                f"{path}, which {data.file.filename} needs, is missing or damaged: delete what is "
                "left of it, so that the next run makes it again."
            ) from error
    return digest.hexdigest()


def read_rows(data: h5py.Dataset | np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """Read rows of a data set or array. Consecutive rows are read at once.

    Parameters
    ----------
    data : h5py.Dataset or ndarray, (N, ...)
        The data set.
    rows : ndarray, (n,) int
        Numbers of the rows.
    out : ndarray, (n, ...)
        Receives the rows; of the type of `data`.

    Raises
    ------
    UserError
        When the file cannot be read.
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
    """Texts as an array of bytes in UTF-8, the inverse of `np.char.decode`."""
    return np.char.encode(np.array(texts, dtype=str), "utf-8") if texts else np.zeros(0, "S1")
