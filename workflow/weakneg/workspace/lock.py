"""The lock that a killed Snakemake leaves behind, so that nobody has to type `snakemake --unlock`.

Snakemake notes in `.snakemake/locks` which files it works on. If it is killed, the notes stay, and
the next Snakemake refuses to start. So each Snakemake that starts leaves its name in
`.snakemake/running` before it locks anything, and removes it when it ends. When all those named
there were killed, nobody holds the locks.
"""

import atexit
import os
import platform
import shutil
from pathlib import Path

import psutil

from weakneg.errors import UserError
from weakneg.io.files import check_writable

RUNNING, LOCKS = Path(".snakemake/running"), Path(".snakemake/locks")


def enter() -> None:
    """Remove the locks of Snakemakes that were killed, and name this one until it ends.

    Other machines may share the folder, and whether a Snakemake there still runs cannot be seen
    from here: as long as one is named and there are locks, Snakemake decides. A folder that cannot
    be written to can only be read, which needs no lock.
    """
    try:
        check_writable([RUNNING])
    except UserError:
        return
    RUNNING.mkdir(parents=True, exist_ok=True)
    named = list(RUNNING.iterdir())
    locked = LOCKS.is_dir() and any(LOCKS.iterdir())
    if not any(may_run(other.name, locked) for other in named):
        if named:
            shutil.rmtree(LOCKS, ignore_errors=True)
        for other in named:
            other.unlink(missing_ok=True)
    entry().touch()
    atexit.register(_leave, entry(), os.getpid())


def entry() -> Path:
    """The file with the name of this process."""
    return RUNNING.absolute() / f"{os.getpid()} {platform.node()}"


def may_run(name: str, locked: bool) -> bool:
    """Whether a Snakemake may still run.

    Parameters
    ----------
    name : str
        Its name in `RUNNING`.
    locked : bool
        The answer for one on another machine.
    """
    pid, _, machine = name.partition(" ")
    if not pid.isdecimal():  # a file that something else left there
        return False
    if machine != platform.node():
        return locked
    try:
        os.kill(int(pid), 0)  # psutil alone misses other users' processes where /proc hides them
        command = " ".join(psutil.Process(int(pid)).cmdline())
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
    except (PermissionError, psutil.AccessDenied):
        return True
    # Another process may have the number by now. `weakneg status` runs Snakemake too.
    return "snakemake" in command or "weakneg" in command


def _leave(entry: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a fork of it
        entry.unlink(missing_ok=True)
