"""How far a running workflow is: on its terminal, and with `python -m weakneg watch` on any other.

A Snakemake that begins to run jobs leaves their list in its entry in `.snakemake/running` (see
`weakneg.workspace.lock`). The rest is read from files: a job is done when its outputs are newer
than that list, and runs while Snakemake marks these as incomplete. So local jobs and those of a
cluster look the same, and watching changes nothing. On a terminal, Snakemake starts a process that
watches it: whatever happens to that process, the workflow does not notice.
"""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weakneg.errors import UserError
from weakneg.report.formatting import number
from weakneg.stages import command
from weakneg.workspace import lock
from weakneg.workspace.times import Times, duration

_METADATA, _INCOMPLETE = Path(".snakemake/metadata"), Path(".snakemake/incomplete")
_OF_RUNS = ("train_run", "score_run")
_PAUSE, _AT_LEAST_EVERY = 1.0, 15.0  # seconds between looks
_LINE_SECONDS = 10  # between two lines about the same study
_SECONDS_TO_END = 2
_MOST_EARLIER = 5  # runs that were finished before one began to watch

_watchers: list[subprocess.Popen[bytes]] = []  # of this process


@dataclass
class Job:
    """A job of a running workflow.

    Attributes
    ----------
    study, rule, strategy, seconds
        As in `weakneg.workspace.times.Timed`; `strategy` is the name of the run.
    outputs : list of str
        Its outputs.
    log : str
        Its log, or "".
    to_do : bool
        Whether the workflow has yet to run it.
    failed : bool
        Whether it failed, and has not run again since.
    """

    study: str | None
    rule: str
    strategy: str | None
    outputs: list[str]
    log: str
    to_do: bool
    failed: bool = False
    seconds: float | None = None

    @property
    def run(self) -> str | None:
        """The folder of the run that it trains or scores, if it does."""
        return str(Path(self.outputs[0]).parent) if self.rule in _OF_RUNS else None


# ------------------------------------------------------------------- in the process of Snakemake
def announce(workflow: Any, results_of: Callable[[str], Any]) -> None:
    """Leave the list of jobs for whoever watches, and show on a terminal how far they are.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        The workflow, before it runs the first job.
    results_of : callable
        Name of a study -> its `weakneg.workspace.results.Results`.
    """
    with contextlib.suppress(Exception):  # nobody should lose a run for this
        entry = lock.entry()
        if not entry.exists():  # the working directory is read-only
            return
        entry.write_text(json.dumps(_plan(workflow.dag, results_of)), encoding="utf-8")
        quiet = {str(each).lower() for each in workflow.output_settings.quiet or ()}
        if sys.stderr.isatty() and not any(each.endswith("all") for each in quiet):
            _watchers.append(
                watcher := subprocess.Popen(
                    [sys.executable, "-m", __name__, str(entry)],
                    stdin=subprocess.PIPE,
                    stdout=sys.stderr,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
                    process_group=0,  # Ctrl-C is for the jobs
                )
            )
            atexit.register(_kill, watcher, os.getpid())


def end() -> None:
    """Let the process that watches say its last words, before Snakemake says its own."""
    while _watchers:
        watcher = _watchers.pop()
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            watcher.communicate(b"end", _SECONDS_TO_END)


