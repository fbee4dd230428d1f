"""Programs that write a file to a disk that is full, for which a limit on files stands in."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workspace import ROOT


def assert_one_sentence(code: str, arguments: Sequence[Path], output: Path, limit: int) -> None:
    """Run a program, whose last argument is the limit in bytes: it says so, and leaves no file."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, str(limit)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{output} cannot be written (File too large): make room and run again.\n"
    assert list(output.parent.iterdir()) == []
