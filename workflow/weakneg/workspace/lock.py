"""The lock that a killed Snakemake leaves behind, so that nobody has to type `snakemake --unlock`.

Snakemake notes in `.snakemake/locks` which files it works on. One that is killed leaves the note,
and the next refuses to start. Here each Snakemake that starts leaves its name in
`.snakemake/running` before it locks anything, and takes it away when it ends. When all that are
named there were killed, the locks are nobody's.
"""

import atexit
import os
import platform
import shutil
from pathlib import Path

from weakneg.errors import UserError
from weakneg.io.files import check_writable

RUNNING, LOCKS = Path(".snakemake/running"), Path(".snakemake/locks")


def enter() -> None:
    """Remove the locks of Snakemakes that were killed, and name this one until it ends.

    Of those of other machines, with which the folder may be shared, nothing is known here: as long
    as one is named and there are locks, they are Snakemake's to refuse. A folder that cannot be
    written to can only be looked at, which needs no lock.
    """
    try:
        check_writable([RUNNING])
    except UserError:
        return
    RUNNING.mkdir(parents=True, exist_ok=True)
    named = list(RUNNING.iterdir())
    locked = LOCKS.is_dir() and any(LOCKS.iterdir())
    if not any(_may_run(entry.name, locked) for entry in named):
        if named:
            shutil.rmtree(LOCKS, ignore_errors=True)
        for entry in named:
            entry.unlink(missing_ok=True)
    entry = RUNNING.absolute() / f"{os.getpid()} {platform.node()}"
    entry.touch()
    atexit.register(_leave, entry, os.getpid())


def _may_run(name: str, locked: bool) -> bool:
    pid, machine = name.split(" ", 1)
    if machine != platform.node():
        return locked
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # Another process may have the number by now. `weakneg status` runs Snakemake too.
    command = Path(f"/proc/{pid}/cmdline")
    said = command.read_bytes() if command.exists() else b"snakemake"
    return b"snakemake" in said or b"weakneg" in said


def _leave(entry: Path, pid: int) -> None:
    if os.getpid() == pid:  # and no copy of the process
        entry.unlink(missing_ok=True)
