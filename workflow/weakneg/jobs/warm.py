"""Jobs that start warm: forks of a process that has imported the libraries already.

Importing PyTorch, pandas and matplotlib takes seconds, most of the time of a small job. So a
Snakemake that runs jobs on this machine starts a server (`start`). `python -m weakneg` asks it for
a fork (`run`), which does the job with the command line, working directory, environment and
standard streams of the process that asked. That process waits, passes on the signals that it gets,
and ends as the fork does; if it is killed, so is the fork.

The server imports what its finished jobs had to, so nothing needs to be listed, and a single job
costs no more than without it. Of this package it imports only this file, so each job runs the code
as it is when the job starts.

Linux only: macOS kills forks that use its frameworks. Wherever a server is missing, or differs from
the job in its Python or number of threads, the job runs in its own process, as on a cluster.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

VARIABLE = "WEAKNEG_WARM"
"""Environment variable that names the socket of the server."""

ONE_THREAD = {
    f"{name}_THREADS": "1"
    for name in ("OMP_NUM", "GOTO_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")
}
"""The variables that Snakemake sets to the threads of a job, for a job with one."""

# They start no threads when they are imported; threads would not survive the fork.
_LIBRARIES = {
    *sys.stdlib_module_names,
    *("h5py", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "sklearn", "torch"),
}
# Variables that are read when Python starts or libraries are loaded.
_FIXED = re.compile(r"PYTHON|LD_|.*_THREADS$")
_PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_NUMBER = struct.Struct("=q")
_REFUSED = 0  # in place of a process number
_PR_SET_PDEATHSIG = 1  # from sys/prctl.h
_SECONDS_TO_END = 10


@cache
def address() -> str:
    """Path of the socket of this process's server, whether or not it is started."""
    folder = f"weakneg-{secrets.token_hex(8)}"
    return os.path.join(tempfile.gettempdir(), folder, "socket")


