"""What is done in each study, what would run, and why: `python -m weakneg status`.

The plan comes from a dry run of Snakemake itself, so it agrees with `snakemake -n`; here it is put
into words.
"""

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from weakneg.errors import UserError
from weakneg.plugins import is_own
from weakneg.stages import command, entry
from weakneg.workspace.fingerprint import explain
from weakneg.workspace.provenance import read_code
from weakneg.workspace.times import Times

_HASH = re.compile("[0-9a-f]{16}")
_MOST_NAMED = 3  # names in a line, before "and 2 more"


class Job(NamedTuple):
    """A job of the workflow, as planned in a dry run.

    Attributes
    ----------
    study : str or None
        Its study; None if several studies use its output.
    rule : str
        Its rule.
    strategy : str or None
        Its strategy; None if it does not belong to a single one.
    why : str or None
        Why it would run; "" if only because other jobs run; None if it is done.
    seconds : float or None
        How long it took when it last ran, in seconds; None if it never ran.
    run : Path or None
        Folder of the run that it trains; None if it trains none.
    """

    study: str | None
    rule: str
    strategy: str | None
    why: str | None
    seconds: float | None
    run: Path | None


@command
def status(
    studies: list[str] | None = None,
    /,
    config: list[str] | None = None,
) -> None:
    """Print what is done in each study, what would run and why, and how long that would take.

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
    print(status_text(studies or [], config or []))


def status_text(studies: Sequence[str], settings: Sequence[str]) -> str:
    """The text that `status` prints.

    Parameters
    ----------
    studies, settings : sequence of str
        As `studies` and `config` of `status`; no studies are those of config.yaml.
    """
    jobs = _plan(studies, settings)
    groups: dict[str, list[Job]] = {}
    shared = [job for job in jobs if job.study is None]
    if any(job.why is not None for job in shared):
        groups["data"] = shared
    for study in sorted({job.study for job in jobs if job.study is not None}):
        groups[study] = [job for job in jobs if job.study == study]
    time = Times(jobs)
    return "\n\n".join("\n".join(_study_lines(name, groups[name], time)) for name in groups)


def _study_lines(name: str, jobs: Sequence[Job], time: Times) -> Iterator[str]:
    waiting = [job for job in jobs if job.why is not None]
    if waiting:
        yield f"{name}: {len(waiting)} of {_count(len(jobs), 'job')} would run{time.of(waiting)}"
    else:
        yield f"{name}: done"
    reasons: dict[str | None, list[Job]] = defaultdict(list)
    for job in waiting:
        reasons[job.why].append(job)
    followers = reasons.pop("", [])
    for why, group in reasons.items():
        yield f"  {_names(group)}: {why}{time.of(group)}"
    if followers:
        yield f"  what follows{time.of(followers)}: {_names(followers)}"
    yield from _made_with(job.run for job in jobs if job.run and job.why is None)


def _names(jobs: Iterable[Job]) -> str:
    """The jobs by rule: "train_run 4 (badge, margin), figures 7"."""
    rules = Counter(job.rule for job in jobs)
    figures = [rule for rule in rules if rule.startswith("draw_") and rule != "draw_bags"]
    if len(figures) > _MOST_NAMED:
        rules["figures"] = sum(rules.pop(rule) for rule in figures)
    strategies: dict[str, dict[str, None]] = defaultdict(dict)
    for job in jobs:
        if job.strategy:
            strategies[job.rule][job.strategy] = None
    words = []
    for rule, number in rules.items():
        of = strategies[rule]
        which = f" ({', '.join(of)})" if 0 < len(of) <= _MOST_NAMED else ""
        words.append(f"{rule}{f' {number}' if number > 1 else ''}{which}")
    return ", ".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ----------------------------------------------------------------------------- asking Snakemake
def _plan(studies: Sequence[str], settings: Sequence[str]) -> list[Job]:
    """All jobs that make the studies, in the order of the workflow."""
    with planned(studies, settings) as (dag, jobs):
        return [_job(dag, job) for job in jobs]


@contextmanager
def planned(studies: Sequence[str], settings: Sequence[str]) -> Iterator[tuple[Any, list[Any]]]:
    """Plan the studies in a dry run of Snakemake.

    Parameters
    ----------
    studies, settings : sequence of str
        As `studies` and `config` of `status`; no studies are those of config.yaml.

    Yields
    ------
    dag
        Snakemake's graph of jobs.
    jobs : list
        Its jobs in the order of the workflow, without the targets.

    Raises
    ------
    UserError
        When Snakemake cannot plan the jobs.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_config
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
    )

    if not Path("Snakefile").exists():
        raise UserError("there is no Snakefile here: run this where you run snakemake.")
    try:
        config = parse_config(settings)
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(
                ResourceSettings(),
                config_settings=ConfigSettings(config=config),
                snakefile=Path("Snakefile"),
            )
            # The public interface gives access to neither rules nor jobs, hence `_workflow`.
            # `force_incomplete` is set in profiles/default: interrupted jobs run again.
            for study in studies:
                if not workflow._workflow.is_rule(study):
                    raise UserError(f"there is no study {study}: see workflow/studies.")
            dag = workflow.dag(DAGSettings(targets=set(studies), force_incomplete=True))
            dag.execute_workflow(executor="dryrun")
            graph = workflow._workflow.dag
            levels = [sorted(level, key=str) for level in graph.toposorted()]
            yield graph, [job for level in levels for job in level if not job.rule.norun]
    except (WorkflowError, RuleException, ValueError) as error:
        raise UserError(" ".join(str(error).split())) from error


