"""The sources of a package as a graph of definitions, wherever these stand.

A definition is a function, a class or an assigned name at the top of a module; `BODY` is what else
the module runs when it is imported. Each has a text without comments, docstrings, formatting and
type hints, in which a name from elsewhere is no name but an edge of the graph. So the text is the
same wherever a definition stands and however what it uses was imported.

Nothing is imported. What a module imports by a name made at run time cannot be seen, so it may only
load a plugin: `import_module(f"{__name__}.{name}")` in the `__init__` of the plugins' package.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple, Union

from weakneg.errors import UserError

BODY = "<module>"
DIGITS = 16

_IMPORTERS = {"import_module", "__import__", "spec_from_file_location", "run_module", "run_path"}


def hash_of(content: object) -> str:
    """Hash of what JSON can hold, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:DIGITS]


class Outside(NamedTuple):
    """What a name stands for that is from another package, such as "numpy.linalg.norm"."""

    path: str


class Import(NamedTuple):
    """What an imported name stands for.

    module : where it is from; inside : whether that is in the package
    name : what is taken out of the module; None where the name stands for the module
    """

    module: str
    name: str | None
    inside: bool


class Module:
    """What the source of a module says. As a target: all that it defines or imports.

    definitions : name -> its definition
    imports : name -> what it stands for, from imports at the top
    """

    def __init__(self, package: Path, name: str):
        path = source(package, name)
        if path is None:
            raise UserError(f"there is no module {name} in {package.name}.")
        self.path, self.name, self.package = path, name, package
        self.is_package = path.name == "__init__.py"
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno}: {error.msg}.") from error
        without_hints = _WithoutHints()
        tree = without_hints.visit(tree)
        used = _names(tree)
        self._only_hints = without_hints.names - used
        self.imports: dict[str, Import] = {}
        statements: dict[str, list[ast.stmt]] = {BODY: []}
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound = self.bound(node)
                self.imports |= bound
                if bound and not used & set(bound):  # imported for its effect
                    statements[BODY].append(node)
            else:
                for defined in _defined(node) or [BODY]:
                    statements.setdefault(defined, []).append(node)
        self.definitions = {
            name: Definition(self, name, nodes) for name, nodes in statements.items()
        }

    @cached_property
    def text(self) -> str:
        return json.dumps(sorted(map(str, self._members)))

    @cached_property
    def targets(self) -> list["Target"]:
        return [target for _, target in sorted(self._members.items()) if target is not None]

    @cached_property
    def _members(self) -> dict[str, Union["Target", None]]:
        """Name -> what it stands for; name and path of what is from outside -> None."""
        found: dict[str, Target | None] = dict(self.definitions)
        for name in self.imports:
            target, _ = self.resolve(name)
            if isinstance(target, Outside):
                found[f"{name} {target.path}"] = None
            else:
                found[name] = target
        return found

    def bound(self, node: ast.Import | ast.ImportFrom) -> dict[str, Import]:
        """Name -> what it stands for, without names that only hints use."""
        found = {}
        for alias in node.names:
            part: str | None
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.split(".")[0]
                module, part = (alias.name if alias.asname else name), None
                if module.split(".")[0] == self.package.name and not alias.asname:
                    # `import a.b` binds a, and runs b.
                    found[f"<{alias.name}>"] = Import(alias.name, None, True)
            else:
                name, module, part = alias.asname or alias.name, self._absolute(node), alias.name
            if name not in self._only_hints:
                found[name] = Import(module, part, module.split(".")[0] == self.package.name)
        return found

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        around = self.name.split(".")
        around = around[: len(around) - node.level + self.is_package]
        return ".".join([*around, *filter(None, [node.module])])

    def resolve(self, name: str, *attributes: str) -> tuple["Target | Outside", list[str]]:
        """What a name of this module and attributes stand for, and the attributes left over."""
        if name in self.definitions:
            return self.definitions[name], list(attributes)
        return self.follow(self.imports[name], *attributes)

    def follow(self, imported: Import, *attributes: str) -> tuple["Target | Outside", list[str]]:
        """As `resolve`, of what was imported. A module stands for all of it if nothing is left."""
        if not imported.inside:
            return Outside(".".join(filter(None, [*imported[:2], *attributes]))), []
        module = module_of(self.package, imported.module)
        left = [*filter(None, [imported.name]), *attributes]
        while left and source(self.package, f"{module.name}.{left[0]}"):
            if left[0] in module.definitions:
                break
            module = module_of(self.package, f"{module.name}.{left[0]}")
            left = left[1:]
        if left and (left[0] in module.definitions or left[0] in module.imports):
            return module.resolve(*left)
        return module, left

    def plugin_folder(self, call: ast.Call) -> str | None:
        """The package that an import by name loads from; None where the call is not one.

        Raises UserError when what it loads cannot be seen.
        """
        called = getattr(call.func, "id", getattr(call.func, "attr", None))
        if called not in _IMPORTERS:
            return None
        argument = call.args[0] if len(call.args) == 1 else None
        if isinstance(argument, ast.JoinedStr) and len(argument.values) == 3 and self.is_package:
            written = ast.unparse(argument)[2:-1]
            if re.fullmatch(r"\{__name__\}\.\{.+\}", written):
                return self.name
        raise UserError(
            f"{self.path}, line {call.lineno}: an import by name hides what a stage depends on; "
            'only a plugin may be loaded so, by import_module(f"{__name__}.{name}") in the '
            "__init__.py of its folder."
        )


