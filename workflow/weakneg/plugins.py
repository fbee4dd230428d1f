"""Plugins: the files in a folder that define a certain name, read without importing them.

Strategies, losses, data sets, models and figures are one file each, and new files are found without
being registered. What must be known about them before they run is read from their sources, so that
checking a configuration imports nothing heavy. The `__init__` of each folder loads its plugins.

A strategy or a loss may also be a user's own file, anywhere: then its name, here and wherever a
plugin is named, is the path of that file, relative to the working directory and with `.py`.
"""

import ast
import difflib
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from weakneg.errors import UserError

_TYPES = {kind.__name__: kind for kind in (bool, int, float, str)}


@dataclass(frozen=True)
class Interval:
    """The numbers that an option may be.

    Attributes
    ----------
    kind : type
        int or float.
    low, high : int or float, optional
        The lowest and the highest; None: there is no limit.
    """

    kind: type
    low: float | None
    high: float | None

    def __contains__(self, value: Any) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        limits = {"at least": self.low, "at most": self.high}
        return " and ".join(f"{words} {n}" for words, n in limits.items() if n is not None)


class Option(NamedTuple):
    """An option of a plugin.

    Attributes
    ----------
    allowed : tuple, type or Interval
        The allowed values, or the type where any value of it is allowed.
    default : object
        The value where none is given.
    """

    allowed: tuple[object, ...] | type | Interval
    default: object


def names(folder: Path, defined: str) -> list[str]:
    """Names of the plugins in a folder.

    Parameters
    ----------
    folder : Path
        Folder of the files. Those whose names start with `_` or `.` are not plugins.
    defined : str
        Name of the function or variable that makes a file a plugin.

    Returns
    -------
    list of str
        Names of the files without `.py`, in alphabetical order.
    """
    return list(_names(folder, defined))


def is_own(plugin: object) -> bool:
    """Whether a plugin is a user's own file, outside the package."""
    return isinstance(plugin, str) and plugin.endswith(".py")


def stem(plugin: str) -> str:
    """The name of a plugin's file without folder and `.py`."""
    return Path(plugin).stem if is_own(plugin) else plugin


def load_own(plugin: str) -> ModuleType | None:
    """Load a plugin that is a user's own file.

    Parameters
    ----------
    plugin : str
        The plugin.

    Returns
    -------
    module, optional
        The same each time; None for a plugin of the package, which its folder loads.
    """
    return _own_module(Path(plugin).resolve()) if is_own(plugin) else None


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
    UserError
        When the value is not a literal.
    """
    match _defined(_file(folder, plugin)).get(name):
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            try:
                return ast.literal_eval(value)
            except ValueError:
                raise UserError(f"{name} of {plugin!r} must be a literal") from None
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
    found = _defined(_file(folder, plugin))[name]
    if not isinstance(found, ast.FunctionDef):
        raise KeyError(name)
    return found


def options(
    folder: Path, plugin: str, name: str, what: str, without_default: Mapping[str, Option] = {}
) -> dict[str, Option]:
    """The options of a plugin: the keyword-only arguments of its function.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin, name : str
        Name of the plugin and of the function.
    what : str
        Kind of plugin, for messages, such as "strategy".
    without_default : mapping of str to Option
        Annotations with a meaning of their own, of options without a default in the signature.

    Returns
    -------
    dict of str to Option
        The options by name, in the order of the signature.

    Raises
    ------
    UserError
        When an option has no default, or an annotation or a default that is not supported; when a
        user's own file cannot be a plugin.
    """
    if is_own(plugin):
        _check_own(folder, plugin, name, what)
    arguments = function(folder, plugin, name).args
    found = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        option = f"option {argument.arg!r} of {what} {plugin!r}"
        special = without_default.get(getattr(argument.annotation, "id", ""))
        if (default is None) != (special is not None):
            needs = "must have no" if default else "needs a"
            raise UserError(f"{option} {needs} default")
        if special:
            found[argument.arg] = special
            continue
        assert default is not None
        try:
            found[argument.arg] = Option(_allowed(argument, option), ast.literal_eval(default))
        except (TypeError, ValueError):
            raise UserError(f"{option} must have a literal default and literal limits") from None
    return found


def display_name(folder: Path, plugin: str, name: str) -> str:
    """The name of a plugin in tables and figures.

    Parameters
    ----------
    folder : Path
        Folder of the plugins.
    plugin : str
        The plugin.
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
    if shown and name == stem(plugin):
        return shown
    if shown and name.startswith(f"{stem(plugin)}_"):
        return f"{shown}, {name.removeprefix(f'{stem(plugin)}_').replace('_', ' ')}"
    return name


