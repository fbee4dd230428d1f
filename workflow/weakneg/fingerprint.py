"""The fingerprint of a stage: a hash of all code that can change what the stage writes.

Snakemake sees neither imported modules nor packages. So each rule passes the fingerprint of its
entry module as a parameter, and Snakemake runs the stage again when it changes. It covers

- the entry module and the plugin files that the job names (its strategy, its model, ...), and
  every module of the package that these import, directly or not, anywhere in them; imports under
  `if TYPE_CHECKING:` do not count, nor does what only documents: comments, docstrings, formatting
  and type hints are no part of the hash;
- of the packages outside that these modules import, the versions of those that change results,
  as the lock file pins them. The installed versions are not asked: the same commit has the same
  fingerprint everywhere.

Nothing is imported. What a module imports by a name made at run time cannot be seen, so it may only
load a plugin: `import_module(f"<package>.<folder>.{name}")`, or `f"{__name__}.{name}"` in the
`__init__` of a package. Any other is refused. The caller names the plugin that a job loads.
"""

import ast
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from weakneg.errors import UserError

PACKAGE = Path(__file__).resolve().parent
LOCK = PACKAGE.parent.parent / "envs" / "requirements.txt"

# Imported name -> packages whose versions change results, those that it computes with included.
# pandas, pyarrow, h5py and pydantic are not there: they carry numbers and do not make them.
NUMBER_MAKERS = {
    "matplotlib": ("matplotlib",),
    "numpy": ("numpy",),
    "scipy": ("scipy", "numpy"),
    "sklearn": ("scikit-learn", "scipy", "numpy"),
    "torch": ("torch",),
    "torchaudio": ("torchaudio", "torch"),
    "torchvision": ("torchvision", "torch"),
}

_IMPORTERS = {"import_module", "__import__", "spec_from_file_location", "run_module", "run_path"}
_DIGITS = 16


