"""The sources of a package as a graph of definitions, independent of their modules.

A definition is a function, a class or an assigned name at the top level of a module; `BODY` is
everything else that the module runs when it is imported. Each definition has a text without
comments, docstrings, formatting and type hints, in which names from elsewhere are replaced by edges
of the graph. The text is therefore the same in whatever module the definition is, and however the
names that it uses are imported.

Nothing is imported. An import by a name made at run time cannot be resolved, so it may only load a
plugin: `import_module(f"{__name__}.{name}")` in the `__init__` of the plugins' package.
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
from weakneg.plugins import is_own

BODY = "<module>"
DIGITS = 16

_IMPORTERS = {"import_module", "__import__", "spec_from_file_location", "run_module", "run_path"}


def hash_of(content: object) -> str:
    """Hash of a value that JSON can represent, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:DIGITS]


class Outside(NamedTuple):
    """What a name from another package refers to.

    Attributes
    ----------
    path : str
        Its full name, such as "numpy.linalg.norm".
    """

    path: str


class Import(NamedTuple):
    """What an imported name refers to.

    Attributes
    ----------
    module : str
        The module that is imported, or imported from.
    name : str or None
        The name in the module; None if the module itself is meant.
    inside : bool
        Whether the module is in the package.
    """

    module: str
    name: str | None
    inside: bool


class Module:
    """The source of a module. As a target: everything that it defines or imports.

    Parameters
    ----------
    package : Path
        Folder of the package.
    name : str
        Name of the module, such as "weakneg.bags.draw", or the path of a plugin of the user's own,
        whose code is read like that of the package.

    Attributes
    ----------
    path : Path
        Its file.
    is_package : bool
        Whether it is the `__init__` of a package.
    definitions : dict
        Name -> its definition.
    imports : dict
        Name -> what it refers to, from imports at the top level.

    Raises
    ------
    UserError
        When the module does not exist or has a syntax error.
    """

    def __init__(self, package: Path, name: str):
        path = source(package, name)
        if path is None:
            what = f"file {name}" if is_own(name) else f"module {name} in {package.name}"
            raise UserError(f"there is no {what}.")
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
        """Its names."""
        return json.dumps(sorted(map(str, self._members)))

    @cached_property
    def targets(self) -> list["Target"]:
        """What its names refer to in the package."""
        return [target for _, target in sorted(self._members.items()) if target is not None]

    @cached_property
    def _members(self) -> dict[str, Union["Target", None]]:
        """Name -> what it refers to; for names from outside, name and path -> None."""
        found: dict[str, Target | None] = dict(self.definitions)
        for name in self.imports:
            target, _ = self.resolve(name)
            if isinstance(target, Outside):
                found[f"{name} {target.path}"] = None
            else:
                found[name] = target
        return found

    def bound(self, node: ast.Import | ast.ImportFrom) -> dict[str, Import]:
        """The names that an import binds, without those that only hints use.

        Parameters
        ----------
        node : ast.Import or ast.ImportFrom
            The import.

        Returns
        -------
        dict
            Name -> what it refers to.
        """
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
        """Resolve a name of this module and attributes of it.

        Parameters
        ----------
        name : str
            A name that the module defines or imports.
        *attributes : str
            The attributes that follow it.

        Returns
        -------
        target : Definition, Module or Outside
            What they refer to.
        left : list of str
            The attributes left over.
        """
        if name in self.definitions:
            return self.definitions[name], list(attributes)
        return self.follow(self.imports[name], *attributes)

    def follow(self, imported: Import, *attributes: str) -> tuple["Target | Outside", list[str]]:
        """Resolve an import and attributes of it.

        Parameters
        ----------
        imported : Import
            What a name refers to.
        *attributes : str
            The attributes that follow it.

        Returns
        -------
        target, left
            As for `resolve`. The target is a module only if it is used as a whole.
        """
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
        """The package from which a call loads plugins by name.

        Parameters
        ----------
        call : ast.Call
            A call.

        Returns
        -------
        str or None
            Name of the package; None if the call does not import by name.

        Raises
        ------
        UserError
            When the import cannot be resolved.
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
            'only plugins may be loaded like this, by import_module(f"{__name__}.{name}") in the '
            "__init__.py of their folder."
        )


class Definition:
    """A name that a module defines, or its `BODY`.

    Parameters
    ----------
    module : Module
        The module.
    name : str
        The name.
    nodes : list of ast.stmt
        The statements that define it.

    Attributes
    ----------
    is_empty : bool
        Whether there are no statements.
    where : str
        File and line, for messages.
    imports : dict
        Name -> what it refers to, from imports inside the definition.
    attributes : set of str
        All names that may be attributes of a plugin.
    asks_by_variable : bool
        Whether it gets an attribute whose name is not a literal.
    plugin_folders : set of str
        Packages from which it loads plugins.
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
        """Its code, in which `<n>` is the n-th of its targets, and hashes of its data files."""
        return self._read[0]

    @property
    def targets(self) -> list["Target"]:
        """What it uses from the package, in the order of use."""
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
            """The text of a name from elsewhere and its attributes."""
            name, *attributes = chain
            if name == self.name and name in self._bound:
                return None  # its own name
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
            if isinstance(node, ast.AnnAssign) and (hint := getattr(node, "annotation", None)):
                for name in sorted(_names_in_texts(hint)):
                    reference((name,))  # used at run time, perhaps
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
            if imported.name == "*" and imported.inside:  # any name may come from there
                targets.setdefault(module_of(self.module.package, imported.module))
        files = [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self._files)
            if path.is_file() and path.suffix != ".py"
        ]
        return text + "".join(files), targets, outside

    def _is_nothing(self, node: object) -> bool:
        """Whether a statement has no effect; the names that an import binds count where used."""
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return all(imported.inside for imported in self.module.bound(node).values())
        return isinstance(node, ast.Pass)

    @cached_property
    def parts(self) -> dict[str, "Definition"]:
        """Keyword -> its value, for an instance made with keywords only; otherwise empty."""
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
    """The module with a name. Raises UserError when there is none."""
    return Module(package, name)


