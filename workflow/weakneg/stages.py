"""The stages of the workflow and the commands for users: functions, found by name.

A stage is a function in the file that does the work, decorated with `stage`. Its rule and its
command, `python -m weakneg <name>`, have the same name; its parameters are the options, their
annotations the types, and its docstring the help. A `command` is the same without a rule.
"""

import difflib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator

from weakneg.errors import UserError

_PACKAGE = Path(__file__).parent
_MARKED = re.compile(r"^@(stage|command)\ndef (\w+)\(", re.MULTILINE)

_Function = TypeVar("_Function", bound=Callable)


def _at_least_one(text: object) -> object:
    if isinstance(text, str) and not (text.isdecimal() and int(text) >= 1):
        raise ValueError(f"must be a whole number of at least 1, not {text!r}")
    return text


def _strategy_and_folder(text: object) -> object:
    if not isinstance(text, str):
        return text
    strategy, separator, folder = text.partition("=")
    if not separator:
        raise ValueError(f"must be STRATEGY=FOLDER, not {text!r}")
    return strategy, folder


Threads = Annotated[int, BeforeValidator(_at_least_one)]
"""CPU threads."""

StrategyRun = Annotated[tuple[str, Path], BeforeValidator(_strategy_and_folder)]
"""A strategy and the folder of its run, "badge=results/digits/runs/3/badge".

Strategies that choose the same bags share a folder.
"""


def stage(function: _Function) -> _Function:
    """Mark a function as a stage of the workflow."""
    return function


def command(function: _Function) -> _Function:
    """Mark a function as a command for users, without a rule."""
    return function


@cache
def entries() -> dict[str, tuple[str, str]]:
    """Find all stages and commands by searching the sources; importing them would take seconds.

    Returns
    -------
    dict of str to (str, str)
        For each name the place of the function, "weakneg.training.run:train_run", and its kind,
        "stage" or "command".

    Raises
    ------
    TypeError
        When two functions have the same name.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(_PACKAGE.rglob("[!.]*.py")):
        for kind, name in _MARKED.findall(path.read_text(encoding="utf-8")):
            parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
            module = ".".join(part for part in parts if part != "__init__")
            if name in found:
                raise TypeError(f"{found[name][0]} and {module}:{name} have the same name")
            found[name] = f"{module}:{name}", kind
    return found


def entry(name: str) -> str:
    """The place of a stage or command, as in `entries`. Raises UserError if it does not exist."""
    if name not in entries():
        near = difflib.get_close_matches(name, entries(), n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"{name!r} is not a stage: {guess}`python -m weakneg --help` lists all.")
    return entries()[name][0]
