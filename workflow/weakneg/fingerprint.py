"""The fingerprint of a stage: a hash of all code that can change what the stage writes.

Snakemake sees neither imported modules nor packages. So each rule passes the fingerprint of its
stage as a parameter, and Snakemake runs the stage again when it changes. It is made of definitions
(functions, classes, assigned names), not of files, so that an edit of one function in a module that
many share reruns only what can call it. From the stage's own function it follows

- the names that a definition uses, to where they are defined, through imports and re-exports. A
  module that is used as a value, not by its attributes, counts as a whole; a class always does;
- into plugins (the strategy, model, data set that the job names): every name in them that occurs
  as an attribute or a string in what is reached;
- the statements of every imported module that are no definitions, since importing runs them;
- data files of the package that a string names, by their content;
- of packages outside, the versions of those that change results, as the lock file pins them. The
  installed versions are not asked: the same commit has the same fingerprint everywhere.

Comments, docstrings, formatting and type hints are no part of it, except hints that work at run
time: those of the fields of a class that has bases, such as a pydantic model.

Nothing is imported. What a module imports by a name made at run time cannot be seen, so it may only
load a plugin: `import_module(f"<package>.<folder>.{name}")`, or `f"{__name__}.{name}"` in the
`__init__` of a package. Any other is refused, and so is a stage that loads plugins and names none.
Nor is the effect seen of assigning for its own sake (`_ = register(f)`): write a call instead.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

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
    "soundfile": ("soundfile",),
    "torch": ("torch",),
    "torchaudio": ("torchaudio", "torch"),
    "torchvision": ("torchvision", "torch"),
}

_IMPORTERS = {"import_module", "__import__", "spec_from_file_location", "run_module", "run_path"}
_BODY = "<module>"  # what a module runs when it is imported, but for definitions
_DIGITS = 16


def fingerprint(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> str:
    """Hash of the code that the stage can reach, 16 hexadecimal digits.

    entry : the stage's function, such as "weakneg.bags:draw_bags", or a whole module
    plugins : modules that it loads by name, such as "weakneg.strategies.badge"
    package, lock : folder of the package, and lock file, in a form that pip reads

    Raises UserError when a module, a function or the lock file is missing, when a module imports
    what cannot be seen, or when plugins are loaded from a folder and none of it is named.
    """
    return _fingerprint(entry, tuple(plugins), package, lock)


def code_of_run(settings: Mapping) -> list[str]:
    """Entry and plugins of the stage that trains a run, for `fingerprint`.

    settings : what `weakneg.config.Study.run_settings` gives
    """
    code = [
        "weakneg.training.run:train_run",
        f"weakneg.models.{settings['model']['name']}",
        f"weakneg.strategies.{settings['strategy']}",
        f"weakneg.training.batches.{'augmented' if settings.get('augmentation') else 'plain'}",
    ]
    if settings["sampling"]["warmup_epochs"]:
        code.append("weakneg.strategies.random")
    return code


def explain(
    entry: str, plugins: Iterable[str] = (), *, package: Path = PACKAGE, lock: Path = LOCK
) -> dict[str, str]:
    """What the fingerprint is made of: "module:definition" -> hash, and package -> its pins."""
    reach = _Reach(package)
    reach.entry(entry)
    reach.plugins(tuple(plugins))
    parts = {
        f"{module.name}:{name}": module.definitions[name].hash
        for module, name in sorted(reach.found, key=lambda pair: (pair[0].name, pair[1]))
        if not module.definitions[name].is_empty
    }
    needed = {made for name in reach.outside for made in NUMBER_MAKERS.get(name, ())}
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


# ----------------------------------------------------------------------------- what is reached
class _Reach:
    """The definitions that can be reached, and the packages outside that they use."""

    def __init__(self, package: Path):
        self._package = package
        self.found: set[tuple[_Module, str]] = set()
        self.outside: set[str] = set()
        self._attributes: set[str] = set()
        self._plugin_folders: dict[str, _Definition] = {}
        self._asks_by_variable = False
        self._waiting: list[tuple[_Module, str]] = []

    def entry(self, entry: str) -> None:
        """Reach a function, "module:function", or all of a module."""
        name, _, function = entry.partition(":")
        module = _module(self._package, name)
        if function and function not in module.definitions:
            raise UserError(f"there is no {function} in {name}.")
        for each in [function] if function else module.definitions:
            self._reach(module, each)
        self._follow_all()

    def plugins(self, names: tuple[str, ...]) -> None:
        """Reach what of the plugins can be asked for, until nothing more is found."""
        modules = [_module(self._package, name) for name in names]
        for module in modules:
            self._run_body(module)
        before = -1
        while before != len(self.found):
            before = len(self.found)
            for module in modules:
                for name in (*module.definitions, *module.imports):
                    if self._asks_by_variable or name in self._attributes:
                        self._resolve(module, name)
            self._follow_all()
        for folder, definition in self._plugin_folders.items():
            if not any(name.startswith(f"{folder}.") for name in names):
                raise UserError(f"{definition.where}: name a plugin of {folder} that is loaded.")

    def _reach(self, module: "_Module", name: str) -> None:
        if (module, name) not in self.found:
            self.found.add((module, name))
            self._waiting.append((module, name))

    def _follow_all(self) -> None:
        while self._waiting:
            module, name = self._waiting.pop()
            self._run_body(module)
            definition = module.definitions[name]
            self._attributes |= definition.attributes
            self._asks_by_variable |= definition.asks_by_variable
            for folder in definition.plugin_folders:
                self._plugin_folders.setdefault(folder, definition)
            for imported in definition.imports.values():
                self._run_import(imported)
            for name, *attributes in definition.chains:
                if name in definition.imports:
                    self._follow(definition.imports[name], attributes)
                else:
                    self._resolve(module, name, *attributes)

    def _run_body(self, module: "_Module") -> None:
        """Importing a module runs what it says, and the packages around it and what it imports."""
        if (module, _BODY) in self.found:
            return
        for parent in _parents(module.name):
            self._run_body(_module(self._package, parent))
        self._reach(module, _BODY)
        for imported in module.imports.values():
            self._run_import(imported)

    def _run_import(self, imported: "_Import") -> None:
        if imported.inside:
            module = _module(self._package, imported.module)
            self._run_body(module)
            if imported.name == "*":
                self._reach_all(module)

    def _resolve(self, module: "_Module", name: str, *attributes: str) -> None:
        """Reach what a name of a module stands for; names of no module are built in or local."""
        if name in module.definitions:
            self._reach(module, name)
        elif name in module.imports:
            self._follow(module.imports[name], attributes)

    def _follow(self, imported: "_Import", attributes: Iterable[str]) -> None:
        if not imported.inside:
            self.outside.add(imported.module.split(".")[0])
            return
        module = _module(self._package, imported.module)
        attributes = [*filter(None, [imported.name]), *attributes]
        while attributes and _source(self._package, f"{module.name}.{attributes[0]}"):
            if attributes[0] in module.definitions:
                break
            module = _module(self._package, f"{module.name}.{attributes[0]}")
            self._run_body(module)
            attributes = attributes[1:]
        if not attributes or attributes[0] not in {*module.definitions, *module.imports}:
            self._reach_all(module)
        else:
            self._run_body(module)
            self._resolve(module, *attributes)

    def _reach_all(self, module: "_Module") -> None:
        for name in module.definitions:
            self._reach(module, name)
        for name in module.imports:
            self._resolve(module, name)


# ----------------------------------------------------------------------------- one module
class _Import(NamedTuple):
    """What an imported name stands for.

    module : where it is from; inside : whether that is in the package
    name : of what is taken out of the module; None where the name stands for the module
    """

    module: str
    name: str | None
    inside: bool


class _Module:
    """What the source of a module says.

    definitions : name -> its definition; `_BODY` -> what else the module runs
    imports : name -> what it stands for, of imports at the top
    """

    def __init__(self, package: Path, name: str):
        self.path = _source(package, name)
        if self.path is None:
            raise UserError(f"there is no module {name} in {package.name}.")
        self.name, self._package = name, package
        self._is_init = self.path.name == "__init__.py"
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            raise UserError(f"{self.path}, line {error.lineno}: {error.msg}.") from error
        without_hints = _WithoutHints()
        tree = without_hints.visit(tree)
        used = _names(tree)
        self._only_hints = without_hints.names - used
        self.imports: dict[str, _Import] = {}
        statements: dict[str, list[ast.stmt]] = {_BODY: []}
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound = self.bound(node)
                self.imports |= bound
                if bound and not used & set(bound):  # imported for its effect
                    statements[_BODY].append(node)
            else:
                for defined in _defined(node) or [_BODY]:
                    statements.setdefault(defined, []).append(node)
        self.definitions = {name: _Definition(self, nodes) for name, nodes in statements.items()}

    def bound(self, node: ast.Import | ast.ImportFrom) -> dict[str, _Import]:
        """Name -> what it stands for, without names that only hints use."""
        found = {}
        for alias in node.names:
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.split(".")[0]
                module, part = (alias.name if alias.asname else name), None
                if module.split(".")[0] == self._package.name and not alias.asname:
                    # `import a.b` binds a, and runs b.
                    found[f"<{alias.name}>"] = _Import(alias.name, None, True)
            else:
                name, module, part = alias.asname or alias.name, self._absolute(node), alias.name
            if name not in self._only_hints:
                inside = module.split(".")[0] == self._package.name
                found[name] = _Import(module, part, inside)
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module
        around = self.name.split(".")
        around = around[: len(around) - node.level + self._is_init]
        return ".".join([*around, *filter(None, [node.module])])

    def plugin_folder(self, call: ast.Call) -> str | None:
        """The folder that an import by name loads from; None when the call is none.

        Raises UserError when what it loads cannot be seen.
        """
        called = getattr(call.func, "id", getattr(call.func, "attr", None))
        if called not in _IMPORTERS:
            return None
        argument = call.args[0] if len(call.args) == 1 else None
        if isinstance(argument, ast.JoinedStr) and len(argument.values) in (2, 3):
            name = ast.unparse(argument)[2:-1]
            if self._is_init and re.fullmatch(r"\{__name__\}\.\{.+\}", name):
                return self.name
            if match := re.fullmatch(rf"({self._package.name}\.\w+)\.\{{.+\}}", name):
                return match[1]
        raise UserError(
            f"{self.path}, line {call.lineno}: an import by name hides what a stage depends on; "
            f'only a plugin may be loaded so, as import_module(f"{self._package.name}.strategies.'
            '{name}").'
        )


class _Definition:
    """A name that a module defines, or its `_BODY`.

    imports : name -> what it stands for, of imports inside
    chains : the names it uses, each with the attributes behind it: ("np", "linalg", "norm")
    attributes : all names that can be those of attributes of a plugin
    asks_by_variable : whether an attribute is asked for by a name that is no literal
    plugin_folders : from which plugins are loaded
    """

    def __init__(self, module: _Module, nodes: list[ast.stmt]):
        self._module, self._nodes = module, nodes
        self.is_empty = not nodes
        self.where = f"{module.path}, line {nodes[0].lineno}" if nodes else str(module.path)
        self.imports: dict[str, _Import] = {}
        self.chains = sorted(set(_chains(nodes)))
        self.attributes: set[str] = set()
        self._files: set[Path] = set()
        self.asks_by_variable = False
        self.plugin_folders: set[str] = set()
        for node in _walk(*nodes):
            if isinstance(node, ast.Attribute):
                self.attributes.add(node.attr)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= module.bound(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.isidentifier():
                    self.attributes.add(node.value)
                elif re.fullmatch(r"[\w-]+\.\w+", node.value):
                    self._files.add(module.path.parent / node.value)
            elif isinstance(node, ast.Call):
                if getattr(node.func, "id", None) in ("getattr", "hasattr", "vars"):
                    literal = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
                    self.asks_by_variable |= not literal
                if folder := module.plugin_folder(node):
                    self.plugin_folders.add(folder)

    @cached_property
    def hash(self) -> str:
        """Of the code, of what the imported names in it stand for, and of data files it names."""
        names = {chain[0] for chain in self.chains}
        bound = {
            name: imported
            for name, imported in (self._module.imports | self.imports).items()
            if name in names
        }
        files = [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self._files)
            if path.is_file() and path.suffix != ".py"
        ]
        return _hash(json.dumps([_canonical(self._nodes), sorted(bound.items()), files]))


@cache
def _module(package: Path, name: str) -> _Module:
    return _Module(package, name)


def _parents(name: str) -> list[str]:
    """The packages around a module; importing it runs their `__init__`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


