"""What several files of tests start from."""

import shlex
import sys

import pytest
from workspace import ROOT, Workspace


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
