"""A copy of a feature store on a local disk, shared by all jobs on that machine."""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable
from errno import EIO, ENOSPC, EXDEV
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import AfterValidator

from weakneg.errors import UserError

_HELD: list[TextIO] = []  # locks, open as long as the process lives: its copies are in use
_KEPT = 7 * 24 * 3600  # seconds that an unused copy is kept
_BLOCK = 1 << 22


def staged(store: Path) -> Path:
    """Copy a feature store to the folder that WEAKNEG_SCRATCH names, unless it is there already.

    Variables in the value of WEAKNEG_SCRATCH, as in /local/$USER, are expanded on the machine that
    reads the store.

    The first job on a machine makes the copy, with the shards that the store refers to, and the
    others wait for it. The copy appears when it is complete and its digest is that of what was
    read. A rebuilt store is copied again. Copies that no process uses are deleted when there is no
    room for another one, or after a week. If no copy can be made, the store is read where it is,
    and stderr says why.

    Parameters
    ----------
    store : Path
        The feature store.

    Returns
    -------
    Path
        The copy; the store itself if WEAKNEG_SCRATCH is not set or no copy can be made.

    Raises
    ------
    UserError
        When WEAKNEG_SCRATCH is not an absolute path.
    """
    root = os.path.expandvars(os.environ.get("WEAKNEG_SCRATCH", ""))
    if not root:
        return store
    if not os.path.isabs(root) or "$" in root:
        raise UserError(
            f"WEAKNEG_SCRATCH={os.environ['WEAKNEG_SCRATCH']} is {root} here: set it to an "
            "absolute path."
        )
    try:
        return _copy_of(store, Path(root) / f"weakneg-{os.getuid()}")
    except OSError as error:
        print(f"no copy in {root} ({error}): reading {store} where it is", file=sys.stderr)
        return store


def _copy_of(store: Path, folder: Path) -> Path:
    files = {name: (store.parent / name).stat() for name in _files(store)}
    state = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files.items()]
    key = hashlib.sha256(f"{store.resolve()}{state}".encode()).hexdigest()[:24]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = folder / key
    lock = open(folder / f"{key}.lock", "a")  # noqa: SIM115
    while True:
        fcntl.flock(lock, fcntl.LOCK_SH)
        if copy.is_dir():
            os.utime(lock.name)
            _HELD.append(lock)
            return copy / store.name
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.is_dir():
            _make_room(folder, sum(stat.st_size for stat in files.values()))
            _make(copy, store.parent, files)


def _files(store: Path) -> list[str]:
    """The files of a store, relative to its folder: itself and the shards that it refers to."""
    import h5py

    try:
        with h5py.File(store, locking=False) as file:
            sources = [
                source.file_name
                for values in file.values()
                if values.is_virtual
                for source in values.virtual_sources()
            ]
    except OSError:  # whoever reads the store reports what is wrong with it
        return [store.name]
    if any(os.path.isabs(name) or ".." in Path(name).parts for name in sources):
        raise OSError(EXDEV, f"{store} has shards outside its folder")
    return [store.name, *dict.fromkeys(sources)]


def _make_room(folder: Path, size: int) -> None:
    """Delete unused copies, oldest first, until those left are recent and there is room."""
    for lock in sorted(folder.glob("*.lock"), key=lambda lock: lock.stat().st_mtime):
        unused_for = time.time() - lock.stat().st_mtime
        if unused_for < _KEPT and shutil.disk_usage(folder).free > size:
            break
        with open(lock, "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    if shutil.disk_usage(folder).free <= size:
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def _make(copy: Path, source: Path, names: Iterable[str]) -> None:
    begun = time.perf_counter()
    partial = copy.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a job that was killed
    try:
        for name in names:
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with open(source / name, "rb") as file, open(target, "wb") as output:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    output.write(block)
            with open(target, "rb") as file:
                if hashlib.file_digest(file, "sha256").digest() != digest.digest():
                    raise OSError(EIO, f"{target} differs from what was written")
        os.replace(partial, copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"copied to {copy} in {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)


Staged = Annotated[Path, AfterValidator(staged)]
"""A feature store; the command line copies it to the scratch disk when it reads the option."""
