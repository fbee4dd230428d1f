"""What the workflow does before any job runs, and after the last."""

import atexit
import gc
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from weakneg.audio.acquire.folder import find_folder
from weakneg.config.classes import questions
from weakneg.config.load import Config
from weakneg.config.truth import SED_LIBRARY, needs_library
from weakneg.datasets.local_copy import DATA_VARIABLE, check_named
from weakneg.errors import UserError
from weakneg.estimate.cost import cost_text
from weakneg.io.files import check_room
from weakneg.jobs import warm
from weakneg.jobs.slurm import check_cluster, choose_status_query, missing_python, refusals
from weakneg.workspace import lock
from weakneg.workspace.fingerprint import SOURCES, digest_of_sources, keep
from weakneg.workspace.results import Results, is_made_here

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_STOPPED = "Terminating processes on user request"  # in Snakemake's log, after Ctrl-C


def checked(
    function: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **options: _Arguments.kwargs,
) -> _Result:
    """Call a function; a UserError ends the workflow with its message, without a traceback.

    Parameters
    ----------
    function : callable
        The function.
    *arguments, **options
        Its arguments.

    Returns
    -------
    object
        Its result.
    """
    try:
        return function(*arguments, **options)
    except UserError as error:
        sys.exit(f"error: {error}")


def enter(config: Config) -> None:
    """Check what only the process that schedules the jobs needs, not the nodes of a cluster."""
    check_named(config.data)
    check_room(".snakemake")  # on a full disk, Snakemake would end with a traceback
    lock.enter()
    atexit.register(keep)  # what a dry run has found, too
    # A plan of thousands of jobs is no garbage, but to look for some in it, again and again while
    # it grows and once more at the end, is a quarter of the time of a dry run.
    gc.disable()
    atexit.register(gc.freeze)


def collect_garbage_again() -> None:
    """Before the first job; the plan itself is still left out."""
    gc.freeze()
    gc.enable()


def leave() -> None:
    """After the last job: end at once, without the second for which Snakemake limits their rate."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


def prefix(config: Config, workflow_folder: Path, gpus: object) -> str:
    """Shell commands that run before those of every job, with Snakemake's braces escaped.

    They tell jobs where the library is (also in a conda environment or on another machine), how to
    see that it was not edited, which data and device to use, and where the server of
    `weakneg.jobs.warm` is. None of this affects what jobs compute, so it is not among their
    parameters.

    Parameters
    ----------
    config : Config
        The configuration.
    workflow_folder : Path
        Folder of the library.
    gpus : int or falsy
        Number of GPUs on this machine (`--resources gpu=N`), of which each job takes one; none on a
        cluster, which assigns them itself.

    Returns
    -------
    str
        Shell commands.
    """
    environment = {
        "PYTHONPATH": str(workflow_folder),
        SOURCES: digest_of_sources(),
        "WEAKNEG_LOCAL_COPIES": json.dumps(config.data),
        "WEAKNEG_DEVICE": config.device,
        "WEAKNEG_GPUS": str(gpus or ""),
        warm.VARIABLE: warm.address(),
    }
    exports = (f"export {name}={shlex.quote(value)}; " for name, value in environment.items())
    return "".join(exports).replace("{", "{{").replace("}", "}}")


def check_cache(location: str | None, variable: str, is_main_process: bool) -> None:
    """Raise UserError if the folder of the shared cache does not exist; warn if it is read-only.

    Parameters
    ----------
    location : str or None
        The folder.
    variable : str
        The environment variable that names it.
    is_main_process : bool
        Whether to warn.
    """
    if not location or not os.path.isdir(location):
        raise UserError(
            f"--cache: the environment variable {variable} must name a folder that exists, not"
            f" {location!r}."
        )
    if is_main_process and not os.access(location, os.W_OK):
        print(
            f"warning: {location} is read-only, so jobs whose results it lacks will fail: run these"
            " without --cache.",
            file=sys.stderr,
        )


def may_be_shared(config: Config, dataset: str) -> bool:
    """Whether a data set may be shared: not if it is a link to a local copy or generated here."""
    has_copy = config.data.get(dataset) or os.environ.get(DATA_VARIABLE)
    return not has_copy and not is_made_here(dataset)


def say_cost(config: Config, study: str) -> None:
    """Print what it costs to train all of an audio study; nothing for other studies."""
    try:
        cost = cost_text(config.study(study))
    except UserError:
        return
    print(f"{cost}. In hours: python -m weakneg estimate {config.said(study)}", file=sys.stderr)


def ask_about_classes(results: Results) -> None:
    """Print questions about names of classes in a user's list that may be mistakes."""
    for question in questions(results.study.dataset):
        print(question, file=sys.stderr)


def warn_of_sources(results: Results) -> None:
    """Print the error of `check_sources` as a warning, since a dry run ends before that check."""
    try:
        check_sources([results])
    except UserError as error:
        print(f"warning: {error}", file=sys.stderr)


def check_sources(studies: Iterable[Results]) -> None:
    """Raise UserError if a folder of audio that a study names does not exist."""
    for results in studies:
        if results.named_folder:
            find_folder(Path(results.named_folder))


def check_packages(rules: Container[str]) -> None:
    """Raise UserError if an optional package is missing that one of these rules needs."""
    if "measure_event_detection" in rules and find_spec(SED_LIBRARY) is None:
        raise UserError(needs_library("it is not installed"))


def check_executor(
    jobs: Iterable[Mapping[str, Any]], submitted: Iterable[Mapping[str, Any]], settings: Any
) -> None:
    """Check that Slurm has what the profile names and tells when jobs end; warn of refused jobs.

    Parameters
    ----------
    jobs : iterable of mapping
        Resources of the jobs.
    submitted : iterable of mapping
        Resources of what is submitted: the jobs, or groups of them.
    settings : object
        Settings of the executor, see `choose_status_query`.

    Raises
    ------
    UserError
        When a command, partition or account is missing, or Snakemake would wait for ever.
    """
    jobs = list(jobs)
    with_gpu = [job for job in jobs if job.get("gpu") or "gpu" in job.get("gres", "")]
    check_cluster(
        {job.get("slurm_partition") for job in jobs},
        {job.get("slurm_partition") for job in with_gpu},
        {job.get("slurm_account") for job in jobs},
    )
    choose_status_query(settings)
    for line in refusals(submitted):
        print(f"warning: {line}", file=sys.stderr)


def failure(logs: Iterable[str]) -> str:
    """The message after a workflow that did not finish, from the logs of Snakemake."""
    for log in map(Path, logs):
        if _STOPPED in log.read_text(encoding="utf-8", errors="replace"):
            return "Stopped. The same command continues where it stopped."
        if python := missing_python(log):
            return (
                f"error: a node of the cluster has no {python}: install the environment in a folder"
                " that the nodes share, and start Snakemake from it."
            )
    return "A job failed: its log is shown above, and its path is in the line 'log:'."
