"""Jobs in forks of a server: what they do, print and return, and how they end, is as without it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from workspace import Workspace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")

COMMANDS = '''
"""Commands for tests."""

import atexit
import os
import sys
import threading
import time
from pathlib import Path

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole
from weakneg.stages import command

WORD = "first"


@command
def tell(file: Path) -> None:
    """Say what a process can tell about itself."""
    import numpy  # for the server to learn

    print(WORD, os.getcwd(), os.environ["MINE"], sys.argv[1:], os.getppid())
    print("on stderr", file=sys.stderr)
    if file.exists():
        raise UserError(f"{file} exists")


@command
def finish() -> None:
    """Leave something to do at the end."""
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.1), print("in a thread"))).start()


@command
def learn() -> None:
    """Import what the server learns, one after the other."""
    import this
    import antigravity


@command
def wait(file: Path) -> None:
    """Wait for ever, in the middle of a file."""
    with replace_when_whole(file.with_name("output")) as temporary:
        temporary.touch()
        file.write_text(f"{os.getpid()} {temporary}")
        while True:
            time.sleep(0.05)
'''
# Libraries of which the server, unlike forks, waits in the first and leaves a trace in the second.
MODULE = """
import sys
import time
from pathlib import Path

folder = Path(__file__).parent
if "weakneg.command_line" not in sys.modules:
    (folder / (__name__ + ".learnt")).touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
