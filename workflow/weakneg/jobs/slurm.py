"""Checks of a Slurm cluster: what would fail or wait for ever, reported before any job starts."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from getpass import getuser
from pathlib import Path
from typing import Any

from weakneg.errors import UserError

_PROFILE = "slurm/profile.yaml"
_ADVICE = {
    "sacct": "so Snakemake would wait for ever: ask for a longer MinJobAge, or use one allocation "
    "(sbatch slurm/allocation.sh)",
    "sbatch": f"change {_PROFILE}, or what the rules request by --set-resources",
    "sshare": f"if Slurm keeps no accounts, set account to null in {_PROFILE}",
}
_REMEMBERED_LONG_ENOUGH = 240
_FOR_EVER = 1 << 30
"""Seconds; up to three minutes, and a query, pass between two looks at the state of jobs."""
_NOT_FOUND = re.compile(r"(?<![\w/.-])(\S*/python[\d.]*): (?:No such file|not found|Permission)")


def check_cluster(
    partitions: Iterable[str | None],
    gpu_partitions: Iterable[str | None],
    accounts: Iterable[str | None],
) -> None:
    """Check what `snakemake --profile slurm` is about to rely on.

    Parameters
    ----------
    partitions, gpu_partitions : iterable of str or None
        Partitions of all jobs, and of those that request a GPU; None is the cluster's default.
    accounts : iterable of str or None
        Accounts that jobs charge; None leaves the choice to Slurm.

    Raises
    ------
    UserError
        When Slurm's commands are missing or its controller does not answer, when a partition does
        not exist or has no GPUs, and when an account is not one of the user's.
    """
    # Snakemake calls sacct to find the account of earlier jobs.
    commands = ("sbatch", "squeue", "sinfo", "scontrol", "sacct")
    missing = [name for name in commands if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: no such command here; start `snakemake --profile slurm` on a "
            "login node of a Slurm cluster, or without a cluster `snakemake --cores all`."
        )
    gres: dict[str, set[str]] = {}
    default: str | None = None
    for line in _answer("sinfo", "--noheader", "--format=%P %G").splitlines():
        name, generic = line.split(maxsplit=1)
        if name.endswith("*"):
            name = default = name[:-1]
        gres.setdefault(name, set()).add(generic)
    for partition in filter(None, {name or default for name in partitions}):
        # Slurm takes several, joined by commas, and uses the first that is free.
        for name in partition.split(","):
            if name not in gres:
                raise UserError(
                    f"{_PROFILE}: there is no partition {name!r} on this cluster; "
                    f"it has {', '.join(sorted(gres))}."
                )
    for partition in filter(None, {name or default for name in gpu_partitions}):
        if not any("gpu" in generic for name in partition.split(",") for generic in gres[name]):
            raise UserError(
                f"{_PROFILE}: no node of partition {partition!r} has a GPU; name one that has as "
                "gpu_partition, or set gpus to 0 to train on CPUs."
            )
    for account in set(accounts) - {None}:
        known = _accounts()
        # Snakemake takes several, joined by commas, and ignores case.
        if known and not {name.lower() for name in str(account).split(",")} <= known:
            raise UserError(
                f"{_PROFILE}: {account!r} is not among your accounts on this cluster, which are "
                f"{', '.join(sorted(known))}."
            )


def choose_status_query(settings: Any) -> None:
    """Choose how Snakemake asks for the state of jobs, so that it sees the end of each.

    That is `squeue` where Slurm remembers jobs that have ended for long enough, whatever the
    settings say, since the executor takes what `sacct` says of a cancelled job, "CANCELLED by
    <uid>", for the state of a running one.

    Before each query, the executor (2.8.0) asks for MinJobAge again. It uses `sacct` if that is
    less than three times the seconds before the first query, or if Slurm's controller does not
    answer within 10 s; without accounting, it then never asks for these jobs again. So it gets the
    answer from here.

    Parameters
    ----------
    settings : object
        Settings of Snakemake's executor; `status_command` and `init_seconds_before_status_checks`
        may change.

    Raises
    ------
    UserError
        When neither command would tell Snakemake that a job has ended, and for job arrays.
    """
    import snakemake_executor_plugin_slurm

    if settings.array_jobs:
        raise UserError(
            "--slurm-array-jobs: leave it out. All jobs of an array would get the memory and the "
            "time of the first, also when they are repeated with more, and sacct would give the "
            "state of the last to all."
        )
    remembered = _seconds_remembered()
    if remembered >= _REMEMBERED_LONG_ENOUGH:
        settings.status_command = "squeue"
        settings.init_seconds_before_status_checks = min(
            settings.init_seconds_before_status_checks, remembered // 3
        )
        vars(snakemake_executor_plugin_slurm)["get_min_job_age"] = lambda: remembered
        return
    forgets = (
        f"squeue may miss the end of a job on this cluster, whose MinJobAge is {remembered} s "
        f"(scontrol show config), not {_REMEMBERED_LONG_ENOUGH} s or more"
    )
    try:
        _answer("sacct", "--allocations", "--noheader", "--starttime=now")
    except UserError as error:
        raise UserError(f"{forgets}; {error}") from error
    settings.status_command = "sacct"
    print(
        f"warning: {forgets}: using sacct. Snakemake then waits for ever for a job that is "
        "cancelled: after scancel, press Ctrl-C and start Snakemake again.",
        file=sys.stderr,
    )


def refusals(requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ask sbatch, without submitting anything, which jobs it would refuse.

    Snakemake does not say why sbatch refused a group of jobs.

    Parameters
    ----------
    requests : iterable of mappings
        Resources of jobs, as the rules and the profile request them.

    Returns
    -------
    list of str
        A line for each distinct request that would be refused, with sbatch's reason.
    """
    refused = []
    for flags in sorted({_flags(resources) for resources in requests}):
        try:
            _answer("sbatch", "--test-only", *flags, "--wrap=true")
        except UserError as error:
            refused.append(f"{' '.join(['sbatch', *flags])}: {error}")
    return refused


