"""Stands in for `python` in the jobs of a workflow: notes what of the package a stage runs.

    traced_python.py <file to add a line to> -m weakneg <stage> ... --code <hash> <stage> ...

The line is JSON: the arguments behind --code, and of every function that began after the stage's
own: its file and the line where it starts.
"""

import inspect
import json
import os
import runpy
import sys
import threading

# Comprehensions of a module's own: they run when it is imported.
AT_IMPORT = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
OUTPUT, _, MODULE, *ARGUMENTS = sys.argv[1:]


def main() -> None:
    code = ARGUMENTS[ARGUMENTS.index("--code") + 1 :] if "--code" in ARGUMENTS else []
    sys.argv = [MODULE, *ARGUMENTS]
    os.environ.pop("WEAKNEG_WARM", None)  # a fork would not be traced
    if not code:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
        return
    from weakneg.stages import entry as entry_of  # as the job itself will

    module, _, entry = entry_of(code[1]).partition(":")
    file = module.replace(".", os.sep)  # of the stage, without its ending
    ran: set[tuple[str, int]] = set()

    def begins(frame, event, argument):
        of = frame.f_code
        is_function = of.co_flags & inspect.CO_OPTIMIZED  # and no body of a module or a class
        is_function = is_function and of.co_qualname not in AT_IMPORT
        begun = ran or (of.co_qualname == entry and file in of.co_filename)
        if is_function and begun and "weakneg" in of.co_filename:
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