def source(package: Path, name: str) -> Path | None:
    """The file of a module of the package or of the user's own, or None if there is none."""
    if is_own(name):  # may be written while the process runs
        return Path(name) if Path(name).is_file() else None
    return _file_of(package, name)


@cache
def _file_of(package: Path, name: str) -> Path | None:
    top, *inside = name.split(".")
    path = package.joinpath(*inside)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if top == package.name and file.is_file():
            return file
    return None


def parents(name: str) -> list[str]:
    """The parent packages of a module; importing it runs their `__init__`."""
    if is_own(name):
        return []
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


# ----------------------------------------------------------------------------- syntax trees
_NOT_CODE = ("ctx", "kind", "type_comment", "type_params", "type_ignores")


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines, if it does nothing else."""
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
    """Remove what never runs: type hints, and code under `if TYPE_CHECKING:`.

    `names` are those in the removed hints.
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
        # Expressions contain no hints, and most of a tree is expressions.
        return node if isinstance(node, ast.expr) else super().generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        self._note(node.annotation)
        node.annotation = None
        return node

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._note(node.returns)
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        for statement in node.body:
            # A hint makes a field of a dataclass, unless it is one of these.
            if isinstance(statement, ast.AnnAssign) and not (
                node.bases or _names(statement.annotation) & {"ClassVar", "InitVar", "KW_ONLY"}
            ):
                self._note(statement.annotation)
                del statement.annotation
        node.body = [
            each if isinstance(each, ast.AnnAssign) else self.visit(each) for each in node.body
        ]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        self._note(node.annotation)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def _note(self, hint: ast.expr | None) -> None:
        """Keep the names in a hint that is removed."""
        if hint is not None:
            self.names |= _names(hint) | _names_in_texts(hint)


def _children(node: ast.AST) -> list[ast.AST]:
    """Like `ast.iter_child_nodes`, in a third of the time; without the contexts of names."""
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
    """A name and the attributes that follow it: ("np", "linalg", "norm")."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, *attributes) if isinstance(node, ast.Name) else None


def _names(tree: ast.AST) -> set[str]:
    """The names in a tree, including those in hints written as strings."""
    found = set()
    for node in _walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.AnnAssign) and (hint := getattr(node, "annotation", None)):
            found |= _names_in_texts(hint)
    return found


def _names_in_texts(hint: ast.expr) -> set[str]:
    texts = [part.value for part in _walk(hint) if isinstance(part, ast.Constant)]
    return {name for text in texts if isinstance(text, str) for name in re.findall(r"\w+", text)}
