"""What `python -m weakneg watch` and a terminal say of a running workflow."""

import json
import os
import platform
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from types import SimpleNamespace

import pytest
from drawn import make_study

from weakneg.errors import UserError
from weakneg.workspace import lock, watch
from weakneg.workspace.watch import Running

RUNS = "results/toy/runs/dog"


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """A workflow that will train and score two runs and draw one table; nothing has begun."""
    monkeypatch.chdir(tmp_path)
    make_study(tmp_path / "made", ["Dog"], ["random", "badge"], n_seeds=2)
    for folder in (watch._METADATA, watch._INCOMPLETE, lock.RUNNING):
        folder.mkdir(parents=True)
    return Workflow(tmp_path)


class Workflow:
    """Files as Snakemake and the jobs leave them."""

    def __init__(self, folder):
        self.folder, self.seconds = folder, {}
        self.entry = lock.RUNNING / f"{os.getpid()} {platform.node()}"
        jobs = [
            job(rule, f"{RUNS}/{run}/{output}", run)
            for run in ("random", "badge")
            for rule, output in (("train_run", "run.json"), ("score_run", "scores.parquet"))
        ]
        jobs.append(job("write_tables", "results/toy/tables/table1.csv"))
        baselines = {f"{RUNS}/{run}": f"{RUNS}/random" for run in ("random", "badge")}
        plan = {"jobs": jobs, "classes": {"toy": {"dog": "Dog"}}, "baselines": baselines}
        self.entry.write_text(json.dumps(plan))

    def record(self, output: str, seconds: float) -> None:
        record = json.dumps({"starttime": 10.0, "endtime": 10.0 + seconds})
        (watch._METADATA / encoded(output)).write_text(record)

    def starts(self, output: str) -> None:
        (watch._INCOMPLETE / encoded(output)).touch()

    def ends(self, output: str) -> None:
        (watch._INCOMPLETE / encoded(output)).unlink()

    def finishes(self, run: str) -> None:
        """A run is trained and scored, in 50 and 2 seconds."""
        made = self.folder / "made" / "0" / {"random": "0", "badge": "1"}[run]
        target = self.folder / RUNS / run
        target.mkdir(parents=True, exist_ok=True)
        for file in made.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        self.record(f"{RUNS}/{run}/run.json", 50)
        self.record(f"{RUNS}/{run}/scores.parquet", 2)

    def says(self, output: str, text: str) -> None:
        """A job writes to its log."""
        path = self.folder / f"{output}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def job(rule, output, run=None):
    study = {"study": "toy", "strategy": run}
    return {**study, "rule": rule, "outputs": [output], "log": f"{output}.log", "to_do": True}


def encoded(output):
    return urlsafe_b64encode(output.encode()).decode()


def look(running):
    """What is new, without waiting for the next look."""
    running._looked_at = float("-inf")
    return running.look()


def said(running):
    return ["".join(parts) for parts in running.progress()]


def test_a_finished_run_has_a_line_with_its_AP_and_that_of_the_baseline(workflow):
    running = Running(workflow.entry)
    assert look(running) == []
    assert said(running) == ["toy: 0 of 2 runs done"]
    workflow.finishes("random")
    [line] = look(running)
    assert line.startswith("random, Dog: AP .")
    ap = line.split()[-1]
    workflow.finishes("badge")
    [line] = look(running)
    assert line.startswith("badge, Dog: AP .")
    assert line.endswith(f", random {ap}")
    assert said(running) == ["toy: 2 runs done, 1 of 5 jobs left"]
    assert look(running) == []


def test_what_was_made_before_the_workflow_began_is_not_done(workflow):
    workflow.finishes("random")
    workflow.starts(f"{RUNS}/badge/run.json")  # and was killed
    left = [*(workflow.folder / RUNS / "random").iterdir(), *watch._INCOMPLETE.iterdir()]
    for file in left:
        os.utime(file, (1, 1))
    running = Running(workflow.entry)
    assert look(running) == []
    assert said(running)[0].startswith("toy: 0 of 2 runs done, about ")


def test_the_time_left_comes_from_recorded_durations(workflow):
    workflow.record(f"{RUNS}/badge/run.json", 600)
    running = Running(workflow.entry)
    look(running)
    assert said(running) == ["toy: 0 of 2 runs done, about 20 min left"]  # two alike
    running = Running(workflow.entry)
    began = workflow.entry.stat().st_mtime - 100
    os.utime(workflow.entry, (began, began))
    for run in ("random", "badge"):  # both have been running for 100 s
        workflow.starts(marked := f"{RUNS}/{run}/run.json")
        os.utime(watch._INCOMPLETE / encoded(marked), (began, began))
    look(running)
    assert said(running) == ["toy: 0 of 2 runs done, 2 in progress, about 8 min left"]


