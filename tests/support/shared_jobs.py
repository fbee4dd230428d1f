"""A server of jobs (see `weakneg.jobs.warm`) for the workflows of many workspaces.

The server that each Snakemake starts for itself has to import PyTorch and the other libraries
anew, which takes most of the time of a test's few small jobs.

    shared_jobs.py <file descriptor of the socket> [file to add a line to for each job]

The line is JSON: the arguments behind --code, and of every function that began after the stage's
own: its file and the line where it starts.
"""

import contextlib
import inspect
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

# Comprehensions of a module's own: they run when it is imported.
AT_IMPORT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


@contextlib.contextmanager
def shared_jobs(traces: Path | None = None) -> Iterator[str]:
    """A server; gives the folder of a `python` that asks it for jobs, to be first in PATH."""
    from weakneg.jobs import warm  # here, as forks of dry runs import this file, too

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(socket.SOMAXCONN)
        server = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), *([traces] if traces else [])],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | warm.ONE_THREAD,
        )
        python = Path(folder, "python")
        python.write_text(
            f'#!/bin/sh\n{warm.VARIABLE}={folder}/socket exec {shlex.quote(sys.executable)} "$@"\n'
        )
        python.chmod(0o755)
        yield folder
        server.communicate()


def main() -> None:
    from weakneg.jobs import warm

    listener, *traces = sys.argv[1:]
    # The forks differ in where they have the package from.
    warm._FIXED = re.compile(r"LD_|.*_THREADS$")
    sys.exit(warm.serve(int(listener), lambda arguments: do(arguments, *traces)))


def do(arguments: list[str], *traces: str) -> int:
    """Do a job with the package of the workspace that asks for it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "weakneg"]:
        del sys.modules[name]
    sys.path.insert(0, os.environ["PYTHONPATH"])
    from weakneg.command_line import main

    return traced(main, arguments, *traces) if traces else main(arguments)


def traced(main: Callable[[list[str]], int], arguments: list[str], output: str) -> int:
    from weakneg.stages import entry as entry_of

    code = arguments[arguments.index("--code") + 1 :]
    module, _, entry = entry_of(code[1]).partition(":")
    file = module.replace(".", os.sep)  # of the stage, without its ending
    package = os.path.join(os.environ["PYTHONPATH"], "weakneg", "")
    ran: set[tuple[str, int]] = set()
    seen = {}  # by identity, since the hash of code is that of all that it holds

    def begins(frame, event, argument):
        of = frame.f_code
        if id(of) in seen:
            return
        if not ran and not (of.co_qualname == entry and file in of.co_filename):
            return  # the stage has not begun
        seen[id(of)] = of
        is_function = of.co_flags & inspect.CO_OPTIMIZED  # and no body of a module or a class
        is_function = is_function and of.co_qualname not in AT_IMPORT
        is_function = is_function and of.co_filename.endswith(".py")  # and no template
        if is_function and of.co_filename.startswith(package):
            ran.add((of.co_filename, of.co_firstlineno))

    threading.settrace(begins)
    sys.settrace(begins)
    try:
        return main(arguments)
    finally:
        sys.settrace(None)
        with open(output, "a", encoding="utf-8") as file:
            file.write(json.dumps({"code": code[1:], "ran": sorted(ran)}) + "\n")


if __name__ == "__main__":
    main()
