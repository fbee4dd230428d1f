"""What several files of tests start from."""

import os
import signal

import pytest
from shared_jobs import shared_jobs
from workspace import Workspace
from xdist.scheduler import LoadFileScheduling

from weakneg.jobs.warm import ONE_THREAD

# Threads that wait for each other take time from the other processes of the tests. Before anything
# imports what reads them: NumPy, PyTorch.
os.environ |= ONE_THREAD

# Tests that run in the background inherit that Ctrl-C is ignored, and so would all they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The files of tests that use the finished workspace, which takes minutes to make.
SHARING = [
    "tests/docs/test_commands.py",
    *("tests/workflow/test_cache.py", "tests/workflow/test_edits.py"),
    *("tests/workflow/test_psla.py", "tests/workflow/test_report.py"),
    *("tests/workflow/test_travel.py", "tests/workflow/test_workflow.py"),
    *("tests/workspace/test_accept.py", "tests/workspace/test_status.py"),
]


class ByFile(LoadFileScheduling):
    """Tests of a file run in one process, since they share fixtures; those of `SHARING` too."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "finished" if file in SHARING else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest begins first, so that no process has it left at the end."""
    items.sort(
        key=lambda item: (
            not shares(item) and item.path.stem != "test_slurm",
            item.path.parent.name != "workflow",
        )
    )


def shares(item) -> bool:
    file = item.nodeid.split("::")[0]
    if "finished" in item.fixturenames and file not in SHARING:
        raise pytest.UsageError(f"{file} uses the finished workspace: add it to SHARING.")
    return file in SHARING


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workspace:
    """A workspace after a plain run of the embedded studies; `traces` says what the jobs ran."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    workspace.traces = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    with shared_jobs(workspace.traces) as binaries:
        workspace.before_path = (binaries,)
        workspace.output = workspace.run()
    workspace.before_path = None
    return workspace


@pytest.fixture
def edited(finished):
    """The finished workspace, its sources put back afterwards."""
    yield finished
    finished.copy_sources()


@pytest.fixture
def made(tmp_path):
    """A study of images whose selections are said by `selections.of_images`."""
    from selections import of_images

    return of_images(tmp_path)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A study of clips, of which `selections.choose_dogs` says the selections."""
    from selections import of_clips

    return of_clips(tmp_path, monkeypatch)
