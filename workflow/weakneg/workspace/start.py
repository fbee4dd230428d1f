"""What is checked and said when the workflow starts, before any job runs."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from weakneg.audio.acquire.folder import find_folder
from weakneg.config.load import Config
from weakneg.datasets.local_copy import DATA_VARIABLE, check_named
from weakneg.errors import UserError
from weakneg.estimate.cost import cost_text
from weakneg.io.files import check_room
from weakneg.jobs.slurm import check_cluster, missing_python, refusals
from weakneg.workspace import lock
from weakneg.workspace.results import Results, is_made_here

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def checked(
    function: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **options: _Arguments.kwargs,
) -> _Result:
    """The function's result; a mistake in the configuration ends the workflow with its one line."""
    try:
        return function(*arguments, **options)
    except UserError as error:
        sys.exit(f"error: {error}")


def enter(config: Config) -> None:
    """What the process that schedules the jobs checks; a node of a cluster need not."""
    check_named(config.data)
    check_room(".snakemake")  # Snakemake itself would end with a traceback
    lock.enter()


def prefix(config: Config, workflow_folder: Path, gpus: object) -> str:
    """Shell commands before those of every job, with braces as Snakemake reads them.

    They say where jobs find the library (in a conda environment or on another machine too), the
    data and the device. None of it changes what they compute, so it is not a parameter of theirs.

    gpus : those of `--resources gpu=N` on this machine, of which each job takes one; on a cluster
        it is the cluster that deals them out
    """
    environment = {
        "PYTHONPATH": str(workflow_folder),
        "WEAKNEG_LOCAL_COPIES": json.dumps(config.data),
        "WEAKNEG_DEVICE": config.device,
        "WEAKNEG_GPUS": str(gpus or ""),
    }
    exports = (f"export {name}={shlex.quote(value)}; " for name, value in environment.items())
    return "".join(exports).replace("{", "{{").replace("}", "}}")


def check_cache(location: str | None, variable: str, is_main_process: bool) -> None:
    """Raise UserError where there is no folder for what is shared; warn where it is read-only."""
    if not location or not os.path.isdir(location):
        raise UserError(
            f"--cache: the environment variable {variable} must name a folder that exists, not"
            f" {location!r}."
        )
    if is_main_process and not os.access(location, os.W_OK):
        print(
            f"{location} is read-only: jobs whose results are not there will fail; run those"
            " without --cache.",
            file=sys.stderr,
        )


def may_be_shared(config: Config, dataset: str) -> bool:
    """Whether a download may be shared: a link to a local copy may not, nor what is made here."""
    has_copy = config.data.get(dataset) or os.environ.get(DATA_VARIABLE)
    return not has_copy and not is_made_here(dataset)


def say_cost(config: Config, study: str) -> None:
    """What a study of sound costs, if all of it is to be trained; of other studies, nothing."""
    try:
        cost = cost_text(config.study(study))
    except UserError:
        return
    print(f"{cost}. In hours: python -m weakneg estimate {config.said(study)}", file=sys.stderr)


def warn_of_sources(results: Results) -> None:
    """A dry run ends before `check_sources` says it."""
    try:
        check_sources([results])
    except UserError as error:
        print(f"warning: {error}", file=sys.stderr)


def check_sources(studies: Iterable[Results]) -> None:
    """Raise UserError for a folder that is not there and in which a study says its sound is."""
    for results in studies:
        if results.named_folder:
            find_folder(Path(results.named_folder))


def check_executor(
    jobs: Iterable[Mapping[str, Any]], submitted: Iterable[Mapping[str, Any]], status_command: str
) -> None:
    """Raise UserError where Slurm is not there as the profile says; warn of what it would refuse.

    jobs, submitted : resources of the jobs, and of them or of the groups that they are submitted in
    """
    jobs = list(jobs)
    with_gpu = [job for job in jobs if job.get("gpu") or "gpu" in job.get("gres", "")]
    check_cluster(
        {job.get("slurm_partition") for job in jobs},
        {job.get("slurm_partition") for job in with_gpu},
        {job.get("slurm_account") for job in jobs},
        status_command,
    )
    for line in refusals(submitted):
        print(f"warning: {line}", file=sys.stderr)


def failure(logs: Iterable[str]) -> str:
    """What to say when a job has failed, given the logs of Snakemake."""
    for log in logs:
        if python := missing_python(Path(log)):
            return (
                f"error: a node of the cluster has no {python}: install the environment in a folder"
                " that the nodes share, and start Snakemake from it."
            )
    return "A job failed: its log is shown above, and named in the line 'log:'."
