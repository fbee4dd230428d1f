"""A server of jobs (see `weakneg.jobs.warm`) that notes what of the package a stage runs.

    traced_jobs.py <file descriptor of the socket> <file to add a line to>

The line is JSON: the arguments behind --code, and of every function that began after the stage's
own: its file and the line where it starts.
"""

import contextlib
import inspect
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from weakneg.jobs.warm import ONE_THREAD, serve

# Comprehensions of a module's own: they run when it is imported.
AT_IMPORT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


@contextlib.contextmanager
def traced_jobs(library: Path, traces: Path) -> Iterator[Path]:
    """A server for jobs of the library in a folder; gives its socket."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen()
        server = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), str(traces)],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | ONE_THREAD | {"PYTHONPATH": str(library)},
        )
        yield Path(folder) / "socket"
        server.communicate()


def main() -> None:
    listener, output = sys.argv[1:]
    sys.exit(serve(int(listener), lambda arguments: traced(arguments, output)))


def traced(arguments: list[str], output: str) -> int:
    from weakneg.command_line import main
    from weakneg.stages import entry as entry_of

    code = arguments[arguments.index("--code") + 1 :]
    module, _, entry = entry_of(code[1]).partition(":")
    file = module.replace(".", os.sep)  # of the stage, without its ending
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
        if is_function and "weakneg" in of.co_filename:
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