class Definition:
    """A name that a module defines, or its `BODY`.

    imports : name -> what it stands for, from imports inside
    attributes : all names that may be those of attributes of a plugin
    asks_by_variable : whether an attribute is asked for by a name that is not a literal
    plugin_folders : packages from which plugins are loaded
    """

    def __init__(self, module: Module, name: str, nodes: list[ast.stmt]):
        self.module, self.name, self._nodes = module, name, nodes
        self.is_empty = not nodes
        self.where = f"{module.path}, line {nodes[0].lineno}" if nodes else str(module.path)
        self.imports: dict[str, Import] = {}
        self.attributes: set[str] = set()
        self.asks_by_variable = False
        self.plugin_folders: set[str] = set()
        self._files: set[Path] = set()
        self._bound: set[str] = set()  # names that it binds itself
        for node in _walk(*nodes):
            self._look_at(node)

    def _look_at(self, node: ast.AST) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self._bound.add(name)
            case ast.Attribute(attr=name):
                self.attributes.add(name)
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self._bound.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.ExceptHandler(name=str(name)):
                self._bound.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                self._bound.add(name)
            case ast.MatchMapping(rest=str(name)):
                self._bound.add(name)
            case ast.Import() | ast.ImportFrom():
                self.imports |= self.module.bound(node)
            case ast.Constant(value=str(text)) if text.isidentifier():
                self.attributes.add(text)
            case ast.Constant(value=str(text)) if re.fullmatch(r"[\w-]+\.\w+", text):
                self._files.add(self.module.path.parent / text)
            case ast.Call():
                if getattr(node.func, "id", None) in ("getattr", "hasattr", "vars"):
                    literal = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
                    self.asks_by_variable |= not literal
                if folder := self.module.plugin_folder(node):
                    self.plugin_folders.add(folder)

    @property
    def text(self) -> str:
        """Its code, in which `<n>` is the n-th of its targets, and the data files it names."""
        return self._read[0]

    @property
    def targets(self) -> list["Target"]:
        """What it uses of the package, in the order of use."""
        return list(self._read[1])

    @property
    def outside(self) -> set[str]:
        """Names of the packages that it uses."""
        return self._read[2]

    @cached_property
    def _read(self) -> tuple[str, dict["Target", None], set[str]]:
        targets: dict[Target, None] = {}
        outside: set[str] = set()

        def reference(chain: tuple[str, ...]) -> str | None:
            """The text of a name and its attributes that are from elsewhere."""
            name, *attributes = chain
            if name == self.name and name in self._bound:
                return None  # the name that it defines
            if name in self.imports:
                target, left = self.module.follow(self.imports[name], *attributes)
            elif name in self.module.definitions or name in self.module.imports:
                target, left = self.module.resolve(name, *attributes)
            else:
                return None
            if isinstance(target, Outside):
                outside.add(target.path.split(".")[0])
                return f"<{target.path}>"
            targets.setdefault(target)
            written = ".".join([f"<{list(targets).index(target)}>", *left])
            return None if name in self._bound else written

        def write(node: object) -> str:
            chain = _chain(node) if isinstance(node, ast.Name | ast.Attribute) else None
            if chain and (text := reference(chain)) is not None:
                return text
            if isinstance(node, ast.Constant) and str(node.value).isidentifier():
                reference((str(node.value),))  # a hint that works at run time, perhaps
            if isinstance(node, ast.AST):
                fields = [
                    f"{name}={text}"
                    for name in node._fields
                    if name not in _NOT_CODE
                    and (text := write(getattr(node, name, None))) not in ("None", "[]")
                ]
                return f"{type(node).__name__}({','.join(fields)})"
            if isinstance(node, list):
                return f"[{','.join(write(each) for each in node if not self._is_nothing(each))}]"
            return repr(node)

        text = write(self._nodes)
        for imported in self.module.imports.values():
            if imported.name == "*" and imported.inside:  # any name may be from there
                targets.setdefault(module_of(self.module.package, imported.module))
        files = [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self._files)
            if path.is_file() and path.suffix != ".py"
        ]
        return text + "".join(files), targets, outside

    def _is_nothing(self, node: object) -> bool:
        """Whether a statement does nothing by itself: what an import binds counts where used."""
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return all(imported.inside for imported in self.module.bound(node).values())
        return isinstance(node, ast.Pass)

    @cached_property
    def parts(self) -> dict[str, "Definition"]:
        """Keyword -> its value, of an instance that is made by keywords alone; else nothing."""
        match self._nodes:
            case [ast.Assign(value=ast.Call(args=[], keywords=keywords))] if keywords and all(
                keyword.arg for keyword in keywords
            ):
                return {
                    keyword.arg: Definition(
                        self.module,
                        f"{self.name}.{keyword.arg}",
                        [
                            ast.copy_location(
                                ast.Assign(
                                    [ast.Name(f".{keyword.arg}", ast.Store())], keyword.value
                                ),
                                keyword.value,
                            )
                        ],
                    )
                    for keyword in keywords
                    if keyword.arg
                }
        return {}

    @cached_property
    def without_parts(self) -> "Definition":
        """The instance as it would be made without keywords."""
        (assigned,) = self._nodes
        assert isinstance(assigned, ast.Assign)
        assert isinstance(assigned.value, ast.Call)
        call = ast.copy_location(ast.Call(assigned.value.func, [], []), assigned.value)
        alone = ast.copy_location(ast.Assign(assigned.targets, call), assigned)
        return Definition(self.module, self.name, [alone])