"""
# What Snakemake calls; a process of it ends when its input does.
STARTER = """
import sys
from weakneg.jobs import warm
warm.start()
print(warm.address(), flush=True)
sys.stdin.read()
"""
THREADS = {
    f"{name}_THREADS": "1"
    for name in ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")
}


class Jobs:
    """Commands run as jobs in a copy of the library, with a server."""

    def __init__(self, folder: Path):
        self.folder = folder
        Workspace(folder)
        self.commands = folder / "workflow/weakneg/commands.py"
        self.commands.write_text(COMMANDS)
        self.environment = os.environ | THREADS | {"PYTHONPATH": str(folder / "workflow")}
        self.environment["MINE"] = "both\nlines"
        self.starter = subprocess.Popen(
            [sys.executable, "-c", STARTER],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self.starter.stdout.readline().strip()
        [self.server] = psutil.Process(self.starter.pid).children()

    def start(self, *arguments: str, warm: bool = True, **variables: str) -> subprocess.Popen:
        address = {"WEAKNEG_WARM": self.address} if warm else {}
        return subprocess.Popen(
            [sys.executable, "-m", "weakneg", *arguments],
            cwd=self.folder,
            env=self.environment | address | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self, *arguments: str, **options) -> tuple[int, str, str]:
        job = self.start(*arguments, **options)
        output, errors = job.communicate(timeout=60)
        return job.returncode, output, errors

    def waiting(self, **options) -> tuple[subprocess.Popen, psutil.Process]:
        """A job that waits, and the fork that does it, which writes to `unfinished`."""
        file = self.folder / "waiting"
        file.unlink(missing_ok=True)
        job = self.start("wait", "--file", str(file), **options)
        while not (file.exists() and file.read_text()):
            time.sleep(0.02)
        process, unfinished = file.read_text().split(maxsplit=1)
        self.unfinished = Path(unfinished)
        return job, psutil.Process(int(process))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    jobs = Jobs(tmp_path_factory.mktemp("warm"))
    yield jobs
    jobs.starter.communicate(timeout=30)


@pytest.fixture
def jobs(shared):
    shared.commands.write_text(COMMANDS)
    return shared


def is_of_server(jobs: Jobs, output: str) -> bool:
    """Whether the job that printed this is a fork of the server."""
    return int(output.split()[-1]) == jobs.server.pid


@pytest.mark.parametrize("file", ["none", "Snakefile"])
def test_a_job_does_the_same_as_without_the_server(jobs, file):
    status, output, errors = jobs.result("tell", "--file", file)
    cold = jobs.result("tell", "--file", file, warm=False)
    assert is_of_server(jobs, output)
    assert not is_of_server(jobs, cold[1])
    assert (status, output.split()[:-1], errors) == (cold[0], cold[1].split()[:-1], cold[2])
    assert status == (0 if file == "none" else 1)


def test_what_a_job_leaves_to_the_end_is_done_as_without_the_server(jobs):
    assert jobs.result("finish") == (0, "in a thread\nat exit\n", "")
    assert jobs.result("finish", warm=False) == (0, "in a thread\nat exit\n", "")


def test_bad_arguments_end_a_job_as_without_the_server(jobs):
    assert jobs.result("tell") == jobs.result("tell", warm=False)
    assert jobs.result("telll") == jobs.result("telll", warm=False)


def test_the_server_imports_what_a_job_needed_and_starts_no_thread(jobs):
    jobs.result("tell", "--file", "none")
    jobs.result("tell", "--file", "none")
    files = {Path(each.path).name for each in jobs.server.memory_maps()}
    assert any("_multiarray_umath" in name for name in files)
    assert jobs.server.num_threads() == 1


def test_code_that_was_edited_is_what_the_next_job_runs(jobs):
    assert jobs.result("tell", "--file", "none")[1].startswith("first ")
    jobs.commands.write_text(COMMANDS.replace('WORD = "first"', 'WORD = "edited"'))
    _, output, _ = jobs.result("tell", "--file", "none")
    assert output.startswith("edited ")
    assert is_of_server(jobs, output)


def test_a_job_with_other_threads_runs_in_its_own_process(jobs):
    status, output, _ = jobs.result("tell", "--file", "none", OMP_NUM_THREADS="2")
    assert status == 0
    assert not is_of_server(jobs, output)


def test_without_its_server_a_job_runs_in_its_own_process(jobs):
    status, output, _ = jobs.result("tell", "--file", "none", WEAKNEG_WARM="/none")
    assert status == 0
    assert not is_of_server(jobs, output)


def test_a_killed_job_stops_working(jobs):
    job, fork = jobs.waiting()
    job.kill()
    fork.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_job_as_without_the_server(jobs, number):
    job, fork = jobs.waiting()
    job.send_signal(number)
    _, errors = job.communicate(timeout=30)
    assert not fork.is_running()
    interrupted = number == signal.SIGINT
    assert job.returncode == (130 if interrupted else -number)
    assert errors == ("interrupted\n" if interrupted else "")


@pytest.mark.parametrize("warm", [True, False])
def test_a_job_that_slurm_or_snakemake_ends_leaves_no_unfinished_file(jobs, warm):
    job, fork = jobs.waiting(warm=warm)
    assert jobs.unfinished.exists()
    for process in {job.pid, fork.pid}:  # as if to all of a group
        os.kill(process, signal.SIGTERM)
    assert job.wait(30) == -signal.SIGTERM
    assert not jobs.unfinished.parent.exists()


def test_a_job_killed_by_the_system_ends_as_a_killed_process(jobs):
    job, fork = jobs.waiting()
    fork.kill()
    assert job.wait(10) == -signal.SIGKILL


def test_jobs_at_the_same_time(jobs):
    waiting, fork = jobs.waiting()
    assert is_of_server(jobs, jobs.result("tell", "--file", "none")[1])
    assert fork.is_running()
    waiting.kill()
    waiting.wait()


def test_the_server_ends_with_who_started_it_but_not_before_its_jobs(tmp_path):
    jobs = Jobs(tmp_path)
    job, fork = jobs.waiting()
    jobs.starter.kill()
    with pytest.raises(psutil.TimeoutExpired):
        jobs.server.wait(0.5)
    assert fork.is_running()
    assert not Path(jobs.address).parent.exists()
    job.kill()
    jobs.server.wait(10)


def test_jobs_of_a_killed_server_fail(tmp_path):
    jobs = Jobs(tmp_path)
    job, fork = jobs.waiting()
    jobs.server.kill()
    _, errors = job.communicate(timeout=30)
    assert job.returncode == 1
    assert errors == "error: the process that did this job was killed: run again.\n"
    fork.wait(10)
    jobs.starter.kill()


def test_nothing_is_learnt_for_nobody(tmp_path):
    """Whoever started the server, a Snakemake that has finished, would wait for it."""
    jobs, folder = Jobs(tmp_path), tmp_path / "workflow"
    for name in ("this", "antigravity"):
        (folder / f"{name}.py").write_text(MODULE)
    assert jobs.result("learn") == (0, "", "")
    while not (folder / "this.learnt").exists():
        time.sleep(0.01)
    jobs.starter.kill()
    jobs.starter.wait()
    (folder / "go").touch()
    jobs.server.wait(20)
    assert not (folder / "antigravity.learnt").exists()
