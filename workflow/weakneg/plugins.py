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
from typing import Any, NamedTuple

from weakneg.errors import UserError

_TYPES = {kind.__name__: kind for kind in (bool, int, float, str)}


class Option(NamedTuple):
    """An option of a plugin.

    Attributes
    ----------
    allowed : tuple or type
        The allowed values, or the type where any value of it is allowed.
    default : object
        The value where none is given.
    """

    allowed: tuple[object, ...] | type
    default: object


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


def options(folder: Path, plugin: str, name: str, what: str) -> dict[str, Option]:
    """The options of a plugin: the keyword-only arguments of its function.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin, name : str
        Name of the plugin and of the function.
    what : str
        Kind of plugin, for messages, such as "strategy".

    Returns
    -------
    dict of str to Option
        The options by name, in the order of the signature.

    Raises
    ------
    TypeError
        When an option has no default, or an annotation that is not supported.
    """
    arguments = function(folder, plugin, name).args
    found = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        option = f"option {argument.arg!r} of {what} {plugin!r}"
        if default is None:
            raise TypeError(f"{option} needs a default")
        found[argument.arg] = Option(_allowed(argument, option), ast.literal_eval(default))
    return found


def display_name(folder: Path, plugin: str, name: str) -> str:
    """The name of a plugin in tables and figures.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin : str
        Name of the plugin's file.
    name : str
        Name of the plugin in the study.

    Returns
    -------
    str
        The `DISPLAY_NAME` of the file, such as "BADGE"; for a variant such as badge_known, "BADGE,
        known". Any other name is returned as it is, and so is every name where the file has no
        `DISPLAY_NAME`.
    """
    shown: str | None = constant(folder, plugin, "DISPLAY_NAME")
    if shown and name == plugin:
        return shown
    if shown and name.startswith(f"{plugin}_"):
        return f"{shown}, {name.removeprefix(f'{plugin}_').replace('_', ' ')}"
    return name


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


def _allowed(argument: ast.arg, option: str) -> tuple[object, ...] | type:
    match argument.annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple() as values):
            return tuple(ast.literal_eval(values))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
            return (ast.literal_eval(value),)
        case ast.Name(id=kind) if kind in _TYPES:
            return _TYPES[kind]
    raise TypeError(f"{option} must be annotated with Literal[...] or one of {', '.join(_TYPES)}")
