"""A copy of the repository in which tests run Snakemake."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("Snakefile", "config.yaml", "workflow", "envs", "profiles", "slurm")


class Workspace:
    """A copy of the repository's sources in which Snakemake runs."""

    before_path: tuple[str, ...] = ()

    def __init__(self, folder: Path):
        self.folder = folder
        self.copy_sources()

    def copy_sources(self) -> None:
        """Put the sources there as they are in the repository, in place of edited ones."""
        for name in SOURCES:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, self.folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, self.folder / name)

    def variables(self) -> dict[str, str]:
        """The environment in which Snakemake runs."""
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        binaries = str(Path(sys.executable).parent)
        variables["PATH"] = os.pathsep.join([*self.before_path, binaries, variables["PATH"]])
        return variables

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [Path(sys.executable).parent / "snakemake", *arguments],
            cwd=self.folder,
            env=self.variables() | environment,
            capture_output=True,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> str:
        result = self.snakemake("--cores", "2", *arguments, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs that would run, without the target rules."""
        result = self.snakemake("--dry-run", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        table = re.search(r"^Job stats:\n.*\n-.*\n((?:\S+ +\d+\n)+)", result.stdout, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in result.stdout
            return {}
        rows = (line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))