def missing_python(log: Path) -> str | None:
    """Find the Python that a node of the cluster lacks, from the logs of jobs.

    Parameters
    ----------
    log : Path
        Snakemake's log, which names the logs of its jobs.

    Returns
    -------
    str or None
        Path of the missing Python; None if no job reports one.
    """
    for job in re.findall(
        r"submitted with SLURM jobid .*\(log: (.+)\)", log.read_text(errors="replace")
    ):
        # The logs of successful jobs are deleted.
        if Path(job).exists() and (
            found := _NOT_FOUND.search(Path(job).read_text(errors="replace"))
        ):
            return found[1]
    return None


def _flags(resources: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags of sbatch that Snakemake's executor derives from the resources."""
    gpus, model = resources.get("gpu"), resources.get("gpu_model")
    asked = {
        "partition": resources.get("slurm_partition"),
        "account": str(resources.get("slurm_account") or "").split(",")[0],
        "mem": resources.get("mem_mb"),
        "time": resources.get("runtime"),
        "gpus": f"{model}:{gpus}" if model and gpus else gpus,
        "gres": resources.get("gres"),
    }
    return tuple(f"--{name}={value}" for name, value in asked.items() if value)


def _seconds_remembered() -> int:
    """Seconds for which Slurm remembers a job that has ended; 0 if it does not say."""
    configuration = _answer("scontrol", "show", "config")
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", configuration, re.MULTILINE)
    if not found:
        return 0
    return int(found[1]) or _FOR_EVER  # MinJobAge=0: no job is ever forgotten


def _accounts() -> set[str]:
    """The user's accounts, in lower case. Raises UserError when Slurm does not tell them."""
    try:
        listed = _answer("sacctmgr", "-n", "-s", "list", "user", getuser(), "format=account%256")
    except UserError:  # on some sites only administrators may use sacctmgr
        listed = _answer("sshare", "-U", "--format=Account%256", "--noheader")
    return {name.lower() for name in listed.split()}


def _answer(*command: str) -> str:
    """The output of a Slurm command. Raises UserError with the first line of its error."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        complaint = "no such command here"
    except subprocess.TimeoutExpired:
        complaint = "no answer within a minute"
    else:
        if result.returncode == 0:
            return result.stdout
        complaint = (result.stderr.strip() or "it failed without a message").splitlines()[0]
    raise UserError(f"{command[0]}: {complaint}; {_ADVICE.get(command[0], 'is Slurm up?')}.")
