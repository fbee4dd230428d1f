"""`snakemake --profile slurm`: on a real Slurm of two nodes and three GPUs that are not real.

One run of a small study goes through all that a cluster does to jobs; what it leaves is compared
with a local run.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest
import slurm_cluster
import yte
from snakemake.resources import Resource
from snakemake_executor_plugin_slurm import ExecutorSettings
from workspace import ROOT, Workspace

from weakneg.errors import UserError
from weakneg.jobs.slurm import check_cluster, choose_status_query, refusals

STUDY = """\
title: Small
extends: digits
classes: ["0"]
strategies: [random, full, badge, margin, gradient_embedding, kl_probability, kl_embedding]
seeds: 2
training: {epochs: 8}
"""
# What happens to which training, after its first epoch.
DISTURBED = {
    "random": "preempted",
    "badge": "node_fails",
    "margin": "cancelled",
    "gradient_embedding": "out_of_memory",
    "kl_probability": "out_of_time",
}
REFUSED = ("full", "kl_embedding")
# Where there is one GPU, and so one training at a time: for what happens to a whole node.
ON_NODE1 = ("random", "badge")
NODE = f"'--nodelist=node1' if wildcards.run in {ON_NODE1} else '--nodelist=node0'"
METRICS = "results/small/metrics.csv"
OF_A_RUN = ["model.pt", "history.parquet", "selection.h5", "run.json", "scores.parquet"]
# The tests' jobs are short: ask for their state early, and often.
THROUGH_SLURM = [
    *("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2"),
    *("--max-status-checks-per-second", "100"),
]

# What the rules call `python`: it writes down the trainings, refuses some, has a strategy's first
# training stop after its first epoch, notices when two have the same GPU (the lock ends with the
# process), and takes memory beside one that is called hungry.
PYTHON = """\
#!/bin/sh
case "$*" in *" train_run --study "*) ;; *) exec {python} "$@" ;; esac
strategy=${{*#*--strategy }} strategy=${{strategy%% *}}
cd {notes}
if [ -e "refused_$strategy" ]; then
    echo "$strategy" >> refusals
    echo "error: this training is refused" >&2
    exit 1
fi
while kill -0 $$; do
    [ ! -e hungry_$$ ] || exec {python} -c "import time; x = b'x' * 1_600_000_000; time.sleep(60)"
    sleep 0.2
done 2> /dev/null &
gpu=$SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES
exec 9> "$gpu"
flock -n 9 || echo "$strategy" >> shared
grep -q "^$strategy " trainings || export PYTHONPATH={notes}/stops:$PYTHONPATH
echo "$strategy $gpu $SLURM_JOB_ID $$" >> trainings
cd - > /dev/null
exec {python} "$@"
"""
# Python runs this by itself; the event comes before the second state takes the place of the first.
STOPS = """\
import os, signal, sys

def stop(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith("seeds/0.pt"):
        if os.path.exists(arguments[1]) and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)

stopped = []
sys.addaudithook(stop)
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
    cluster = slurm_cluster.Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def local(cluster, tmp_path_factory) -> Path:
    """The study's folder of results after a local run."""
    workspace = small_study(tmp_path_factory.mktemp("local"))
    workspace.run(*arguments("--", METRICS))
    return workspace.folder / "results/small"


class Trouble(threading.Thread):
    """All that a cluster does to jobs, each to a training of its own, which has stopped."""

    def __init__(self, cluster, notes: Path):
        super().__init__(daemon=True)
        self.cluster, self.notes = cluster, notes
        self.happened: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while self.happened != DISTURBED.keys() and not self.over.wait(0.05):
            for strategy, _, job, pid in trainings(self.notes):
                if strategy not in self.happened and has_stopped(pid):
                    self.happened.add(strategy)
                    getattr(self, DISTURBED[strategy])(job, pid)
        self.cluster.restart_controller()

    def preempted(self, job: str, pid: str) -> None:
        urgent = ("-p", "urgent", "-w", "node1", "--gres=gpu:1", "--mem", "1", "--wrap", "true")
        self.cluster.ask("sbatch", "--output", os.devnull, *urgent)

    def node_fails(self, job: str, pid: str) -> None:
        self.cluster.kill_node("node1")
        threading.Thread(target=self.cluster.repair_node, args=("node1",)).start()

    def cancelled(self, job: str, pid: str) -> None:
        self.cluster.ask("scancel", job)

    def out_of_memory(self, job: str, pid: str) -> None:
        (self.notes / f"hungry_{pid}").touch()

    def out_of_time(self, job: str, pid: str) -> None:
        # In two seconds: a time that has passed when the controller reads it is refused.
        self.cluster.ask("scontrol", "update", f"JobId={job}", "EndTime=now+2")


def has_stopped(pid: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(int(pid)).status() == psutil.STATUS_STOPPED
    return False


def trainings(notes: Path) -> list[list[str]]:
    """What has started: strategy, node:CUDA_VISIBLE_DEVICES, number of the Slurm job, process."""
    path = notes / "trainings"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def troubled(cluster, tmp_path_factory) -> Workspace:
    """The study on the cluster: five runs are disturbed, the others fail each time.

    Towards the end the controller is restarted.
    """
    workspace = small_study(tmp_path_factory.mktemp("troubled"))
    workspace.notes = tmp_path_factory.mktemp("notes")
    for strategy in REFUSED:
        (workspace.notes / f"refused_{strategy}").touch()
    python = workspace.notes / "bin/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable, notes=workspace.notes))
    python.chmod(0o755)
    workspace.before_path = (str(python.parent), str(cluster.folder / "bin"))
    workspace.slurm_conf = cluster.environment["SLURM_CONF"]
    (workspace.notes / "stops").mkdir()
    (workspace.notes / "stops/sitecustomize.py").write_text(STOPS)
    trouble = Trouble(cluster, workspace.notes)
    trouble.start()
    workspace.result = workspace.snakemake(
        *THROUGH_SLURM,
        # Little memory, for that it ends soon.
        "--set-resources",
        *(f"{rule}:mem_mb=1500*attempt" for rule in ("train_run", "score_run")),
        *(f"{rule}:slurm_extra={NODE}" for rule in ("train_run", "score_run")),
        *arguments("--retries", "1", "--", METRICS),
        SLURM_CONF=workspace.slurm_conf,
    )
    trouble.over.set()
    trouble.join()
    workspace.output = workspace.result.stdout + workspace.result.stderr
    assert trouble.happened == DISTURBED.keys(), (trouble.happened, workspace.output)
    workspace.jobs = cluster.jobs()
    return workspace


def went_on(folder: Path, strategy: str) -> bool:
    """Whether the last training of a run went on where an earlier one had ended."""
    log = (folder / f"logs/train_run/0/{strategy}.log").read_text()
    return re.search(r"^seed 0  continues after epoch \d", log, re.MULTILINE) is not None


def same_runs(folder: Path, other: Path, strategies: Iterable[str]) -> bool:
    paths = [f"runs/0/{strategy}/{name}" for strategy in strategies for name in OF_A_RUN]
    return {
        path: (folder / path).read_bytes() == (other / path).read_bytes() for path in paths
    } == (dict.fromkeys(paths, True))


@pytest.mark.slurm
def test_disturbed_jobs_end_as_if_nothing_had_happened(troubled, local):
    assert same_runs(troubled.folder / "results/small", local, DISTURBED), troubled.output


@pytest.mark.slurm
def test_a_job_that_comes_again_goes_on_where_it_was(troubled):
    for strategy, trouble in DISTURBED.items():
        assert went_on(troubled.folder / "results/small", strategy), trouble


@pytest.mark.slurm
def test_what_slurm_does_not_repeat_is_submitted_again(troubled):
    jobs = {
        trouble: [job for name, _, job, _ in trainings(troubled.notes) if name == strategy]
        for strategy, trouble in DISTURBED.items()
    }
    assert {trouble: (len(numbers), len(set(numbers))) for trouble, numbers in jobs.items()} == {
        **{"preempted": (2, 1), "node_fails": (2, 1)},
        **{"cancelled": (2, 2), "out_of_memory": (2, 2), "out_of_time": (2, 2)},
    }
    states = {job["id"]: job for job in troubled.jobs}
    assert states[jobs["out_of_time"][0]]["state"] == "TIMEOUT"
    # Twice what the rules say for the first attempt.
    assert states[jobs["out_of_time"][1]]["limit"] == "2:40:00"


@pytest.mark.slurm
def test_each_training_has_a_gpu_to_itself(troubled):
    assert {gpu for _, gpu, *_ in trainings(troubled.notes)} == {
        "node0:0",
        "node0:1",
        "node1:0",
    }
    assert not (troubled.notes / "shared").exists()


@pytest.mark.slurm
def test_a_job_that_fails_for_good_names_its_log_and_stops_no_other(troubled):
    assert troubled.result.returncode != 0
    assert "results/small/logs/train_run/0/full.log" in troubled.output
    assert "error: this training is refused" in troubled.output
    tried = (troubled.notes / "refusals").read_text().split()
    assert sorted(tried) == sorted(2 * REFUSED), "each was tried twice"
    assert not (troubled.folder / METRICS).exists()


@pytest.mark.slurm
def test_one_allocation_does_what_is_left_and_goes_on_after_its_node_failed(
    cluster, troubled, local, tmp_path
):
    for strategy in REFUSED:
        (troubled.notes / f"refused_{strategy}").unlink()
    before = len(trainings(troubled.notes))
    environment = {
        **{"SLURM_CONF": troubled.slurm_conf, "WEAKNEG_SCRATCH": str(tmp_path / "scratch")}
    }
    options = ("--parsable", "-w", "node1", "--cpus-per-task=2")
    job = subprocess.run(
        ["sbatch", *options, "slurm/allocation.sh", *arguments("--", METRICS)],
        cwd=troubled.folder,
        env=troubled.environment() | environment,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert job

    def state() -> str:
        return next((entry["state"] for entry in cluster.jobs() if entry["id"] == job), "")

    results = troubled.folder / "results/small"
    until = time.monotonic() + 300
    while sum(has_stopped(pid) for *_, pid in trainings(troubled.notes)[before:]) < len(REFUSED):
        assert time.monotonic() < until
        time.sleep(0.05)
    cluster.kill_node("node1")
    cluster.repair_node("node1")
    while state() in ("PENDING", "RUNNING", "COMPLETING"):
        time.sleep(0.2)
    output = (troubled.folder / f"allocation-{job}.log").read_text()
    assert state() == "COMPLETED", output
    assert "Unlocked" in output
    assert all(went_on(results, strategy) for strategy in REFUSED)
    started = trainings(troubled.notes)[before:]
    assert {strategy for strategy, *_ in started} == set(REFUSED)
    assert {(gpu, number) for _, gpu, number, _ in started} == {("node1:0", job)}
    assert (troubled.notes / "shared").exists()  # two at a time
    # Of the stores of both splits, one copy each.
    assert len(list((tmp_path / "scratch").glob("*/*/*.h5"))) == 2
    assert same_runs(results, local, REFUSED)
    mine, theirs = (pd.read_csv(folder / "metrics.csv") for folder in (results, local))
    clocks = [column for column in mine if column.startswith("seconds")]
    pd.testing.assert_frame_equal(mine.drop(columns=clocks), theirs.drop(columns=clocks))


@pytest.mark.slurm
def test_when_scoring_fails_training_is_made_again_from_its_states(cluster, local, tmp_path):
    workspace = small_study(tmp_path)
    for folder in ("features", "bags"):
        shutil.copytree(local / folder, tmp_path / "results/small" / folder)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *" score_run "*) mkdir {binaries}/refused 2> /dev/null && exit 1;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    (binaries / "python").chmod(0o755)
    workspace.before_path = (str(binaries), str(cluster.folder / "bin"))
    result = workspace.snakemake(
        *THROUGH_SLURM,
        # Without accounting: the workflow uses squeue.
        *("--slurm-status-command", "sacct"),
        *arguments("--retries", "1", "--", "results/small/runs/0/random/scores.parquet"),
        SLURM_CONF=cluster.environment["SLURM_CONF"],
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (binaries / "refused").is_dir()
    log = (tmp_path / "results/small/logs/train_run/0/random.log").read_text()
    assert re.findall(r"^seed \d  .*", log, re.MULTILINE) == [
        "seed 0  continues after epoch 8",
        "seed 1  continues after epoch 8",
    ]
    assert same_runs(tmp_path / "results/small", local, ["random"])


@pytest.mark.slurm
def test_an_output_that_appears_late_is_waited_for(cluster, tmp_path):
    workspace = small_study(tmp_path)
    workspace.before_path = (str(cluster.folder / "bin"),)
    store, log = tmp_path / "results/small/features/train.h5", tmp_path / "output"
    before = {job["id"] for job in cluster.jobs()}

    def states() -> list[str]:
        return [job["state"] for job in cluster.jobs() if job["id"] not in before]

    def wait_until(happened: Callable[[], bool]) -> None:
        while not happened():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)

    process = subprocess.Popen(
        ["snakemake", *THROUGH_SLURM, *arguments("--", str(store.relative_to(tmp_path)))],
        cwd=workspace.folder,
        env=workspace.environment() | {"SLURM_CONF": cluster.environment["SLURM_CONF"]},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: "RUNNING" in states())
        # It must not look before the output is away.
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: states() == ["COMPLETED"])
        store.rename(tmp_path / "late")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "Waiting at most 60 seconds for missing files" in log.read_text())
        (tmp_path / "late").rename(store)
        assert process.wait() == 0, log.read_text()
        assert states() == ["COMPLETED"]
    finally:
        process.kill()


@pytest.mark.slurm
def test_jobs_that_end_while_the_controller_is_away_are_not_forgotten(cluster, tmp_path):
    workspace = small_study(tmp_path)
    workspace.before_path = (str(cluster.folder / "bin"),)
    log = tmp_path / "output"
    process = subprocess.Popen(
        ["snakemake", *THROUGH_SLURM, *arguments("--", "results/small/features/train.h5")],
        cwd=workspace.folder,
        env=workspace.environment() | {"SLURM_CONF": cluster.environment["SLURM_CONF"]},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        while not cluster.jobs(["running"]):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        # The executor asks for Slurm's configuration for 10 s, and makes five attempts by default.
        cluster.restart_controller(seconds=75)
        assert process.wait(timeout=300) == 0, log.read_text()
    finally:
        process.kill()


@pytest.mark.slurm
def test_an_interrupted_run_leaves_no_job_behind(cluster, tmp_path):
    workspace = small_study(tmp_path)
    workspace.before_path = (str(cluster.folder / "bin"),)
    process = subprocess.Popen(
        ["snakemake", *THROUGH_SLURM, *arguments("--", METRICS)],
        cwd=workspace.folder,
        env=workspace.environment() | {"SLURM_CONF": cluster.environment["SLURM_CONF"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    alive = ("pending", "running", "completing")
    try:
        while process.poll() is None and not cluster.jobs(["running"]):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        assert process.returncode != 0
        for _ in range(600):
            if not cluster.jobs(alive):
                break
            time.sleep(0.1)
        assert cluster.jobs(alive) == [], output.decode()
    finally:
        process.kill()


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("partitions", "gpu_partitions", "account", "words"),
    [
        (["gpus"], [], None, ["slurm/profile.yaml", "'gpus'", "cpu, gpu"]),
        (["cpu"], ["cpu"], None, ["'cpu'", "GPU", "gpus to 0"]),
        # Where nothing is accounted, an account is as good as none.
        ([None, "gpu", "cpu,gpu"], [None, "cpu,gpu"], "lab", None),
    ],
)
def test_a_mistake_in_the_profile_is_one_line(
    cluster, monkeypatch, partitions, gpu_partitions, account, words
):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    check = partial(check_cluster, partitions, gpu_partitions, [account])
    if words is None:
        check()
    else:
        assert all(word in one_line(check) for word in words), one_line(check)


@pytest.mark.slurm
def test_what_no_node_has_is_said(cluster, monkeypatch):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    [line] = refusals([{"slurm_partition": "gpu", "gpu": 9}, {"mem_mb": 10, "gpu": 1}])
    assert line.startswith("sbatch --partition=gpu --gpus=9: ")
    assert "not available" in line


def one_line(check) -> str:
    """The mistake that a check finds."""
    with pytest.raises(UserError) as mistake:
        check()
    assert "\n" not in str(mistake.value)
    return str(mistake.value)


@pytest.mark.slurm
def test_nodes_that_do_not_see_the_environment_are_said(cluster, tmp_path, tmp_path_factory):
    binaries = tmp_path_factory.mktemp("binaries")
    (binaries / "sbatch").write_text(
        f"#!/bin/bash\npython={sys.executable}\n"
        f'exec {shutil.which("sbatch")} "${{@//"$python"//nowhere/bin/python}}"\n'
    )
    (binaries / "sbatch").chmod(0o755)
    workspace = small_study(tmp_path)
    workspace.before_path = (str(binaries), str(cluster.folder / "bin"))
    result = workspace.snakemake(
        *THROUGH_SLURM,
        *arguments("--retries", "0", "--", "results/small/features/train.h5"),
        SLURM_CONF=cluster.environment["SLURM_CONF"],
    )
    assert result.returncode != 0
    [line] = re.findall("^error: .*", result.stdout + result.stderr, re.MULTILINE)
    assert "no /nowhere/bin/python" in line
    assert "share" in line


@pytest.mark.parametrize(
    "name",
    [
        *("all", "any", "open", "max", "id", "input", "print", "attempt", "wildcards", "exists"),
        *("0x10", "1_000", "1e3", "007", "12", "a-b", "gpu.long", "gpu,cpu", "lambda", "it's"),
    ],
)
def test_any_name_of_a_partition_an_account_or_a_gpu_reaches_slurm(name):
    text = (ROOT / "slurm/profile.yaml").read_text()
    for variable in ("partition", "gpu_partition", "account", "gpu_model"):
        text = text.replace(f"  {variable}: null\n", f"  {variable}: {json.dumps(name)}\n")
    profile = yte.process_yaml(text)
    expressions = [
        profile["default-resources"]["slurm_partition"],
        profile["default-resources"]["slurm_account"],
        profile["set-resources"]["train_run"]["slurm_partition"],
        profile["set-resources"]["score_run"]["gpu_model"],
    ]
    context = {"input": [], "attempt": 1, "threads": 1, "rulename": "", "async_run": None}
    for expression in expressions:
        resource = Resource.from_cli_expression("name", expression)
        assert resource.evaluate({}, **context).value == name


@pytest.fixture
def pretended(tmp_path, monkeypatch) -> Path:
    """A folder with commands of a Slurm of which there is nothing else, alone on the PATH."""
    folder = tmp_path / "pretended"
    folder.mkdir()
    for name, script in PRETENDED.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


PRETENDED = {
    "sinfo": "echo 'cpu* (null)'; echo 'gpu gpu:a100:4'; echo 'all gpu:max:4'",
    "squeue": "",
    "sacct": "",
    "scontrol": "echo 'MinJobAge = 300 sec'",
    "sacctmgr": "echo lab; echo Other; echo open",
    "sbatch": "for word; do echo \"$word\" >> sbatch.txt; done; echo 'not today' >&2; exit 1",
}


@pytest.mark.parametrize(
    ("account", "lacking", "words"),
    [
        ("lab,OTHER", [], None),
        ("labs", [], ["slurm/profile.yaml", "'labs'", "lab, open, other"]),
        ("labs", ["sacctmgr"], ["sshare", "no such command", "account to null"]),
        (None, ["sacct"], ["sacct: no such command"]),
        (None, ["sbatch", "sinfo"], ["sbatch, sinfo: no such command"]),
    ],
)
def test_an_unknown_account_or_a_missing_command_is_one_line(pretended, account, lacking, words):
    for command in lacking:
        (pretended / command).unlink()
    check = partial(check_cluster, ["gpu"], ["gpu"], [account])
    if words is None:
        check()
    else:
        assert all(word in one_line(check) for word in words), one_line(check)


def settings(command: str, first_query: int = 20, array_jobs: str | None = None):
    """Settings of the executor."""
    return ExecutorSettings(
        status_command=command,
        init_seconds_before_status_checks=first_query,
        array_jobs=array_jobs,
    )


@pytest.mark.slurm
@pytest.mark.parametrize("command", ["squeue", "sacct"])
def test_without_accounting_squeue_tells_when_jobs_end(cluster, monkeypatch, command):
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    given = settings(command)
    choose_status_query(given)
    assert given.status_command == "squeue"


@pytest.mark.parametrize(
    ("remembered", "first_query", "expected"),
    [
        ("300 sec", 20, ("squeue", 20)),
        # The executor would take sacct, which never sees that a job was cancelled.
        ("300 sec", 120, ("squeue", 100)),
        # A job could end and be forgotten between two queries.
        ("120 sec", 20, ("sacct", 20)),
        # Remembered for ever, which the executor takes for not at all.
        ("0 sec", 20, ("squeue", 20)),
    ],
)
@pytest.mark.parametrize("command", ["squeue", "sacct"])
def test_the_query_that_sees_most_ends_of_jobs_is_chosen(
    pretended, capsys, remembered, first_query, expected, command
):
    (pretended / "scontrol").write_text(f"#!/bin/sh\necho 'MinJobAge    = {remembered}'\n")
    given = settings(command, first_query)
    choose_status_query(given)
    assert (given.status_command, given.init_seconds_before_status_checks) == expected
    warning = capsys.readouterr().err
    assert ("scancel" in warning) == (expected[0] == "sacct")


@pytest.mark.parametrize("command", ["squeue", "sacct"])
def test_a_cluster_that_never_tells_when_jobs_end_is_refused(pretended, command):
    (pretended / "scontrol").write_text("#!/bin/sh\necho 'MinJobAge = 30 sec'\n")
    (pretended / "sacct").write_text("#!/bin/sh\necho 'accounting is disabled' >&2; exit 1\n")
    message = one_line(partial(choose_status_query, settings(command)))
    assert all(word in message for word in ("MinJobAge", "30 s", "accounting is disabled"))
    assert "slurm/allocation.sh" in message


def test_job_arrays_are_refused(pretended):
    message = one_line(partial(choose_status_query, settings("squeue", array_jobs="all")))
    assert "--slurm-array-jobs" in message


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Workspace:
    """A workspace with what the runs of `digits` start from."""
    workspace = Workspace(tmp_path_factory.mktemp("prepared"))
    workspace.run("--until", "draw_bags", "--", "digits")
    return workspace


@pytest.mark.parametrize(
    ("variables", "wanted", "unwanted"),
    [
        ({"gpus": "0"}, ["-p", "cpu"], "gpu"),
        (
            {"gpu_partition": "gpu", "gres": "gpu:a100:1", "account": "lab"},
            ["--gres=gpu:a100:1", "-p", "gpu", "-A", "lab"],
            "--gpus",
        ),
        ({"gpu_partition": "gpu", "gpu_model": "a100"}, ["--gpus=a100:1", "-p", "gpu"], "--gres"),
        # Names that mean something in Python.
        (
            {"gpu_partition": "all", "gpu_model": "max", "account": "open"},
            ["--gpus=max:1", "-p", "all", "-A", "open"],
            "--gres",
        ),
        ({"gpus": "0", "gpu_model": "a100"}, ["-p", "cpu"], "gpu"),
        ({"gpus": "0", "gres": "gpu:a100:1"}, ["-p", "cpu"], "gpu"),
        (  # and 20 minutes for scoring
            {"gpu_partition": "gpu", "train_mem_mb": "9000", "train_minutes": "300"},
            ["--gpus=1", "-p", "gpu", "--mem", "9000", "-t", "320"],
            "4000",
        ),
    ],
)
def test_what_the_variables_of_the_profile_ask_for(
    prepared, pretended, tmp_path, variables, wanted, unwanted
):
    workspace = Workspace(tmp_path)
    for folder in ("results/digits/features", "results/digits/bags"):
        shutil.copytree(prepared.folder / folder, tmp_path / folder)
    for name, value in ({"partition": "cpu"} | variables).items():
        [text] = re.findall(
            rf"^  {name}: .*\n", (tmp_path / "slurm/profile.yaml").read_text(), re.M
        )
        workspace.edit("slurm/profile.yaml", text, f"  {name}: {value}\n")
    [label] = [path.name for path in sorted((tmp_path / "results/digits/bags").iterdir())][:1]
    workspace.before_path = (str(pretended),)
    result = workspace.snakemake(
        *THROUGH_SLURM,
        *("--retries", "0", "--", f"results/digits/runs/{label}/random/scores.parquet"),
        PATH=os.pathsep.join([str(pretended), str(Path(sys.executable).parent), os.defpath]),
    )
    # Snakemake itself does not say why a group was refused.
    [line] = [line for line in result.stderr.splitlines() if line.startswith("warning: sbatch ")]
    assert "not today" in line
    assert all(flag in line for flag in wanted if flag.startswith("--"))
    submitted = (tmp_path / "sbatch.txt").read_text().split("\n--parsable\n")[1]
    words = submitted.split("\n--wrap=")[0].split("\n")
    needs = [] if "train_minutes" in variables else ["--mem", "4000", "-t", "80"]
    for flag in [*needs, "--cpus-per-task=1", *wanted]:
        assert flag in words
    assert not any(unwanted in word for word in words)


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
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".provenance"]
    assert not list(tmp_path.glob(".snakemake/locks/*"))