Target = Definition | Module


@cache
def module_of(package: Path, name: str) -> Module:
    """The module of a name. Raises UserError when there is none."""
    return Module(package, name)


@cache
def source(package: Path, name: str) -> Path | None:
    """The file of a module of the package, if there is such a module."""
    top, *inside = name.split(".")
    path = package.joinpath(*inside)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if top == package.name and file.is_file():
            return file
    return None


def parents(name: str) -> list[str]:
    """The packages around a module; importing it runs their `__init__`."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


# ----------------------------------------------------------------------------- syntax trees
_NOT_CODE = ("ctx", "kind", "type_comment", "type_params", "type_ignores")


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
        names += [name.id for name in each if isinstance(name, ast.Name)]
    return names


class _WithoutHints(ast.NodeTransformer):
    """Takes out what never runs: type hints, and what `if TYPE_CHECKING:` holds.

    names : those in the hints that were taken out
    """

    def __init__(self) -> None:
        self.names = {"TYPE_CHECKING"}

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

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = self._take(node.returns)
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        for statement in node.body:
            # A hint makes a field of a dataclass, and these hints unmake it.
            if isinstance(statement, ast.AnnAssign) and not (
                node.bases or _names(statement.annotation) & {"ClassVar", "InitVar", "KW_ONLY"}
            ):
                statement.annotation = self._take(statement.annotation)  # type: ignore[assignment]
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


def _chain(node: ast.expr) -> tuple[str, ...] | None:
    """A name with the attributes that are asked of it: ("np", "linalg", "norm")."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, *attributes) if isinstance(node, ast.Name) else None


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