def _kill(watcher: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner:  # not in a fork of it
        watcher.kill()


def _plan(dag: Any, results_of: Callable[[str], Any]) -> dict[str, Any]:
    """The jobs, and what is said about runs, as JSON has it."""
    jobs = [
        {
            "study": job.wildcards_dict.get("study"),
            "rule": job.rule.name,
            "strategy": job.wildcards_dict.get("run"),
            "outputs": [str(file) for file in job.output],
            "log": str(job.log[0]) if job.log else "",
            "to_do": bool(dag.needrun(job)),
        }
        for job in dag.jobs
        if not job.rule.norun and job.output
    ]
    studies = dict.fromkeys(job["study"] for job in jobs if job["study"])
    classes, baselines = {}, {}
    for name in studies:
        results = results_of(name)
        classes[name] = results.study.class_slugs
        baselines.update(_baselines(results))
    return {"jobs": jobs, "classes": classes, "baselines": baselines}


def _baselines(results: Any) -> dict[str, str]:
    """Folder of each run -> that of the baseline, at the same budget and share of positives."""
    study = results.study
    found: dict[str, str] = {}
    entry = study.strategy(study.baseline).entry
    for slug, name in study.class_slugs.items():
        runs = study.runs_of(name)
        folders = {each: f"{results.folder}/runs/{slug}/{run}" for each, run in runs.items()}
        for choice in study.strategies:
            same = (
                other.name
                for other in study.strategies
                if other.entry == entry
                and other.budget == choice.budget
                and other.hidden_positives == choice.hidden_positives
            )
            found.setdefault(folders[choice.name], folders[next(same, study.baseline)])
    return found


# ------------------------------------------------------------------- in the process that watches
class Running:
    """A running workflow, as its files show it.

    Parameters
    ----------
    entry : Path
        Its entry in `.snakemake/running`.
    studies : sequence of str
        The studies to speak of; all if empty.

    Attributes
    ----------
    jobs : list of Job
        Its jobs; empty until it is known which they are.
    """

    def __init__(self, entry: Path, studies: Sequence[str] = ()) -> None:
        self.jobs: list[Job] = []
        self._entry, self._studies = entry, studies
        self._classes: dict[str, dict[str, str]] = {}
        self._baselines: dict[str, str] = {}
        self._began = self._looked_at = 0.0
        self._changed: float | None = None
        self._going: set[str] = set()  # first outputs of the jobs that run
        self._is_over = False
        self._said: set[str] = set()

    @property
    def ends(self) -> bool:
        """Whether it has ended."""
        return not (self._entry.exists() and lock.may_run(self._entry.name, True))

    def look(self, final: bool = False) -> list[str]:
        """See what happened since the last look.

        Parameters
        ----------
        final : bool
            Whether this is the last look.

        Returns
        -------
        list of str
            A line for each run that was finished, each job that failed, and each new warning.
        """
        first = not self.jobs
        if first and not self._read():
            return []
        changed = _modified(_INCOMPLETE)
        soon = time.monotonic() - self._looked_at < _AT_LEAST_EVERY
        if changed == self._changed and soon and not final:
            return []
        self._changed, self._looked_at = changed, time.monotonic()
        marked = _marked(self._began)
        waiting = [job for job in self.jobs if job.to_do]
        finished, lines = [], []
        for job in waiting:
            going = _name(job.outputs[0]) in marked
            if not going and all(_newer(file, self._began) for file in job.outputs):
                job.to_do = job.failed = False
                finished.append(job)
            elif not going and not job.failed and self._has_run(job, first):
                job.failed = True
                lines.append(self._failure(job))
            elif going:
                job.failed = False
        self._going = {job.outputs[0] for job in waiting if _name(job.outputs[0]) in marked}
        self._is_over = final
        for job in self.jobs:
            if job.seconds is None and not job.to_do:
                job.seconds = _recorded(job.outputs[0])
        scored = [job for job in finished if job.rule == "score_run"]
        if first and len(scored) > _MOST_EARLIER:
            lines.append(f"{len(scored) - _MOST_EARLIER} other runs are done")
            scored = scored[-_MOST_EARLIER:]
        for job in finished:
            lines += self._warnings(job)
        return [*lines, *map(self._result, scored)]

    def progress(self) -> Iterator[tuple[str, str]]:
        """How far each study is, in words, and the time that is left: two parts of a line."""
        times = Times(self.jobs)
        for study in dict.fromkeys(job.study for job in self.jobs if self._is_shown(job)):
            jobs = [job for job in self.jobs if job.study == study]
            so_far = _so_far(study or "data", jobs, self._going, self._is_over)
            yield so_far, "" if self._is_over else self._left(jobs, times)

    def _is_shown(self, job: Job) -> bool:
        return job.study in self._studies if self._studies else True

    def _read(self) -> bool:
        """Read the list of jobs, if it is there; the clock is that of the file system."""
        try:
            plan = json.loads(self._entry.read_text(encoding="utf-8"))
            self._began = self._entry.stat().st_mtime
        except (OSError, json.JSONDecodeError):  # it plans the jobs, or writes the list
            return False
        self._classes, self._baselines = plan["classes"], plan["baselines"]
        self.jobs = [Job(**job) for job in plan["jobs"]]
        for job in self.jobs:
            job.seconds = _recorded(job.outputs[0])
        return True

    def _has_run(self, job: Job, first: bool) -> bool:
        """Whether a job that neither runs nor is done has run."""
        # One whose group failed before it began has no log.
        logged = bool(job.log) and _newer(job.log, self._began)
        return logged and (first or job.outputs[0] in self._going)

    def _left(self, jobs: Sequence[Job], times: Times) -> str:
        """The time that is left, ", about 12 min left", or "" if that is not known.

        The work that is left, by how long the same or similar jobs took, divided by the number of
        jobs that have run at a time so far.
        """
        now = time.time()
        since = {file: now - began for file in self._going if (began := _modified(_marker(file)))}
        work = 0.0
        for job in (job for job in jobs if job.to_do and not job.failed):
            expected = times.expected(job)
            if expected is None and job.rule == "train_run":
                return ""
            work += max((expected or 0.0) - since.get(job.outputs[0], 0.0), 0.0)
        if not work:
            return ""
        elapsed = max(now - self._began, 1.0)
        ran = [job for job in self.jobs if not job.to_do and _newer(job.outputs[0], self._began)]
        spent = sum(job.seconds or 0.0 for job in ran) + sum(since.values())
        return f", about {duration(work / max(spent / elapsed, 1.0))} left"

    def _result(self, job: Job) -> str:
        """A run that is done: "badge, Dog: AP .412, random .371"."""
        run = Path(job.run or "")
        text = f"{self._name(run)}: {_ap(run) or 'done'}"
        baseline = Path(self._baselines.get(str(run), run))
        pending = any(each.to_do and each.run == str(baseline) for each in self.jobs)
        if baseline != run and not pending and (ap := _ap(baseline)):
            text += f", {baseline.name} {ap.removeprefix('AP ')}"
        return text

    def _name(self, run: Path) -> str:
        study, slug = run.parts[-4], run.parent.name
        return f"{run.name}, {self._classes.get(study, {}).get(slug, slug)}"

    def _failure(self, job: Job) -> str:
        what = f"{job.rule} of {self._name(Path(job.run))}" if job.run else job.rule
        last = _lines(job.log)[-1:]
        return f"failed: {what}{f': {last[0]}' if last else ''}{f' ({job.log})' if job.log else ''}"

    def _warnings(self, job: Job) -> Iterator[str]:
        """The warnings in the log of a job, without those that others had."""
        for line in _lines(job.log):
            if line.startswith("warning:") and line not in self._said:
                self._said.add(line)
                yield line


def _so_far(study: str, jobs: Sequence[Job], going: set[str], is_over: bool) -> str:
    """How far a study is: "digits: 5 of 18 runs done, 2 in progress"."""
    left = [job for job in jobs if job.to_do]
    runs = {job.run for job in jobs if job.run}
    to_do = {job.run for job in left if job.run}
    now = {job.run for job in left if job.run and job.outputs[0] in going}
    if not left:
        text = "done"
    elif to_do:
        text = f"{len(runs) - len(to_do)} of {len(runs)} runs done"
        text += f", {len(now)} in progress" if now and not is_over else ""
    else:
        text = f"{f'{len(runs)} runs done, ' if runs else ''}{len(left)} of {len(jobs)} jobs left"
    failed = sum(job.failed for job in left)
    ended = "ended with " if is_over and left else ""
    return f"{study}: {ended}{text}{f', {failed} failed' if failed else ''}"


# ------------------------------------------------------------------------------------------- files
def _name(output: str) -> str:
    return urlsafe_b64encode(output.encode()).decode()


def _marker(output: str) -> Path:
    return _INCOMPLETE / _name(output)


def _marked(began: float) -> set[str]:
    """The encoded names of the outputs of running jobs, not of those that were killed earlier."""
    try:
        names = [each.name for each in os.scandir(_INCOMPLETE)]
    except OSError:
        return set()
    return {name for name in names if _newer(str(_INCOMPLETE / name), began)}


def _modified(path: str | Path) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:  # not there; or the name is so long that Snakemake splits it
        return None


def _newer(path: str, than: float) -> bool:
    modified = _modified(path)
    return modified is not None and modified >= than


def _recorded(output: str) -> float | None:
    """How long the job took that made an output, in seconds, as Snakemake recorded it."""
    try:
        record = json.loads((_METADATA / _name(output)).read_text(encoding="utf-8"))
        return float(record["endtime"] - record["starttime"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, not whole, not finished
        return None


def _lines(log: str) -> list[str]:
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace") if log else ""
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def _ap(run: Path) -> str:
    """The mean AP of a run over its seeds, "AP .412", or "" if it cannot be told."""
    try:
        from weakneg.analysis.metrics import run_metrics  # imports take a second

        return f"AP {number(run_metrics(run)['ap'].mean())}"
    except (UserError, OSError, ValueError, KeyError):
        return ""


# ------------------------------------------------------------------------------------------- words
@command
def watch(studies: list[str] | None = None, /) -> None:
    """Show how far a running workflow is, from another terminal, until it ends.

    Parameters
    ----------
    studies : list of str
        Names of the studies to show; by default all.

    Raises
    ------
    UserError
        When no workflow is running here, or none that makes the studies.
    """
    entries = sorted(lock.RUNNING.glob("* *"))
    running = [Running(entry, studies or []) for entry in entries if lock.may_run(entry.name, True)]
    if not running:
        raise UserError("no workflow is running here: start one with snakemake, in this folder.")
    with contextlib.suppress(KeyboardInterrupt):  # the way to stop watching
        _follow(running, _Screen(sys.stdout.isatty()), studies or [])


def _follow(running: list[Running], screen: "_Screen", studies: Sequence[str]) -> None:
    while running:
        ended = [each for each in running if each.ends]
        for each in running:
            screen.say(each.look(final=each in ended))
        known = {job.study for each in running for job in each.jobs}
        if known and (unknown := [name for name in studies if name not in known]):
            raise UserError(f"the running workflow does not make {', '.join(unknown)}.")
        screen.show([line for each in running for line in each.progress()], final=bool(ended))
        running = [each for each in running if each not in ended]
        if running:
            time.sleep(_PAUSE)


class _Screen:
    """Where lines are shown: the last ones are redrawn on a terminal, and repeated elsewhere."""

    def __init__(self, redraws: bool) -> None:
        self._redraws = redraws
        self._shown: list[str] = []  # at the bottom of the screen
        self._said: dict[str, tuple[float, str]] = {}  # study -> when, and what

    def say(self, lines: Iterable[str]) -> None:
        """Print lines that stay."""
        for line in lines:
            self._clear()
            print(line, flush=True)

    def show(self, progress: Sequence[tuple[str, str]], final: bool) -> None:
        """Print how far studies are, where they are further than before."""
        if self._redraws:
            lines = [f"{so_far}{left}" for so_far, left in progress]
            if lines != self._shown:
                self._clear()
                print(*lines, sep="\n", flush=True)
                self._shown = lines
            return
        now = time.monotonic()
        for so_far, left in progress:
            study = so_far.partition(":")[0]
            when, before = self._said.get(study, (0.0, ""))
            if so_far != before and (final or not when or now - when >= _LINE_SECONDS):
                print(f"{so_far}{left}", flush=True)
                self._said[study] = now, so_far

    def _clear(self) -> None:
        if self._shown:
            print(f"\x1b[{len(self._shown)}A\x1b[J", end="")
            self._shown = []


def _beside(entry: Path) -> None:
    """Watch the Snakemake that started this process, until it ends this process's input."""
    running, screen = Running(entry), _Screen(redraws=False)
    ended = False
    while not ended:
        ended = bool(select.select([sys.stdin], [], [], _PAUSE)[0])
        if ended and not sys.stdin.read():  # it was killed
            return
        screen.say(running.look(final=ended))
        screen.show(list(running.progress()), final=ended)


if __name__ == "__main__":
    _beside(Path(sys.argv[1]))