def fingerprint(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> str:
    """Hash of the code that the stage can reach, 16 hexadecimal digits.

    entry : the stage's module, such as "weakneg.evaluation"
    plugins : modules that it loads by name, such as "weakneg.strategies.badge"
    package, lock : folder of the package, and lock file, in a form that pip reads

    Raises UserError when a module or the lock file is missing, or a module imports what cannot be
    seen.
    """
    return _fingerprint(entry, tuple(plugins), package, lock)


def modules_of_run(settings: Mapping) -> list[str]:
    """Entry module and plugins of the stage that trains a run, for `fingerprint`.

    settings : what `weakneg.config.Study.run_settings` gives
    """
    modules = [
        "weakneg.training.run",
        f"weakneg.models.{settings['model']['name']}",
        f"weakneg.strategies.{settings['strategy']}",
    ]
    if settings["sampling"]["warmup_epochs"]:
        modules.append("weakneg.strategies.random")
    return modules


def explain(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> dict[str, str]:
    """What the fingerprint is made of: module -> hash, and package -> its pins."""
    reached: dict[str, _Module] = {}
    waiting = [entry, *plugins]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = _module(package, name)
            waiting += reached[name].imports
    parts = {name: module.hash for name, module in sorted(reached.items())}
    outside = set().union(*(module.outside for module in reached.values()))
    needed = {made for name in outside for made in NUMBER_MAKERS.get(name, ())}
    pins = _pins(lock)
    return parts | {name: pins.get(name, "not pinned") for name in sorted(needed)}


@cache
def _fingerprint(entry: str, plugins: tuple[str, ...], package: Path, lock: Path) -> str:
    return _hash(json.dumps(explain(entry, plugins, package=package, lock=lock), sort_keys=True))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


@cache
def _pins(lock: Path) -> dict[str, str]:
    """Package -> `name==version ; marker`, joined where there is one for each Python version."""
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


# ----------------------------------------------------------------------------- one module
class _Module:
    """What the source of a module says.

    hash : of its code
    imports : modules of the package that it imports, and the packages around it
    outside : top-level names of other imports
    """

    def __init__(self, package: Path, name: str):
        path = _source(package, name)
        if path is None:
            raise UserError(f"there is no module {name} in {package.name}.")
        self._package, self._name = package, name
        self._is_init = path.name == "__init__.py"
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno}: {error.msg}.") from error
        tree = _WithoutTypeChecking().visit(tree)
        self.imports: set[str] = set(_parents(name))
        self.outside: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._add(alias.name)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                self._add(base)
                for alias in node.names:
                    if base.split(".")[0] == package.name and _source(
                        package, f"{base}.{alias.name}"
                    ):
                        self._add(f"{base}.{alias.name}")
            elif isinstance(node, ast.Call) and not self._is_allowed(node):
                raise UserError(
                    f"{path}, line {node.lineno}: an import by name hides what a stage depends "
                    'on; only a plugin may be loaded so, as import_module(f"'
                    f'{package.name}.strategies.{{name}}").'
                )
        self.hash = _hash(_canonical(_bare(tree)))

    def _add(self, name: str) -> None:
        if name.split(".")[0] == self._package.name:
            self.imports.add(name)
        else:
            self.outside.add(name.split(".")[0])

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module
        around = self._name.split(".")
        around = around[: len(around) - node.level + self._is_init]
        return ".".join([*around, *filter(None, [node.module])])

    def _is_allowed(self, call: ast.Call) -> bool:
        called = getattr(call.func, "id", getattr(call.func, "attr", None))
        if called not in _IMPORTERS:
            return True
        argument = call.args[0] if len(call.args) == 1 else None
        if isinstance(argument, ast.JoinedStr) and len(argument.values) in (2, 3):
            name = ast.unparse(argument)[2:-1]
            own = self._is_init and re.fullmatch(r"\{__name__\}\.\{.+\}", name)
            return bool(own or re.fullmatch(rf"{self._package.name}\.\w+\.\{{.+\}}", name))
        return False


@cache
def _module(package: Path, name: str) -> _Module:
    return _Module(package, name)


def _parents(name: str) -> list[str]:
    """The packages around a module; importing it runs their `__init__`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _source(package: Path, name: str) -> Path | None:
    top, *inside = name.split(".")
    path = package.joinpath(*inside)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if top == package.name and file.is_file():
            return file
    return None


# ----------------------------------------------------------------------------- the bare syntax tree
class _WithoutTypeChecking(ast.NodeTransformer):
    """`if TYPE_CHECKING:` never runs; what its `else` holds always does."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        name = getattr(node.test, "id", getattr(node.test, "attr", None))
        return node.orelse if name == "TYPE_CHECKING" else node


class _WithoutHints(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def _function(self, node):
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        for statement in node.body:
            # A hint makes a field of a dataclass, and these hints unmake it.
            if isinstance(statement, ast.AnnAssign) and not (
                _names(statement.annotation) & {"ClassVar", "InitVar", "KW_ONLY"}
            ):
                statement.annotation = None
        node.body = [
            each if isinstance(each, ast.AnnAssign) else self.visit(each) for each in node.body
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        return ast.Assign([node.target], node.value) if node.value else None


def _bare(tree: ast.Module) -> ast.Module:
    """The tree without hints, and without the imports that only hints use."""
    before = _names(tree)
    tree = _WithoutHints().visit(tree)
    only_hints = before - _names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [
                alias
                for alias in node.names
                if (alias.asname or alias.name.split(".")[0]) not in only_hints
            ]
    return tree


def _names(tree: ast.AST) -> set[str]:
    """Names that occur, those inside of hints written as strings included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            for part in ast.walk(hint) if isinstance(hint, ast.AST) else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    found.update(re.findall(r"\w+", part.value))
    return found


def _canonical(node: object) -> str:
    """One text for a tree, the same for every version of Python (`ast.dump` is not)."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={text}"
            for name, value in ast.iter_fields(node)
            if name not in ("ctx", "kind", "type_comment", "type_params", "type_ignores")
            and (text := _canonical(value)) not in ("None", "[]")
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(_elements(node))}]"
    return repr(node)


def _elements(nodes: list) -> Iterator[str]:
    """The texts of a list, without statements that do nothing, and neighbouring imports sorted."""
    kept = [
        node
        for node in nodes
        if not isinstance(node, ast.Pass)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    for imports, group in itertools.groupby(
        kept, lambda node: isinstance(node, ast.Import | ast.ImportFrom)
    ):
        if not imports:
            yield from map(_canonical, group)
            continue
        yield from sorted(
            {
                f"import {getattr(node, 'level', 0)} {getattr(node, 'module', '')} {alias.name} "
                f"{alias.asname}"
                for node in group
                for alias in node.names
            }
        )