def _job(dag: Any, job: Any) -> Job:
    wildcards = job.wildcards_dict
    study = wildcards.get("study")
    record = dag.workflow.persistence.metadata(job.output[0])
    ran = record and record.endtime and record.starttime
    run = Path(job.output[0]).parent if job.rule.name == "train_run" else None
    return Job(
        study=study,
        rule=job.rule.name,
        strategy=wildcards.get("run"),
        why=why(dag, job) if dag.needrun(job) else None,
        seconds=record.endtime - record.starttime if ran else None,
        run=run,
    )


def why(dag: Any, job: Any) -> str:
    """Why a job would run.

    Parameters
    ----------
    dag, job
        As yielded by `planned`.

    Returns
    -------
    str
        The reasons in words; "" if it only runs because other jobs do.
    """
    reason, records = dag.reason(job), dag.workflow.persistence
    words = []
    if missing := reason.missing_output:
        # Deleted, or from a job that failed: the records do not distinguish these.
        gone = [file for file in missing if records.metadata(file)]
        words.append(f"{_some(gone)} missing" if gone else "not made yet")
    if reason.incomplete_output:
        words.append("interrupted")
    if changed := reason.updated_input - reason.updated_input_run:
        words.append(f"{_some(changed)} changed")
    if reason.code_changed:
        words.append("its command in workflow/rules changed")
    if reason.params_changed:
        words += _params_words(reason.params_changed)
    elif reason.input_changed:
        words.append("different input files")
    if reason.forced:
        words.append("forced")
    return "; ".join(dict.fromkeys(words))


def _some(names: Iterable[str]) -> str:
    names = sorted(map(str, names))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


# ----------------------------------------------------------------------------- what changed
def _params_words(change: Any) -> Iterator[str]:
    """What changed in the parameters of a job.

    Snakemake records parameters as sets of Python literals: the code is a list of fingerprint,
    stage and plugins, and settings are JSON.
    """
    before, now = ([_read(text) for text in texts] for texts in (change.only_old, change.only_new))
    for code in filter(_is_code, now):
        earlier = [other for other in before if _is_code(other)]
        yield from _code_words(earlier[0] if earlier else [""], code)
    old, new = ([each for each in params if not _is_code(each)] for params in (before, now))
    if len(old) == len(new) == 1:
        yield _some(_differences(old[0], new[0], ""))
    elif old or new:
        yield "different parameters"


def _read(text: str) -> Any:
    value = ast.literal_eval(text)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value


def _is_code(param: Any) -> bool:
    return isinstance(param, list) and len(param) > 1 and bool(_HASH.fullmatch(str(param[0])))


def _code_words(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """Which definitions changed between two fingerprints of a stage."""
    old, new = read_code(before[0])["parts"], explain(entry(now[1]), now[2:])
    if not old:
        yield "the code changed"
        return
    words = []
    kept = _places(old) & _places(new)  # what only moved
    for part in sorted(old.keys() | new.keys()):
        module, _, name = part.partition(":")
        if old.get(part) != new.get(part) and (name, old.get(part, new.get(part))) not in kept:
            if not name:  # a package and its pinned version
                words.append(f"{old.get(part, 'nothing')} -> {new.get(part, 'nothing')}")
                continue
            inside = f"{module.removeprefix('weakneg.').replace('.', '/')}.py"
            file = module if is_own(module) else inside
            words.append(file if name == "<module>" else f"{file}:{name}")
    # A definition that was added or removed comes with a change in one that uses it.
    changed = [f"{word} changed" if "->" not in word else word for word in words]
    yield _some(changed)


def _places(parts: Mapping[str, str]) -> set[tuple[str, str]]:
    """Definitions by name and hash, whatever their module."""
    return {(part.partition(":")[2], digest) for part, digest in parts.items()}


def _differences(old: Any, new: Any, key: str) -> Iterator[str]:
    """The differences between two values from JSON, such as "training.epochs 25 -> 26"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            if old.get(name) != new.get(name):
                inner = f"{key}.{name}" if key else name
                yield from _differences(old.get(name), new.get(name), inner)
    elif isinstance(old, list) and isinstance(new, list):
        gone = [each for each in old if each not in new]
        more = [each for each in new if each not in old]
        words = [f"without {_some(gone)}"] * bool(gone) + [f"with {_some(more)}"] * bool(more)
        yield f"{key} {' and '.join(words) or 'in another order'}".strip()
    else:
        yield f"{key} {old} -> {new}".strip()


# ----------------------------------------------------------------------------- machines
def _made_with(runs: Iterable[Path]) -> Iterator[str]:
    """With what the finished runs were trained, the most common first."""
    made: Counter[tuple[str, str, str]] = Counter()
    for run in runs:
        try:
            record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            continue
        commit = read_code(record["fingerprint"])["commit"]
        at_commit = f", commit {commit}" if commit else ""
        for torch, device in {(e["torch"], e["device"]) for e in record["made_with"].values()}:
            made[torch, device, at_commit] += 1
    for (torch, device, at_commit), number in made.most_common():
        yield f"  {_count(number, 'run')} trained with torch {torch} on {device}{at_commit}"
