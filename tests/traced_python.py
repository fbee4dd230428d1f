"""Stands in for `python` in the jobs of a workflow: notes what of the package a stage runs.

    traced_python.py <file to add a line to> -m weakneg <stage> ... --code <hash> <entry> ...

The line is JSON: the arguments behind --code, and of every function that began after the stage's
own: its file and the line where it starts.
"""

import inspect
import json
import runpy
import sys
import threading

OUTPUT, _, MODULE, *ARGUMENTS = sys.argv[1:]


def main() -> None:
    code = ARGUMENTS[ARGUMENTS.index("--code") + 1 :] if "--code" in ARGUMENTS else []
    sys.argv = [MODULE, *ARGUMENTS]
    if not code:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
        return
    entry = code[1].partition(":")[2]
    ran: set[tuple[str, int]] = set()

    def begins(frame, event, argument):
        of = frame.f_code
        is_function = of.co_flags & inspect.CO_OPTIMIZED  # and no body of a module or a class
        if is_function and "weakneg" in of.co_filename and (ran or of.co_qualname == entry):
            ran.add((of.co_filename, of.co_firstlineno))

    threading.settrace(begins)
    sys.settrace(begins)
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    finally:
        sys.settrace(None)
        with open(OUTPUT, "a", encoding="utf-8") as file:
            file.write(json.dumps({"code": code[1:], "ran": sorted(ran)}) + "\n")


if __name__ == "__main__":
    main()
