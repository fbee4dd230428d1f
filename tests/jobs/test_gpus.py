"""GPUs of one machine, dealt out by lock files; their numbers here are names of nothing."""

import multiprocessing
import os
import re
import signal
from collections import Counter

import pytest
from workspace import Workspace

from weakneg.errors import UserError
from weakneg.jobs import gpus
from weakneg.jobs.gpus import take_gpu


def hold(device, found, leave):
    take_gpu(device)
    found.put((os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")))
    leave.wait()


class Machine:
    """Starts processes that hold a GPU until they are told to leave, or killed."""

    def __init__(self):
        self.context = multiprocessing.get_context("fork")
        self.found = self.context.Queue()
        self.processes = {}

    def start(self, device="auto"):
        leave = self.context.Event()
        process = self.context.Process(target=hold, args=(device, self.found, leave))
        process.start()
        self.processes[process.pid] = (process, leave)

    def next(self, seconds=30):
        return self.found.get(timeout=seconds)

    def end(self):
        for process, leave in self.processes.values():
            if process.is_alive():  # a killed process would never say that it has heard
                leave.set()
            process.join()


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(gpus, "_INSTALLED", tmp_path / "no driver")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("WEAKNEG_GPUS", "2")
    machine = Machine()
    yield machine
    machine.end()


def test_each_job_has_a_gpu_and_one_too_many_waits_for_it(machine):
    for _ in range(3):
        machine.start()
    first, second = machine.next(), machine.next()
    assert {first[1], second[1]} == {"0", "1"}
    assert machine.found.empty()
    machine.processes[first[0]][1].set()
    assert machine.next()[1] == first[1]


def test_the_gpu_of_a_killed_job_is_free(machine):
    machine.start()
    machine.start()
    holders = [machine.next(), machine.next()]
    os.kill(holders[0][0], signal.SIGKILL)
    machine.start()
    assert machine.next()[1] == holders[0][1]


def test_the_gpus_are_those_that_are_visible(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab/c,7")
    machine.start()
    machine.start("cuda")
    assert {machine.next()[1], machine.next()[1]} == {"5", "GPU-ab/c"}


@pytest.mark.parametrize(("device", "count"), [("cpu", "2"), ("cuda:1", "2"), ("auto", "")])
def test_a_job_that_shares_no_gpus_sees_what_there_is(machine, monkeypatch, device, count):
    monkeypatch.setenv("WEAKNEG_GPUS", count)
    for _ in range(3):
        machine.start(device)
    assert [machine.next()[1] for _ in range(3)] == [None] * 3


def test_more_gpus_than_there_are_is_one_line(machine, monkeypatch, tmp_path):
    (tmp_path / "driver/0000:01:00.0").mkdir(parents=True)
    monkeypatch.setattr(gpus, "_INSTALLED", tmp_path / "driver")
    with pytest.raises(UserError, match="--resources gpu=2: this machine has only 1"):
        take_gpu("auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=4 has only 1"):
        take_gpu("auto")


@pytest.mark.parametrize("visible", ["0,-1,2", "0,0", "-1,0"])
def test_gpus_end_at_a_negative_number_and_count_once(machine, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(UserError, match=f"CUDA_VISIBLE_DEVICES={visible} has only [01] GPUs"):
        take_gpu("auto")


def test_the_workflow_deals_out_the_gpus_that_it_is_told_of(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "small.yaml").write_text(
        "title: Small\nextends: digits\nclasses: ['0']\nstrategies: [random, margin]\n"
        "seeds: 1\ntraining: {epochs: 120, patience: 120}\n"  # seconds, so that both run at a time
    )
    strategies = ("random", "margin")
    files = [f"results/small/runs/0/{strategy}/run.json" for strategy in strategies]
    workspace.run(
        *("--resources", "gpu=2", "--config", "studies=small.yaml", "--", *files),
        TMPDIR=str(tmp_path),
        CUDA_VISIBLE_DEVICES="3,4",
    )
    logs = (tmp_path / f"results/small/logs/train_run/0/{s}.log" for s in strategies)
    used = Counter(
        re.search(r"^using GPU (\d+)$", log.read_text(), re.MULTILINE)[1] for log in logs
    )
    assert used == {"3": 1, "4": 1}
