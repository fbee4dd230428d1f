"""Finished results taken as those of today's code: `python -m weakneg accept`."""

from collections import Counter
from typing import Any

from weakneg.stages import command
from weakneg.workspace.status import planned, why


@command
def accept(studies: list[str] | None = None, /, config: list[str] | None = None) -> None:
    """Record finished results as made by today's code and settings, without running anything.

    This is for a change that cannot change results, such as a new way to hash the code. What is
    missing, was interrupted, or is older than its input is left as it is and runs again. A seed
    that is added to an accepted run later trains all seeds of that run again.

    Parameters
    ----------
    studies : list of str
        Their names; by default those of config.yaml.
    config : list of str
        KEY=VALUE, as of snakemake.

    Raises
    ------
    UserError
        When Snakemake cannot plan what it is asked for.
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
        print(f"left to run: {name}: {reason or 'follows another'}")
    if not accepted and not left:
        print("Nothing to accept: the results are those of today's code.")


def _is_whole(dag: Any, job: Any) -> bool:
    """Whether all that a job makes is there, and none of its input has changed since."""
    reason = dag.reason(job)
    changed = set(reason.updated_input) - set(reason.updated_input_run)
    return not (reason.missing_output or reason.incomplete_output or changed)
