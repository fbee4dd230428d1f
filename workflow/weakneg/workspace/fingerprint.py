"""The fingerprint of a stage: a hash of all code that can change what the stage writes.

Snakemake sees neither imported modules nor packages. Each rule therefore passes the fingerprint of
its stage as a parameter, and Snakemake runs the stage again when it changes. The fingerprint is
made of definitions (functions, classes, assigned names), not of files: editing one function of a
shared module reruns only the stages that can call it, and moving a definition, renaming or
splitting a module, or importing in another way reruns nothing. It consists of

- the stage's function and, recursively, the definitions of all names used, through imports and
  re-exports. A module that is used as a value, not by its attributes, counts as a whole, and so
  does every class;
- in plugins (the strategy, model or data set that the job names): every name that occurs as an
  attribute or a string in the code reached. An instance that a plugin makes with keywords, such as
  a data set, counts keyword by keyword in the same way;
- the statements of every imported module that are not definitions, since importing runs them;
- data files of the package that a string names, by their content;
- the versions of those outside packages that affect results, as pinned in the lock file. The
  installed versions do not count: the same commit has the same fingerprint everywhere.

Comments, docstrings, formatting and type hints do not count, except hints that are used at run
time: those of the fields of a class that has bases, such as a pydantic model. References count by
the content of the definition, not by its name or module, so two definitions with the same name are
not confused.

The effect of an assignment to an unused name (`_ = register(f)`) is not seen: write a call instead.

All fingerprints of a study take a second, so a workflow keeps them in `KEPT` for those after it, as
long as no source changes.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole
from weakneg.plugins import is_own
from weakneg.workspace.source_code import (
    BODY,
    Definition,
    Import,
    Module,
    Target,
    hash_of,
    module_of,
    parents,
)

PACKAGE = Path(__file__).resolve().parent.parent
LOCK = PACKAGE.parent.parent / "envs" / "requirements.txt"
SOURCES = "WEAKNEG_SOURCES"
"""Environment variable of jobs with the `digest_of_sources` when the workflow started."""

KEPT = Path(".snakemake/fingerprints.json")
"""The fingerprints of an earlier workflow, and what they were made from."""

# Imported name -> packages whose versions affect results, including those that it computes with.
# pandas, pyarrow, h5py and pydantic are left out: they store numbers but do not compute them.
NUMBER_MAKERS = {
    "altair": ("altair",),
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
    "onnxruntime": ("onnxruntime", "numpy"),
    "scipy": ("scipy", "numpy"),
    "sklearn": ("scikit-learn", "scipy", "numpy"),
    "soundfile": ("soundfile",),
    "torch": ("torch",),
    "torchaudio": ("torchaudio", "torch"),
    "torchvision": ("torchvision", "torch"),
    "vl_convert": ("vl-convert-python",),
}


def fingerprint(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> str:
    """Hash of the code that a stage can reach.

    Parameters
    ----------
    entry : str
        The stage's function, such as "weakneg.bags.draw:draw_bags", or a whole module.
    plugins : iterable of str
        Modules that it loads by name, as folder and file: "strategies.badge", or, for a user's own,
        folder and path: "strategies.study/mine.py".
    package, lock : Path
        Folder of the package, and lock file in pip's format.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    UserError
        When a module, a function or the lock file is missing, when an import cannot be resolved, or
        when a folder of plugins is used but no plugin of it is named.
    """
    names = tuple(plugins)
    if (package, lock) != (PACKAGE, LOCK) or any(map(is_own, names)):
        return _fingerprint(entry, names, package, lock)
    _, known = _kept()
    key = " ".join([entry, *names])
    if key not in known:
        known[key] = _fingerprint(entry, names, package, lock)
    return known[key]


def keep() -> None:
    """Keep the fingerprints of this process for those that start after it."""
    made_from, known = _kept()
    # Not if a source was edited meanwhile, perhaps before it was read.
    if KEPT.parent.is_dir() and made_from == _sources():
        with suppress(OSError, UserError), replace_when_whole(KEPT) as path:
            path.write_text(json.dumps({"made_from": made_from, "fingerprints": known}))


@cache
def _kept() -> tuple[list[str], dict[str, str]]:
    """What fingerprints are made from now, and those that are known."""
    made_from = _sources()
    try:
        kept = json.loads(KEPT.read_bytes())
        known = kept["fingerprints"] if kept["made_from"] == made_from else {}
        return made_from, {str(key): str(value) for key, value in known.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return made_from, {}


def _sources() -> list[str]:
    return [digest_of_sources(), sys.version]


def explain(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> dict[str, str]:
    """The parts of a fingerprint.

    Parameters
    ----------
    entry, plugins, package, lock
        As for `fingerprint`.

    Returns
    -------
    dict
        "module:definition" -> hash, and package -> its pinned versions.
    """
    reach = _reach(entry, tuple(plugins), package)
    parts = {
        f"{each.module.name}:{each.name}": hash_of(each.text)
        for each in reach.found
        if isinstance(each, Definition) and not each.is_empty
    }
    return dict(sorted(parts.items())) | reach.pins(lock)


def digest_of_sources(package: Path = PACKAGE, lock: Path = LOCK) -> str:
    """Hash of all files that a fingerprint depends on, but for plugins of the user's own.

    While it stays the same, so does every fingerprint; it takes a thirtieth of the time of one.

    Parameters
    ----------
    package, lock : Path
        As for `fingerprint`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    found = [lock.read_bytes()] if lock.is_file() else []
    for folder, inside, names in os.walk(package):
        inside[:] = sorted({*inside} - {"__pycache__"})
        # Editors leave hidden files and links, which may lead nowhere.
        for name in sorted(name for name in names if not name.startswith(".")):
            file = Path(folder, name)
            found += [str(file.relative_to(package)).encode(), file.read_bytes()]
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in found)).hexdigest()


