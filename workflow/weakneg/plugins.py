"""Plugins: the files in a folder that define a certain name, read without importing them.

Strategies, losses, data sets, models and figures are one file each, and new files are found without
being registered. What must be known about them before they run is read from their sources, so that
checking a configuration imports nothing heavy. The `__init__` of each folder loads its plugins.
"""

import ast
import difflib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from weakneg.errors import UserError


def names(folder: Path, defined: str) -> list[str]:
    """Names of the plugins in a folder.

    Parameters
    ----------
    folder : Path
        Folder of the files. Files whose names start with `_` are not plugins.
    defined : str
        Name of the function or variable that makes a file a plugin.

    Returns
    -------
    list of str
        Names of the files without `.py`, in alphabetical order.
    """
    return sorted(path.stem for path in folder.glob("[!_]*.py") if defined in _defined(path))


def constant(folder: Path, plugin: str, name: str, default: Any = None) -> Any:
    """Value of a constant of a plugin.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin, name : str
        Name of the plugin and of the constant.
    default : object
        The value where the file does not define the constant.

    Returns
    -------
    object
        The value.

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
    """Syntax tree of a function of a plugin.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin, name : str
        Name of the plugin and of the function.

    Returns
    -------
    ast.FunctionDef
        The definition, with the signature.

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
        The names of all plugins.
    what : str
        Kind of plugin, for the message, such as "strategy".

    Raises
    ------
    UserError
        When `name` is unknown; the message suggests the most similar name.
    """
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise UserError(f"no {what} is called {name!r}: {hint}choose one of {', '.join(known)}.")


@cache
def _defined(path: Path) -> dict[str, ast.stmt]:
    """The statements that define the functions and variables of a file, by name."""
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