def test_a_failed_job_is_said_with_the_last_line_of_its_log_until_it_runs_again(workflow):
    running, output = Running(workflow.entry), f"{RUNS}/badge/run.json"
    workflow.starts(output)
    workflow.starts(other := f"{RUNS}/badge/scores.parquet")  # of the same group
    assert look(running) == []
    workflow.ends(other)
    workflow.says(output, "epoch 1\nerror: no memory.\n")
    workflow.ends(output)
    [line] = look(running)
    assert line == f"failed: train_run of badge, Dog: error: no memory. ({output}.log)"
    assert said(running) == ["toy: 0 of 2 runs done, 1 failed"]
    assert look(running) == []
    assert look(Running(workflow.entry)) == [line]  # for who comes later, too
    workflow.starts(output)
    look(running)
    assert said(running) == ["toy: 0 of 2 runs done, 1 in progress"]


def test_a_warning_of_several_jobs_is_said_once(workflow):
    running = Running(workflow.entry)
    for run in ("random", "badge"):
        workflow.says(f"{RUNS}/{run}/run.json", "reading\nwarning: 3 clips are silent.\n")
        workflow.finishes(run)
    assert look(running).count("warning: 3 clips are silent.") == 1


def test_damaged_files_are_no_error(workflow):
    workflow.entry.write_text("{")
    running = Running(workflow.entry)
    assert look(running) == []
    assert said(running) == []
    workflow = Workflow(workflow.folder)
    workflow.finishes("random")
    (workflow.folder / RUNS / "random" / "scores.parquet").write_text("not a table")
    (watch._METADATA / encoded(f"{RUNS}/random/run.json")).write_text("[")
    assert look(running) == ["random, Dog: done"]


def test_watching_ends_with_the_workflow(workflow, capsys):
    process = subprocess.Popen([sys.executable, "-c", "input()", "snakemake"], stdin=-1)
    entry = workflow.entry.rename(lock.RUNNING / f"{process.pid} {platform.node()}")
    workflow.finishes("random")
    process.communicate(b"\n")
    with pytest.raises(UserError, match="no workflow is running here"):
        watch.watch()
    workflow.starts(f"{RUNS}/badge/run.json")  # and still marked as running, if it was killed
    watch._follow([Running(entry)], watch._Screen(redraws=False), [])
    [_, line] = capsys.readouterr().out.splitlines()
    assert line == "toy: ended with 1 of 2 runs done"
    with pytest.raises(UserError, match="does not make tyo"):
        watch._follow([Running(entry)], watch._Screen(redraws=False), ["tyo"])


def test_progress_is_redrawn_below_what_stays(capsys):
    screen = watch._Screen(redraws=True)
    screen.show([("toy: 0 of 2 runs done", ""), ("other: done", "")], final=False)
    screen.say(["random, Dog: AP .412"])
    screen.show([("toy: 1 of 2 runs done", ", about 3 s left")], final=False)
    out = capsys.readouterr().out
    assert out.split("\x1b[2A\x1b[J")[1] == (
        "random, Dog: AP .412\ntoy: 1 of 2 runs done, about 3 s left\n"
    )


def test_the_watcher_of_a_killed_snakemake_ends_at_once(workflow):
    command = [sys.executable, "-m", watch.__name__, str(workflow.entry)]
    watcher = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert watcher.stdout.readline() == "toy: 0 of 2 runs done\n"
    began = time.monotonic()
    assert watcher.communicate() == ("", None)
    assert time.monotonic() - began < 5
    assert watcher.returncode == 0


def test_nothing_is_started_or_raised_without_a_terminal_and_a_plan(workflow, monkeypatch):
    monkeypatch.setattr(watch.subprocess, "Popen", pytest.fail)
    output = SimpleNamespace(quiet=None)
    dag = SimpleNamespace(jobs=[], needrun=lambda _: True)
    watch.announce(SimpleNamespace(dag=dag, output_settings=output), lambda _: None)
    assert json.loads(workflow.entry.read_text())["jobs"] == []
    watch.announce(None, lambda _: None)
    watch.end()
