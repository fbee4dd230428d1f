"""Finished results are accepted as those of the current code; unfinished ones are left alone."""

import subprocess
import sys

import pytest

CHANGE = ("workflow/weakneg/strategies/badge.py", "_BLOCK = 128", "_BLOCK = 64")


def accept(workspace) -> list[str]:
    command = [sys.executable, "-m", "weakneg", "accept"]
    environment = workspace.environment() | {"PYTHONPATH": str(workspace.folder / "workflow")}
    done = subprocess.run(
        command, cwd=workspace.folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def changed(finished):
    """The finished workspace after an edit of a strategy; it is as before afterwards."""
    finished.edit(*CHANGE)
    yield finished
    finished.copy_sources()
    accept(finished)
    assert finished.planned() == {}


def test_after_accepting_a_finished_workspace_nothing_is_to_be_done(changed):
    assert changed.planned()["train_run"] == 4
    weights = changed.folder / "results/digits/runs/3/badge/model.pt"
    before = (weights.read_bytes(), weights.stat().st_mtime_ns)
    assert "accepted: train_run 4" in accept(changed)
    assert changed.planned() == {}
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == before
    assert accept(changed) == ["Nothing to accept: the results are those of the current code."]


def test_what_is_missing_is_not_accepted(changed):
    figure = changed.folder / "results/digits/figures/cost.svg"
    content = figure.read_bytes()
    figure.unlink()
    lines = accept(changed)
    assert any(line.startswith("left to run: draw_cost") and "missing" in line for line in lines)
    assert changed.planned() == {"draw_cost": 1, "write_report": 1}
    figure.write_bytes(content)
