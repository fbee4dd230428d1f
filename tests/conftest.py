"""What several files of tests start from."""

import shlex
import sys

import pytest
from workspace import ROOT, Workspace


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Who runs what, where tests run in several processes: those of a file in one, since they share
    fixtures, and all files of the finished workspace in one. What takes longest begins first."""
    sharing = {item.path for item in items if "finished" in item.fixturenames}

    def group(item):
        return "finished" if item.path in sharing else item.path.stem

    items.sort(key=lambda item: group(item) not in ("test_slurm", "finished"))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workspace:
    """A workspace after a plain run of the embedded studies; `traces` says what the jobs ran."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    binaries = tmp_path_factory.mktemp("binaries")
    workspace.traces = binaries / "traces.jsonl"
    traced = map(str, (sys.executable, ROOT / "tests/traced_python.py", workspace.traces))
    (binaries / "python").write_text(f'#!/bin/sh\nexec {shlex.join(traced)} "$@"\n')
    (binaries / "python").chmod(0o755)
    workspace.before_path = (str(binaries),)
    workspace.output = workspace.run()
    workspace.before_path = ()
    return workspace


@pytest.fixture
def edited(finished):
    """The finished workspace, its sources put back afterwards."""
    yield finished
    finished.copy_sources()