@cache
def _fingerprint(entry: str, plugins: tuple[str, ...], package: Path, lock: Path) -> str:
    reach = _reach(entry, plugins, package)
    bodies = sorted(_graph(body) for body in reach.bodies if not body.is_empty)
    roots = [_graph(root) for root in reach.roots]
    return hash_of([roots, reach.asked, bodies, reach.pins(lock)])


@cache
def _graph(root: Target) -> str:
    """Hash of a target and everything it reaches, numbered in the order of use, without names."""
    numbers: dict[Target, int] = {root: 0}
    waiting, found = [root], []
    for each in waiting:  # grows
        for target in each.targets:
            if target not in numbers:
                numbers[target] = len(numbers)
                waiting.append(target)
        found.append([_text_hash(each), *(numbers[target] for target in each.targets)])
    return hash_of(found)


@cache
def _text_hash(target: Target) -> str:
    return hash_of(target.text)


@cache
def _pins(lock: Path) -> dict[str, str]:
    """Package -> `name==version ; marker`, joined if there are several for Python versions."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{lock} cannot be read ({error.strerror}): run `make lock`.") from error
    found: dict[str, list[str]] = {}
    for line in lines:
        if match := re.match(r"([A-Za-z0-9._-]+)==[^\\#]*", line):
            name = re.sub("[-_.]+", "-", match[1]).lower()
            found.setdefault(name, []).append(" ".join(match[0].split()))
    return {name: "; ".join(sorted(pins)) for name, pins in found.items()}


# ----------------------------------------------------------------------------- code reached
@cache
def _reach(entry: str, plugins: tuple[str, ...], package: Path) -> "_Reach":
    return _Reach(entry, plugins, package)


@cache
def _folders(package: Path) -> dict[str, str]:
    """Name of a folder with modules -> its package."""
    return {
        folder.parent.name: ".".join(folder.parent.relative_to(package.parent).parts)
        for folder in package.glob("**/__init__.py")
    }


def plugin_module(plugin: str, package: Path = PACKAGE) -> Module:
    """The module of a plugin such as "strategies.badge". Raises UserError if there is none."""
    folder, _, name = plugin.partition(".")
    if is_own(name):
        return module_of(package, name)
    return module_of(package, f"{_folders(package).get(folder, folder)}.{name}")


class _Reach:
    """The definitions that a stage can reach, and the outside packages that they use.

    Attributes
    ----------
    roots : list of Definition
        The stage's function, or all definitions of a module.
    found : dict
        Everything reached, in order; values are None.
    bodies : dict
        Bodies of the imported modules; values are None.
    asked : dict
        Plugin -> name in it that is used -> hash of that and everything it reaches.
    """

    def __init__(self, entry: str, plugins: tuple[str, ...], package: Path):
        self._package = package
        self.found: dict[Target, None] = {}
        self.bodies: dict[Definition, None] = {}
        self._attributes: set[str] = set()
        self._plugin_folders: dict[str, Definition] = {}
        self._asks_by_variable = False
        name, _, function = entry.partition(":")
        module = module_of(package, name)
        if function and function not in module.definitions:
            raise UserError(f"there is no {function} in {name}.")
        names = [function] if function else sorted(module.definitions)
        self.roots = [module.definitions[each] for each in names]
        for root in self.roots:
            self._reach(root)
        self.asked: dict[str, dict[str, str]] = {plugin: {} for plugin in plugins}
        self._reach_plugins({plugin: plugin_module(plugin, package) for plugin in plugins})
        for folder, definition in self._plugin_folders.items():
            if not any(p.startswith(f"{folder.rpartition('.')[2]}.") for p in plugins):
                raise UserError(f"{definition.where}: name a plugin of {folder} that is loaded.")

    def pins(self, lock: Path) -> dict[str, str]:
        """Package -> its pins, for packages that compute numbers."""
        outside = set().union(*(d.outside for d in self.found if isinstance(d, Definition)))
        needed = {made for name in outside for made in NUMBER_MAKERS.get(name, ())}
        pins = _pins(lock)
        return {name: pins.get(name, "not pinned") for name in sorted(needed)}

    def _reach_plugins(self, modules: dict[str, Module]) -> None:
        """Reach the names in plugins that can be used, until nothing more is found."""
        for module in modules.values():
            for each in self._run(module):
                self._reach(each)
        before = -1
        while before != len(self.found):
            before = len(self.found)
            for plugin, module in modules.items():
                for name in sorted({*module.definitions, *module.imports}):
                    target, _ = module.resolve(name)
                    if self._asks_for(name) and name != BODY and isinstance(target, Target):
                        self._ask(plugin, name, target)

    def _asks_for(self, name: str) -> bool:
        return self._asks_by_variable or name in self._attributes

    def _ask(self, plugin: str, name: str, target: Target) -> None:
        """Reach a name of a plugin; of an instance made with keywords, those that are used."""
        asked: dict[str, Target] = {name: target}
        if isinstance(target, Definition) and target.parts:
            asked = {name: target.without_parts}
            asked |= {
                f"{name}.{key}": part for key, part in target.parts.items() if self._asks_for(key)
            }
        for key, each in asked.items():
            if key not in self.asked[plugin]:
                self.asked[plugin][key] = _graph(each)
                self._reach(each)

    def _reach(self, target: Target) -> None:
        waiting = [target]
        while waiting:
            each = waiting.pop()
            if each in self.found:
                continue
            self.found[each] = None
            waiting += each.targets
            if isinstance(each, Module):
                waiting += self._run(each)
                continue
            waiting += self._run(each.module)
            self._attributes |= each.attributes
            self._asks_by_variable |= each.asks_by_variable
            for folder in each.plugin_folders:
                self._plugin_folders.setdefault(folder, each)
            for imported in each.imports.values():
                waiting += self._run_import(imported)

    def _run(self, module: Module) -> list[Target]:
        """Run a module as an import does: its body, those of its parent packages, its imports.

        Returns the targets reached, to be followed.
        """
        body = module.definitions[BODY]
        if body in self.bodies:
            return []
        self.bodies[body] = None
        found: list[Target] = [body]
        for parent in parents(module.name):
            found += self._run(module_of(self._package, parent))
        for imported in module.imports.values():
            found += self._run_import(imported)
        return found

    def _run_import(self, imported: Import) -> list[Target]:
        if not imported.inside:
            return []
        module = module_of(self._package, imported.module)
        target, _ = module.follow(imported)
        found = self._run(module)
        if isinstance(target, Module):
            found += self._run(target)
        return found
