"""The stages of the workflow and the commands for people: functions, found by name.

A stage is a function in the file that does the work, decorated with `stage`. Its name is that of
its rule and of its command, `python -m weakneg <name>`; its parameters are the options, their
annotations the types, its docstring the help. A `command` is the same without a rule.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from weakneg.errors import UserError

_PACKAGE = Path(__file__).parent
_MARKED = re.compile(r"^@(stage|command)\ndef (\w+)\(", re.MULTILINE)

_Function = TypeVar("_Function", bound=Callable)


def stage(function: _Function) -> _Function:
    """Mark a function as a stage of the workflow."""
    return function


def command(function: _Function) -> _Function:
    """Mark a function as a command that is no part of the workflow."""
    return function


@cache
def entries() -> dict[str, tuple[str, str]]:
    """Name -> where the function is, "weakneg.training.run:train_run", and "stage" or "command".

    The sources are searched: importing them would take seconds.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        for kind, name in _MARKED.findall(path.read_text(encoding="utf-8")):
            parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
            module = ".".join(part for part in parts if part != "__init__")
            if name in found:
                raise TypeError(f"{found[name][0]} and {module}:{name} have the same name")
            found[name] = f"{module}:{name}", kind
    return found


def entry(name: str) -> str:
    """Where a stage or command is. Raises UserError when there is none of that name."""
    if name not in entries():
        raise UserError(f"there is no stage {name}: see `python -m weakneg --help`.")
    return entries()[name][0]
