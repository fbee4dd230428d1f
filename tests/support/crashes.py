"""Kill Snakemake and its jobs at random moments; one plain run afterwards must finish the work.

    python tests/support/crashes.py --moments 30 --seed 0

It runs a small part of the study `digits` undisturbed, then for each moment from nothing: killed
(everything, or Snakemake alone so that its jobs go on without it), and run again by the same
command, without `--unlock`. The results must be those of the undisturbed run, byte for byte.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from workspace import Workspace

from weakneg.analysis.difference import differences

COMMAND = [
    *("--config", "studies=digits", "classes=[3]", "strategies=[badge]", "seeds=2"),
    *("--", "results/digits/metrics.csv"),
]
NOT_COMPARED = {"timing.parquet", "metrics.csv", "seeds", "logs"}  # they hold times


def contents(results: Path) -> dict[str, bytes]:
    """Name -> bytes, of what must be the same after every run."""
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.glob("digits/**/*"))
        if path.is_file() and NOT_COMPARED.isdisjoint(path.parts)
    }


class Crashes:
    """A workspace in which Snakemake is killed."""

    def __init__(self, folder: Path):
        self._workspace = Workspace(folder)
        self._workspace.before_path = ()
        self._results = folder / "results"
        self._undisturbed = folder / "undisturbed"
        began = time.monotonic()
        self._workspace.run(*COMMAND)
        self.seconds = time.monotonic() - began
        self._results.rename(self._undisturbed)

    def crash(self, after: float, with_jobs: bool) -> str:
        """Kill a run, run again, compare; returns what the killed run had come to.

        after : seconds from its start to the kill
        with_jobs : kill its jobs too
        """
        folder = self._workspace.folder
        shutil.rmtree(folder / ".snakemake", ignore_errors=True)
        shutil.rmtree(self._results, ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *COMMAND],
            cwd=folder,
            env=self._workspace.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            jobs = psutil.Process(process.pid).children(recursive=True) if with_jobs else []
            process.send_signal(signal.SIGKILL)
            for job in jobs:
                with contextlib.suppress(psutil.NoSuchProcess):
                    job.kill()
            process.wait()
        made = len(contents(self._results))
        locks = folder / ".snakemake/locks"
        locked = locks.is_dir() and any(locks.iterdir())
        self._workspace.run(*COMMAND)
        found, expected = contents(self._results), contents(self._undisturbed)
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        assert not [name for name in found if found[name] != expected[name]]
        assert differences(self._undisturbed / "digits", self._results / "digits") == ""
        return f"{made} of {len(expected)} files, {'locked' if locked else 'not locked'}"


def moments(seconds: float, number: int, seed: int) -> list[tuple[float, bool]]:
    """When to kill a run that takes so long, and whether its jobs too."""
    chance = random.Random(seed)
    return [(chance.uniform(0, seconds), chance.random() < 0.5) for _ in range(number)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        crashes = Crashes(Path(folder))
        print(f"undisturbed: {crashes.seconds:.0f} s", flush=True)
        for after, with_jobs in moments(crashes.seconds, args.moments, args.seed):
            came_to = crashes.crash(after, with_jobs)
            whom = "Snakemake and jobs" if with_jobs else "Snakemake"
            print(f"{whom} killed after {after:.1f} s ({came_to}): the same bytes", flush=True)


if __name__ == "__main__":
    main()