def check(folder: Path, plugin: str, defined: str, what: str) -> None:
    """Check that a plugin of the package exists; a user's own is checked by `options`.

    Parameters
    ----------
    folder : Path
        Folder of the plugins of the package.
    plugin : str
        Name of the plugin.
    defined : str
        Name of the function that makes a file a plugin.
    what : str
        Kind of plugin, for messages, such as "strategy".

    Raises
    ------
    UserError
        When there is no plugin of that name.
    """
    # Jobs call this, and they should not run again when the words about a user's own file change.
    if not is_own(plugin):
        check_name(plugin, _names(folder, defined), what)


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


def _file(folder: Path, plugin: str) -> Path:
    return Path(plugin).resolve() if is_own(plugin) else folder / f"{plugin}.py"


@cache  # a configuration asks for the same names many times
def _names(folder: Path, defined: str) -> tuple[str, ...]:
    return tuple(
        sorted(path.stem for path in folder.glob("[!._]*.py") if defined in _defined(path))
    )


@cache
def _own_module(path: Path) -> ModuleType:
    # Not by an importer of Python: it would leave a cache beside the study, and might load an
    # earlier version from that, since it tells versions apart by size and time only.
    module = ModuleType(str(path))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    return module


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


@cache
def _imported(path: Path) -> list[str]:
    """The top-level names of what a file imports, in order; relative ones begin with a dot."""
    found: list[str] = []
    for node in ast.walk(_tree(path)):
        match node:
            case ast.Import(names=aliases):
                found += [alias.name.split(".")[0] for alias in aliases]
            case ast.ImportFrom(module=module, level=level):
                found.append("." * level + (module or "").split(".")[0])
    return found


def _check_own(folder: Path, plugin: str, defined: str, what: str) -> None:
    """Raise a UserError if a user's own file cannot be a plugin; parameters as for `check`."""
    path = _file(folder, plugin)
    if not path.is_file():
        raise UserError(f"there is no file {plugin}")
    if stem(plugin) in _names(folder, defined):
        raise UserError(f"{plugin} has the name of a {what} of the library: rename the file")
    try:
        found = _defined(path).get(defined)
    except OSError as error:
        raise UserError(f"{plugin} cannot be read ({error.strerror})") from None
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        raise UserError(f"{plugin}{line}: {error.msg}") from None
    if not isinstance(found, ast.FunctionDef):
        raise UserError(f"{plugin} must define a function {defined!r}, as every {what} does")
    # Jobs would not find these files elsewhere, and the fingerprint does not see them.
    if neighbours := [name for name in _imported(path) if _is_beside(name, path)]:
        raise UserError(
            f"{plugin} imports {neighbours[0]!r} from a file beside it: a {what} must be one file"
        )


def _is_beside(name: str, path: Path) -> bool:
    """Whether an imported name is beside a file, or in the working directory, as jobs see it."""
    if name == __name__.split(".")[0]:
        return False
    return name.startswith(".") or any(
        (folder / f"{name}.py").is_file() or any((folder / name).glob("*.py"))
        for folder in (path.parent, Path.cwd())
    )


@cache
def _defined(path: Path) -> dict[str, ast.stmt]:
    """The statements that define the functions and variables of a file, by name."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(path).body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.Assign(targets=[ast.Name(name)])
                | ast.AnnAssign(target=ast.Name(name))
            ):
                found[name] = node
    return found


def _allowed(argument: ast.arg, option: str) -> tuple[object, ...] | type | Interval:
    match argument.annotation:
        case ast.Subscript(
            value=ast.Name(id="Annotated"),
            slice=ast.Tuple(elts=[ast.Name(id="float" | "int" as kind), limits]),
        ):
            return Interval(_TYPES[kind], *ast.literal_eval(limits))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple() as values):
            return tuple(ast.literal_eval(values))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
            return (ast.literal_eval(value),)
        case ast.Name(id=kind) if kind in _TYPES:
            return _TYPES[kind]
    raise UserError(
        f"{option} must be annotated with Literal[...], Annotated[...] or one of "
        f"{', '.join(_TYPES)}"
    )
