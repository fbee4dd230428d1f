"""`snakemake --profile slurm`: on a real Slurm of one machine and two GPUs that are not real.

One run of a small study goes through all that a cluster does to jobs; what it leaves is compared
with a local run.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import slurm_cluster
from workspace import Workspace

from weakneg.errors import UserError
from weakneg.slurm import check_cluster

STUDY = """\
title: Small
extends: digits
classes: ["0"]
strategies: [random, full, badge, margin]
seeds: 4
training: {epochs: 8}
"""
METRICS = "results/small/metrics.csv"
OF_A_RUN = ["model.pt", "history.parquet", "selection.h5", "run.json", "scores.parquet"]
# The tests' jobs are short: ask for their state early.
THROUGH_SLURM = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2"]

# What the rules call `python`: it writes down the trainings, refuses one, and notices when two have
# the same GPU (the lock ends with the process).
PYTHON = """\
#!/bin/sh
case "$*" in *" train --study "*) ;; *) exec {python} "$@" ;; esac
strategy=${{*#*--strategy }} strategy=${{strategy%% *}}
cd {notes}
if [ "$strategy" = full ] && [ -e refused ]; then
    echo "error: this training is refused" >&2
    exit 1
fi
exec 9> "gpu_$CUDA_VISIBLE_DEVICES"
flock -n 9 || echo "$strategy" >> shared
echo "$strategy $CUDA_VISIBLE_DEVICES $SLURM_JOB_ID $$" >> trainings
cd - > /dev/null
exec {python} "$@"
"""


def small_study(folder: Path) -> Workspace:
    workspace = Workspace(folder)
    (folder / "small.yaml").write_text(STUDY)
    return workspace


def arguments(*more: str) -> list[str]:
    return ["--config", "studies=small.yaml", *more]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := slurm_cluster.missing():
        pytest.skip(reason)
    cluster = slurm_cluster.Cluster(tmp_path_factory.mktemp("cluster"), gpus=2)
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def local(cluster, tmp_path_factory) -> Path:
    """The study's folder of results after a local run."""
    workspace = small_study(tmp_path_factory.mktemp("local"))
    workspace.run(*arguments("--", METRICS))
    return workspace.folder / "results/small"


class Trouble(threading.Thread):
    """What happens to the jobs of some strategies, once each, after their first seed is trained."""

    def __init__(self, cluster, runs: Path, notes: Path):
        super().__init__(daemon=True)
        self.cluster, self.runs, self.notes = cluster, runs, notes
        self.waiting = {"random", "badge", "margin"}
        self.over = threading.Event()

    def run(self) -> None:
        while self.waiting and not self.over.wait(0.05):
            for strategy, _, job, pid in trainings(self.notes):
                if strategy in self.waiting and (self.runs / strategy / "seeds/0.pt").exists():
                    self.waiting.remove(strategy)
                    if strategy == "random":  # as when a node fails, or the job is preempted
                        self.cluster.ask("scontrol", "requeue", job)
                    elif strategy == "badge":
                        self.cluster.ask("scancel", job)
                    else:  # as when memory ends
                        os.kill(int(pid), signal.SIGKILL)


def trainings(notes: Path) -> list[list[str]]:
    """Strategy, CUDA_VISIBLE_DEVICES, number of the Slurm job and process of all that started."""
    path = notes / "trainings"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def troubled(cluster, tmp_path_factory) -> Workspace:
    """The study on the cluster: three runs are disturbed, and the fourth fails each time."""
    workspace = small_study(tmp_path_factory.mktemp("troubled"))
    workspace.notes = tmp_path_factory.mktemp("notes")
    (workspace.notes / "refused").touch()
    python = workspace.notes / "bin/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable, notes=workspace.notes))
    python.chmod(0o755)
    workspace.before_path = (str(python.parent), str(cluster.folder / "bin"))
    workspace.slurm_conf = cluster.environment["SLURM_CONF"]
    trouble = Trouble(cluster, workspace.folder / "results/small/runs/0", workspace.notes)
    trouble.start()
    workspace.result = workspace.snakemake(
        *THROUGH_SLURM,
        *arguments("--retries", "1", "--", METRICS),
        SLURM_CONF=workspace.slurm_conf,
    )
    trouble.over.set()
    workspace.output = workspace.result.stdout + workspace.result.stderr
    assert trouble.waiting == set(), workspace.output
    return workspace


def same_runs(folder: Path, other: Path, strategies: list[str]) -> bool:
    paths = [f"runs/0/{strategy}/{name}" for strategy in strategies for name in OF_A_RUN]
    return {
        path: (folder / path).read_bytes() == (other / path).read_bytes() for path in paths
    } == (dict.fromkeys(paths, True))


@pytest.mark.slurm
def test_requeued_cancelled_and_killed_jobs_end_as_if_nothing_had_happened(troubled, local):
    assert same_runs(troubled.folder / "results/small", local, ["random", "badge", "margin"]), (
        troubled.output
    )


@pytest.mark.slurm
def test_a_job_that_comes_again_goes_on_where_it_was(troubled):
    started = Counter(strategy for strategy, *_ in trainings(troubled.notes))
    assert started == {"random": 2, "badge": 2, "margin": 2}
    for strategy in started:
        log = troubled.folder / f"results/small/logs/train_run/0/{strategy}.log"
        assert re.search(r"^seed 0  goes on after epoch \d", log.read_text(), re.MULTILINE)
    jobs = {strategy: set() for strategy in started}
    for strategy, _, job, _ in trainings(troubled.notes):
        jobs[strategy].add(job)
    # Slurm itself repeats what it requeues; the others are submitted again.
    assert {strategy: len(numbers) for strategy, numbers in jobs.items()} == {
        **{"random": 1, "badge": 2, "margin": 2}
    }


@pytest.mark.slurm
def test_each_training_has_a_gpu_to_itself(troubled):
    assert {gpu for _, gpu, *_ in trainings(troubled.notes)} == {"0", "1"}
    assert not (troubled.notes / "shared").exists()


@pytest.mark.slurm
def test_a_job_that_fails_for_good_names_its_log_and_stops_no_other(troubled):
    assert troubled.result.returncode != 0
    assert "results/small/logs/train_run/0/full.log" in troubled.output
    assert troubled.output.count("error: this training is refused") == 2  # it was tried twice
    assert not (troubled.folder / METRICS).exists()


@pytest.mark.slurm
def test_a_later_run_does_what_is_left_and_gres_can_ask_for_the_gpu(troubled, local):
    (troubled.notes / "refused").unlink()
    before = len(trainings(troubled.notes))
    profile = troubled.folder / "slurm/profile.yaml"
    text = profile.read_text()
    assert text.count("\n  gres: null\n") == 1
    profile.write_text(text.replace("\n  gres: null\n", "\n  gres: gpu:1\n"))
    result = troubled.snakemake(
        *THROUGH_SLURM, *arguments("--", METRICS), SLURM_CONF=troubled.slurm_conf
    )
    assert result.returncode == 0, result.stdout + result.stderr
    [(strategy, gpu, *_)] = trainings(troubled.notes)[before:]
    assert strategy == "full"
    assert gpu in ("0", "1")
    results = troubled.folder / "results/small"
    assert same_runs(results, local, ["full"])
    mine, theirs = (pd.read_csv(folder / "metrics.csv") for folder in (results, local))
    clocks = [column for column in mine if column.startswith("seconds")]
    pd.testing.assert_frame_equal(mine.drop(columns=clocks), theirs.drop(columns=clocks))


@pytest.mark.slurm
def test_an_interrupted_run_leaves_no_job_behind(cluster, tmp_path):
    workspace = small_study(tmp_path)
    environment = os.environ | cluster.environment
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        ["snakemake", *THROUGH_SLURM, *arguments("--", METRICS)],
        cwd=workspace.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Tests that run in the background inherit that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    alive = ("pending", "running", "completing")
    try:
        while process.poll() is None and not cluster.jobs(["running"]):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        assert process.returncode != 0
        for _ in range(100):
            if not cluster.jobs(alive):
                break
            time.sleep(0.1)
        assert cluster.jobs(alive) == [], output.decode()
    finally:
        process.kill()


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("partitions", "gpu_partitions", "status_command", "words"),
    [
        (["gpus"], [], "squeue", ["slurm/profile.yaml", "'gpus'", "cpu, gpu"]),
        (["cpu"], ["cpu"], "squeue", ["'cpu'", "GPU", "gpus to 0"]),
        ([None], [None], "sacct", ["sacct", "slurm-status-command to squeue"]),
        ([None, "gpu", "cpu,gpu"], [None, "cpu,gpu"], "squeue", None),
    ],
)
def test_a_mistake_in_the_profile_is_one_line(
    cluster, monkeypatch, partitions, gpu_partitions, status_command, words
):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    if words is None:
        check_cluster(partitions, gpu_partitions, status_command)
        return
    with pytest.raises(UserError) as mistake:
        check_cluster(partitions, gpu_partitions, status_command)
    assert all(word in str(mistake.value) for word in words), str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_without_slurm_the_profile_ends_with_one_line(tmp_path, tmp_path_factory):
    binaries = tmp_path_factory.mktemp("binaries")
    for name in ("bash", "sh", "which"):
        (binaries / name).symlink_to(shutil.which(name))
    result = small_study(tmp_path).snakemake(
        *THROUGH_SLURM, *arguments("--", METRICS), PATH=str(binaries)
    )
    assert result.returncode != 0
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "sbatch" in line
    assert "snakemake --cores all" in line
    assert not (tmp_path / "results").exists()
    assert not list(tmp_path.glob(".snakemake/locks/*"))