@cache
def _source(package: Path, name: str) -> Path | None:
    top, *inside = name.split(".")
    path = package.joinpath(*inside)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if top == package.name and file.is_file():
            return file
    return None


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement does nothing else than define."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [] if node.name == "__getattr__" else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if isinstance(node, ast.AugAssign) or not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    names = []
    for target in targets:
        each = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(name, ast.Name) for name in each):
            return []
        names += [name.id for name in each]
    return names


# ----------------------------------------------------------------------------- syntax trees
class _WithoutHints(ast.NodeTransformer):
    """Takes out what never runs: type hints, and what `if TYPE_CHECKING:` holds.

    names : those in the hints that were taken out
    """

    def __init__(self):
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        checking = "TYPE_CHECKING" in (
            getattr(node.test, "id", None),
            getattr(node.test, "attr", None),
        )
        if checking:
            node.body = []
        self.generic_visit(node)
        return node.orelse if checking else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        # No hint is inside of an expression, and most of a tree is.
        return node if isinstance(node, ast.expr) else super().generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = self._take(node.annotation)
        return node

    def _function(self, node):
        node.returns = self._take(node.returns)
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        for statement in node.body:
            # A hint makes a field of a dataclass, and these hints unmake it.
            if isinstance(statement, ast.AnnAssign) and not (
                node.bases or _names(statement.annotation) & {"ClassVar", "InitVar", "KW_ONLY"}
            ):
                statement.annotation = self._take(statement.annotation)
        node.body = [
            each if isinstance(each, ast.AnnAssign) else self.visit(each) for each in node.body
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        self._take(node.annotation)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _take(self, hint: ast.expr | None) -> None:
        if hint is not None:
            self.names |= _names(hint) | _names_in_texts(hint)


def _children(node: ast.AST) -> list[ast.AST]:
    """As `ast.iter_child_nodes`, in a third of the time, without the contexts of names."""
    if isinstance(node, ast.Name | ast.Constant):
        return []
    found = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [each for each in value if isinstance(each, ast.AST)]
    return found


def _walk(*nodes: ast.AST) -> Iterator[ast.AST]:
    """The nodes and all below them, in any order."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        waiting += _children(node)
        yield node


def _chains(nodes: list[ast.stmt]) -> Iterator[tuple[str, ...]]:
    """The names that statements use, each with the attributes that are asked of it."""
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            yield (node.id, *attributes)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.isidentifier():  # a hint that works at run time, perhaps
                yield (node.value,)
        else:
            waiting += _children(node)


def _names(tree: ast.AST) -> set[str]:
    """Names that occur, those inside of hints written as strings included."""
    found = set()
    for node in _walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.AnnAssign) and node.annotation is not None:
            found |= _names_in_texts(node.annotation)
    return found


def _names_in_texts(hint: ast.expr) -> set[str]:
    texts = [part.value for part in _walk(hint) if isinstance(part, ast.Constant)]
    return {name for text in texts if isinstance(text, str) for name in re.findall(r"\w+", text)}


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
        return f"[{','.join(_canonical(each) for each in node if not _does_nothing(each))}]"
    return repr(node)


def _does_nothing(node: object) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass)