def start() -> None:
    """Start the server of this process, which ends with it, unless this machine cannot have one."""
    if sys.platform != "linux":
        return
    path = Path(address())
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            path.parent.mkdir(mode=0o700)  # whoever can connect can run anything as this user
            listener.bind(str(path))
        except OSError:  # sockets have short names, and not every folder can hold one
            shutil.rmtree(path.parent, ignore_errors=True)
            return
        listener.listen(socket.SOMAXCONN)
        server = subprocess.Popen(
            [sys.executable, "-m", "weakneg.jobs.warm", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | ONE_THREAD | {"PYTHONPATH": str(Path(__file__).parents[2])},
            process_group=0,  # Ctrl-C is for the jobs
        )
    atexit.register(_stop, server, os.getpid())


def _stop(server: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() == owner:  # not in a fork of it
        assert server.stdin
        server.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_SECONDS_TO_END)


def run(arguments: Sequence[str]) -> int | None:
    """Do a job in a fork of the server that the environment names.

    Parameters
    ----------
    arguments : sequence of str
        The command line of the job.

    Returns
    -------
    int or None
        Exit status; None if there is no such server, or the job does not suit it. Ends as the job
        does if a signal killed that.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    request = {
        "python": os.path.realpath(sys.prefix),
        "arguments": [*arguments],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(path)
            _send(server, json.dumps(request).encode(), [0, 1, 2])
            fork = _receive_number(server)
        except OSError:
            return None
        if not fork:
            return None
        for number in _PASSED_ON:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, partial(_pass_on, fork))
        status = _receive_number(server)
    if status is None:
        print("error: the process that did this job was killed: run again.", file=sys.stderr)
        return 1
    if status < 0:
        with contextlib.suppress(OSError):  # of SIGKILL
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _pass_on(fork: int, number: int, _: object) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(fork, number)


def _send(to: socket.socket, message: bytes, files: Sequence[int]) -> None:
    socket.send_fds(to, [_NUMBER.pack(len(message))], files)
    to.sendall(message)


def _receive(sender: socket.socket) -> tuple[bytes, list[int]]:
    size, files, _, _ = socket.recv_fds(sender, _NUMBER.size, 3)
    return _read(sender, _NUMBER.unpack(size)[0]), files


def _receive_number(sender: socket.socket) -> int | None:
    """A number, or None if the sender has ended."""
    try:
        return int(_NUMBER.unpack(_read(sender, _NUMBER.size))[0])
    except (ConnectionError, struct.error):
        return None


def _read(sender: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size and (part := sender.recv(size - len(parts))):
        parts += part
    return bytes(parts)


class Server:
    """Forks itself for each process that connects.

    Parameters
    ----------
    listener : socket
        Where they connect.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._epoll = select.epoll()
        self._on: dict[int, Callable[[], socket.socket | None]] = {}
        self._modules = -1  # file in which a fork lists what it has imported
        self._watch(listener.fileno(), select.EPOLLIN, self._fork)
        # Nothing is ever written to it: it ends when the process that started the server does.
        self._watch(sys.stdin.fileno(), select.EPOLLHUP, self._close)

    def run(self) -> socket.socket | None:
        """Answer until the process that started the server ends and all forks have ended.

        Returns
        -------
        socket or None
            In a fork, the connection to who asked for it. None in the server, at the end.
        """
        while self._on:
            for file, _ in self._epoll.poll():
                act = self._on.get(file)
                client = act() if act else None
                if client:
                    return client
        return None

    def report(self, modules: Sequence[str]) -> None:
        """In a fork, tell the server what it could have imported."""
        os.write(self._modules, json.dumps(modules).encode())

    def _watch(self, file: int, event: int, act: Callable[[], socket.socket | None]) -> None:
        self._epoll.register(file, event)
        self._on[file] = act

    def _forget(self, file: int) -> None:
        if self._on.pop(file, None):
            self._epoll.unregister(file)

    def _close(self) -> None:
        """Who started the server has ended."""
        self._forget(sys.stdin.fileno())
        self._forget(self._listener.fileno())
        shutil.rmtree(Path(self._listener.getsockname()).parent, ignore_errors=True)
        self._listener.close()

    def _fork(self) -> socket.socket | None:
        client, _ = self._listener.accept()
        self._modules = os.memfd_create("modules")
        gc.freeze()  # so that collections in forks touch, and copy, less memory
        fork = os.fork()
        if not fork:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for file in self._on:
                if file != sys.stdin.fileno():  # the job's takes its place
                    os.close(file)
            self._epoll.close()
            return client
        end = os.pidfd_open(fork)
        self._watch(client.fileno(), select.EPOLLRDHUP, partial(self._kill, fork, client))
        self._watch(end, select.EPOLLIN, partial(self._ended, fork, end, client, self._modules))
        return None

    def _kill(self, fork: int, client: socket.socket) -> None:
        """Who asked is gone."""
        self._forget(client.fileno())
        os.kill(fork, signal.SIGKILL)

    def _ended(self, fork: int, end: int, client: socket.socket, modules: int) -> None:
        status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
        self._forget(end)
        os.close(end)
        self._forget(client.fileno())
        with client, contextlib.suppress(OSError):  # it may be gone
            client.sendall(_NUMBER.pack(status))
        with open(modules, "rb") as file:
            file.seek(0)
            learn = json.loads(file.read() or "[]")
        for name in learn:
            if self._deserted():
                break
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    def _deserted(self) -> bool:
        """Whether who started the server has ended, which `run` has yet to see."""
        return any(file == sys.stdin.fileno() for file, _ in self._epoll.poll(0))


def become(client: socket.socket) -> list[str]:
    """In a fork, take over what belongs to the process that asked for it.

    Parameters
    ----------
    client : socket
        The connection to that process.

    Returns
    -------
    list of str
        The command line of the job.
    """
    message, files = _receive(client)
    request = json.loads(message)
    environment = request["environment"]
    python = os.path.realpath(sys.prefix)
    if request["python"] != python or _fixed(environment) != _fixed(os.environ):
        client.sendall(_NUMBER.pack(_REFUSED))
        os._exit(0)
    client.sendall(_NUMBER.pack(os.getpid()))
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(environment)
    arguments: list[str] = request["arguments"]
    sys.argv[1:] = arguments
    return arguments


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _FIXED.match(name)}


def serve(listener: int, do: Callable[[list[str]], int]) -> int:
    """Be the server until the process that started it ends; in a fork, do a job.

    Parameters
    ----------
    listener : int
        File descriptor of a listening socket.
    do : callable
        Does a job, given its command line, and returns its exit status.

    Returns
    -------
    int
        Exit status.
    """
    server = Server(socket.socket(fileno=listener))
    client = server.run()
    if client is None:
        return _end(0)
    arguments = become(client)
    before = set(sys.modules)
    status = do(arguments)
    if status == 0:
        new = [name for name in sys.modules if name not in before]
        server.report([name for name in new if _is_library(name)])
    return _end(status)


def _end(status: int) -> int:
    """End as Python does, except that memory is not freed: that takes time, and forks copy it.

    Returns the status if the output cannot be written, so that Python ends, and says so.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return status
    os._exit(status)


def _do(arguments: list[str]) -> int:
    from weakneg.command_line import main

    return main(arguments)


def _is_library(module: str) -> bool:
    return module.split(".")[0] in _LIBRARIES and "._" not in module


if __name__ == "__main__":
    sys.exit(serve(int(sys.argv[1]), _do))
