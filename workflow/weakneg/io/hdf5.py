"""HDF5 files: a full disk gives one clear error, and large data sets carry their hash.

HDF5 writes lazily, and a late failure only shows on stderr, or as a crash when the process ends. So
room is reserved before anything is written into it.

The hash of a large data set is written beside it while its rows are at hand. So the data set need
not be read to see whether it has changed.

No file is locked. Files are written under another name and renamed, so a lock would protect
nothing, and some network file systems have no locks.

HDF5 does not say when a source of a virtual data set cannot be opened, but gives its fill value,
also when the process has too many open files; and a source that is gone is looked for in the
working directory. So sources are opened here.
"""

import errno
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import h5py
import numpy as np

from weakneg.errors import UserError
from weakneg.io.files import NO_ROOM, replace_when_whole, unreadable

_MOST_OPEN = 200  # sources of a virtual data set; each takes half a megabyte
_SLACK_BYTES = 1 << 20  # for HDF5's own structures


def open_file(
    path: str | os.PathLike[str], if_damaged: str, cache_bytes: int | None = None
) -> h5py.File:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : path
        The file.
    if_damaged : str
        What the user should do about a damaged or missing file: the end of the error message.
    cache_bytes : int, optional
        Size of the cache of chunks of each of its data sets; HDF5's default is several megabytes.

    Returns
    -------
    h5py.File
        The open file, a context manager.

    Raises
    ------
    UserError
        When it cannot be read.
    """
    try:
        return h5py.File(path, "r", locking=False, rdcc_nbytes=cache_bytes)
    except OSError as error:
        raise unreadable(path, error, if_damaged) from error


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
    of_block = None
    try:
        with replace_when_whole(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                reserve(file, 0)
                try:
                    yield file
                except OSError as error:
                    of_block = error
                    raise
                file.flush()
                size = file.id.get_filesize()
            os.truncate(temporary, size)  # frees what was reserved and not used
    except OSError as error:
        if error is of_block and error.filename and error.errno not in NO_ROOM:
            raise  # about a file that was read; errors of HDF5 name none
        reason = os.strerror(error.errno) if error.errno else error
        advice = "make room and run again" if error.errno in NO_ROOM else "run again when it can be"
        raise UserError(f"{path} cannot be written ({reason}): {advice}.") from error


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


class SourceRows:
    """The rows of a virtual data set that joins whole data sets, read from these directly.

    Few of the files are open at a time. `close` closes them.

    Parameters
    ----------
    data : h5py.Dataset
        The virtual data set; its file must stay open.

    Attributes
    ----------
    file : h5py.File
        The file of the virtual data set.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its type.
    digest : str
        The hash, hexadecimal, of the hashes of its sources.

    Raises
    ------
    UserError
        When a source is missing, cannot be read or is not what was joined.
    """

    def __init__(self, data: h5py.Dataset) -> None:
        self.file, self.shape, self.dtype = data.file, data.shape, data.dtype
        folder = Path(data.file.filename).parent
        self._sources: list[tuple[Path, str]] = []
        ends = [0]
        for source in data.virtual_sources():
            self._sources.append((folder / source.file_name, source.dset_name))
            ends.append(source.vspace.get_select_bounds()[1][0] + 1)
        self._ends = np.array(ends)
        self._open: OrderedDict[int, h5py.Dataset] = OrderedDict()
        self._lock = Lock()
        digest = hashlib.sha256()
        for number in range(len(self._sources)):
            digest.update(self._source(number).attrs["digest"].encode())
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read rows, in memory indexed like an array."""
        key, *rest = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(len(self))[key]
        rows = np.empty((numbers.size, *self.shape[1:]), self.dtype)
        read_rows(self, np.atleast_1d(numbers), rows)
        return rows[(slice(None) if numbers.ndim else 0, *rest)]

    def read_direct(self, out: np.ndarray, rows: slice) -> None:
        """Read rows `rows.start` to `rows.stop` into `out`."""
        with self._lock:
            first = rows.start
            while first < rows.stop:
                number = int(np.searchsorted(self._ends, first, side="right")) - 1
                begin, end = self._ends[number], min(rows.stop, self._ends[number + 1])
                part = out[first - rows.start : end - rows.start]
                try:
                    self._source(number).read_direct(part, np.s_[first - begin : end - begin])
                except OSError as error:
                    path, _ = self._sources[number]
                    raise unreadable(path, error, self._if_damaged(path)) from error
                first = end

    def close(self) -> None:
        """Close all sources."""
        while self._open:
            self._open.popitem()[1].file.close()

    def _source(self, number: int) -> h5py.Dataset:
        """A source, which stays open until many others have been read."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].file.close()
        path, name = self._sources[number]
        file = open_file(path, self._if_damaged(path), cache_bytes=0)
        data = file.get(name)
        n_rows = self._ends[number + 1] - self._ends[number]
        if data is None or data.shape != (n_rows, *self.shape[1:]) or "digest" not in data.attrs:
            file.close()
            raise UserError(
                f"{path} is not what {self.file.filename} was made from: {self._if_damaged(path)}."
            )
        self._open[number] = data
        return data

    def _if_damaged(self, path: Path) -> str:
        store = Path(self.file.filename).name
        return (
            f"delete both {store} and what is left of {path.name}, so that the next run makes them "
            "again"
        )


Rows: TypeAlias = np.ndarray | h5py.Dataset | SourceRows
"""The rows of a large data set, in memory or in a file."""


def content_digest(data: h5py.Dataset | SourceRows) -> str:
    """Read the hash, hexadecimal, that `Digest` wrote beside a data set, or beside its sources."""
    return data.digest if isinstance(data, SourceRows) else str(data.attrs["digest"])


def read_rows(data: Rows, rows: np.ndarray, out: np.ndarray) -> None:
    """Read rows of a data set or array. Consecutive rows are read at once.

    Parameters
    ----------
    data : h5py.Dataset, SourceRows or ndarray, (N, ...)
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
        if isinstance(data, np.ndarray):
            out[first:end] = data[wanted]
            continue
        try:
            data.read_direct(out[first:end], wanted)
        except OSError as error:
            advice = "delete it, so that the next run makes it again"
            raise unreadable(data.file.filename, error, advice) from error


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Texts as an array of bytes in UTF-8, the inverse of `np.char.decode`."""
    return np.char.encode(np.array(texts, dtype=str), "utf-8") if texts else np.zeros(0, "S1")
