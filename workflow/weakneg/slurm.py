"""What of a Slurm cluster would fail, or wait for ever, said before a job is submitted."""

import shutil
import subprocess
from collections.abc import Iterable

from weakneg.errors import UserError

_PROFILE = "slurm/profile.yaml"


def check_cluster(
    partitions: Iterable[str | None], gpu_partitions: Iterable[str | None], status_command: str
) -> None:
    """Check what `snakemake --profile slurm` is about to rely on.

    partitions, gpu_partitions: of all jobs, and of those that ask for a GPU; None is the default
    status_command: squeue or sacct, by which Snakemake will learn the state of jobs

    Raises UserError where Slurm's commands are missing or its controller does not answer, when a
    partition does not exist or has no GPUs, and for `sacct` where nothing is accounted: Snakemake
    would wait for the first job for ever.
    """
    missing = [name for name in ("sbatch", "squeue", "sinfo") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: no such command here; start `snakemake --profile slurm` on a "
            "login node of a Slurm cluster, or without a cluster `snakemake --cores all`."
        )
    gres: dict[str, set[str]] = {}
    default = None
    for line in _answer("sinfo", "--noheader", "--format=%P %G").splitlines():
        name, generic = line.split(maxsplit=1)
        if name.endswith("*"):
            name = default = name[:-1]
        gres.setdefault(name, set()).add(generic)
    for partition in {name or default for name in partitions} - {None}:
        # Slurm takes several, joined by commas, and uses the first that is free.
        for name in partition.split(","):
            if name not in gres:
                raise UserError(
                    f"{_PROFILE}: there is no partition {name!r} on this cluster; "
                    f"it has {', '.join(sorted(gres))}."
                )
    for partition in {name or default for name in gpu_partitions} - {None}:
        if not any("gpu" in generic for name in partition.split(",") for generic in gres[name]):
            raise UserError(
                f"{_PROFILE}: no node of partition {partition!r} has a GPU; name one that has as "
                "gpu_partition, or set gpus to 0 to train on CPUs."
            )
    if status_command == "sacct":
        _answer("sacct", "--allocations", "--noheader", "--starttime=now")


def _answer(*command: str) -> str:
    """What a command of Slurm prints. Raises UserError with its first line of complaint."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        complaint = "no such command here"
    except subprocess.TimeoutExpired:
        complaint = "no answer within a minute"
    else:
        if result.returncode == 0:
            return result.stdout
        complaint = (result.stderr.strip() or "it failed without a word").splitlines()[0]
    advice = (
        f"set slurm-status-command to squeue in {_PROFILE}"
        if command[0] == "sacct"
        else "is Slurm up?"
    )
    raise UserError(f"{command[0]}: {complaint}; {advice}.")
