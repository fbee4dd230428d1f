"""A copy of the repository in which tests run Snakemake."""

import atexit
import contextlib
import json
import multiprocessing
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from shared_jobs import shared_jobs

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(sys.executable).parent
# Tests of the workflow ask what runs, not how well it learns: the embedded studies train for less,
# with steps that are longer where it takes those to learn anything.
SHORTER = {
    "digits": ("epochs: 25\n", "epochs: 4\n  learning_rate: 5.0e-3\n"),
    "soundscapes": ("epochs: 20\n", "epochs: 2\n"),
}
FINGERPRINTS = Path(".snakemake/fingerprints.json")
SOURCES = ("Snakefile", "config.yaml", "workflow", "envs", "profiles", "slurm")

# Imports take a second of the processor, as much as the rest of a dry run. What is forked from has
# done them, but for those of the library, which each workspace has in its own version.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("__main__", "snakemake.cli", "snakemake.workflow", "snakemake.executors.dryrun"),
        *("snakemake.scheduling.greedy", "snakemake.scheduling.job_scheduler"),
        *("snakemake.persistence.db", "pandas", "pydantic", "yaml", "numpy"),
    ]
)


class Workspace:
    """A copy of the repository's sources in which Snakemake runs.

    folder : where it is
    shorter : train the embedded studies as `SHORTER` says
    before_path : folders that come first in PATH. None: that of `shared_jobs`; with others, each
        Snakemake does its jobs by itself.
    """

    before_path: tuple[str, ...] | None = None

    def __init__(self, folder: Path, shorter: bool = True):
        self.folder, self.shorter = folder, shorter
        self.copy_sources()

    def copy_sources(self) -> None:
        """Put the sources there as they are in the repository, in place of edited ones.

        With them come the fingerprints that an earlier workspace has worked out from them.
        """
        for name in SOURCES:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, self.folder / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, self.folder / name)
        for study, (old, new) in SHORTER.items() if self.shorter else ():
            self.edit(f"workflow/studies/{study}.yaml", old, new)
        if _fingerprints().exists():  # which take two seconds
            (self.folder / FINGERPRINTS).parent.mkdir(exist_ok=True)
            shutil.copy(_fingerprints(), self.folder / FINGERPRINTS)

    def environment(self) -> dict[str, str]:
        """The variables with which Snakemake runs."""
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        before = (_shared_jobs(),) if self.before_path is None else self.before_path
        path = [*before, str(BINARIES), variables["PATH"]]
        return variables | {"PATH": os.pathsep.join(path)}

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Run `snakemake` to its end; in a fork, which starts in less time than a program."""
        with contextlib.ExitStack() as stack:
            output, errors = (
                stack.enter_context(tempfile.NamedTemporaryFile("r")) for _ in range(2)
            )
            variables = self.environment() | environment
            given = (self.folder, arguments, variables, output.name, errors.name)
            run = _FORKS.Process(target=_snakemake, args=given)
            run.start()
            run.join()
            self._keep_fingerprints()
            return subprocess.CompletedProcess(
                arguments, run.exitcode, output.read(), errors.read()
            )

    def _keep_fingerprints(self) -> None:
        """For the workspaces after this one, unless the library was edited."""
        kept = self.folder / FINGERPRINTS
        if kept.exists() and json.loads(kept.read_bytes())["made_from"][0] == _digest():
            shutil.copy(kept, _fingerprints())

    def python(self, *arguments: str) -> None:
        """Run a stage by hand: `python -m weakneg <arguments>`."""
        environment = self.environment() | {"PYTHONPATH": str(self.folder / "workflow")}
        command = ["python", "-m", "weakneg", *arguments]
        subprocess.run(command, cwd=self.folder, env=environment, check=True)

    def run(self, *arguments: str, **environment: str) -> str:
        result = self.snakemake("--cores", "2", *arguments, **environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def run_on_terminal(self, *arguments: str) -> str:
        """Like `run`, with a terminal in place of files; returns what that shows."""
        terminal, slave = pty.openpty()
        with subprocess.Popen(
            [BINARIES / "snakemake", "--cores", "2", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        ) as process:
            os.close(slave)
            shown = b""
            with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as screen:
                while part := screen.read(4096):
                    shown += part
        assert process.returncode == 0, shown.decode()
        return shown.decode().replace("\r\n", "\n")

    def planned(self, *arguments: str, **environment: str) -> dict[str, int]:
        """Rule -> number of jobs that would run, without the target rules."""
        result = self.snakemake("--dry-run", *arguments, **environment)
        text = result.stdout + result.stderr
        assert result.returncode == 0, text
        table = re.search(r"^Job stats:\n.*\n-.*\n((?:\S+ +\d+\n)+)", text, re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in text
            return {}
        rows = (line.split() for line in table[1].splitlines())
        targets = {"total", "all", *arguments}
        return {rule: int(count) for rule, count in rows if rule not in targets}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))


@cache
def _shared_jobs() -> str:
    """Of the server of this process of the tests."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(shared_jobs())


@cache
def _fingerprints() -> Path:
    """The file of fingerprints of the repository's library that workspaces start with."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, FINGERPRINTS.name)


@cache
def _digest() -> str:
    from weakneg.workspace.fingerprint import digest_of_sources

    return digest_of_sources()


def _snakemake(
    folder: Path, arguments: tuple[str, ...], environment: dict[str, str], *files: str
) -> None:
    """`snakemake` in a process of its own, whose standard output and error are files; ends it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), descriptor)
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    try:
        main()
    finally:
        atexit._run_exitfuncs()  # a fork ends without them
