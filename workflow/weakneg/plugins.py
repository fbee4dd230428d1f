"""Plugins: the files of a folder that define a certain name, read without importing them.

Strategies, losses, data sets, models and figures are one file each, and a new file is found by
itself. What others need to know of them before they run is read from their sources, so that
checking a configuration imports nothing heavy. The folder's own `__init__` loads them.
"""

import ast
import difflib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from weakneg.errors import UserError


def names(folder: Path, defined: str) -> list[str]:
    """Names of the plugins of a folder.

    Parameters
    ----------
    folder : Path
        Folder of the files. Those whose names start with `_` are no plugins.
    defined : str
        Name of the function or variable that makes a file a plugin.

    Returns
    -------
    list of str
        The files' names without `.py`, in alphabetical order.
    """
    return sorted(path.stem for path in folder.glob("[!_]*.py") if defined in _defined(path))


def constant(folder: Path, plugin: str, name: str, default: Any = None) -> Any:
    """Value of a constant of a plugin, `default` where its file does not define it.

    Raises
    ------
    ValueError
        When the value is not a literal.
    """
    match _defined(folder / f"{plugin}.py").get(name):
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return ast.literal_eval(value)
    return default


def function(folder: Path, plugin: str, name: str) -> ast.FunctionDef:
    """Syntax tree of a function of a plugin, for its signature.

    Raises
    ------
    KeyError
        When the file defines no function of that name.
    """
    found = _defined(folder / f"{plugin}.py")[name]
    if not isinstance(found, ast.FunctionDef):
        raise KeyError(name)
    return found


def check_name(name: str, known: Collection[str], what: str) -> None:
    """Check that a plugin exists.

    Parameters
    ----------
    name : str
        Name to check.
    known : collection of str
        All names there are.
    what : str
        Kind of the plugin in the message, such as "strategy".

    Raises
    ------
    UserError
        When `name` is not among them; the message suggests the most similar name.
    """
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UserError(f"no {what} is called {name!r}: {hint}choose one of {', '.join(known)}.")


@cache
def _defined(path: Path) -> dict[str, ast.stmt]:
    """Name -> the statement that defines it, of the functions and variables of a file."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.Assign(targets=[ast.Name(name)])
                | ast.AnnAssign(target=ast.Name(name))
            ):
                found[name] = node
    return found
