"""Finished results accepted as those of the current code: `python -m weakneg accept`."""

from collections import Counter
from typing import Any

from weakneg.stages import command
from weakneg.workspace.status import planned, why


@command
def accept(studies: list[str] | None = None, /, config: list[str] | None = None) -> None:
    """Record finished results as made by the current code and settings, without running anything.

    Use this after a change that cannot affect results, such as a new way to hash the code. Files
    that are missing, incomplete or older than their input are left alone, and their jobs run again.
    If a seed is later added to an accepted run, all its seeds are trained again.

    Parameters
    ----------
    studies : list of str
        Names of the studies; by default those of config.yaml.
    config : list of str
        KEY=VALUE, as for snakemake.

    Raises
    ------
    UserError
        When Snakemake cannot plan the jobs.
    """
    accepted: Counter[str] = Counter()
    left: dict[str, str] = {}
    with planned(studies or [], config or []) as (dag, jobs):
        for job in jobs:
            if not dag.needrun(job):
                continue
            name = job.rule.name
            if _is_whole(dag, job):
                dag.workflow.async_run(dag.workflow.persistence.finished(job))
                accepted[name] += 1
            else:
                left[f"{name} {dict(job.wildcards_dict)}"] = why(dag, job)
    for name, number in accepted.items():
        print(f"accepted: {name}{f' {number}' if number > 1 else ''}")
    for name, reason in left.items():
        print(f"left to run: {name}: {reason or 'follows another job'}")
    if not accepted and not left:
        print("Nothing to accept: the results are those of the current code.")


def _is_whole(dag: Any, job: Any) -> bool:
    """Whether all files of a job are there, and none of its input has changed since."""
    reason = dag.reason(job)
    changed = set(reason.updated_input) - set(reason.updated_input_run)
    return not (reason.missing_output or reason.incomplete_output or changed)
