"""Finding, reading and merging study files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from weakneg.config.checks import complete
from weakneg.config.messages import Location, no_such, one_mistake, shown, user_error
from weakneg.config.study import Study
from weakneg.config.values import NAME
from weakneg.errors import UserError
from weakneg.plugins import is_own

WORKFLOW = Path(__file__).resolve().parent.parent.parent
STUDIES = WORKFLOW / "studies"
SCHEMAS = WORKFLOW / "schemas"

# Keys that studies do not inherit from the study that they extend.
_OWN_KEYS = {"extends", "title", "description", "note"}


def read_config(config_file: str | Path = "config.yaml") -> dict[str, Any]:
    """Read config.yaml without checking its keys.

    Parameters
    ----------
    config_file : path
        The file; it may be missing.

    Returns
    -------
    dict
        Its contents; empty where there is no such file.

    Raises
    ------
    UserError
        When the file cannot be read.
    """
    path = Path(config_file)
    return read_yaml(path) if path.is_file() else {}


def find_study(entry: str, folder: Path, base: Path, where: str) -> Path:
    """Find the file of a study.

    Parameters
    ----------
    entry : str
        Name of a study in `folder`, or a path relative to `base`.
    folder, base : Path
        Where to look for names, and for paths.
    where : str
        The place that names the study, for messages.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UserError
        When there is no such file, or its name does not fit into paths.
    """
    if "/" in entry or entry.endswith((".yaml", ".yml")):
        path = base / entry
        if not path.is_file():
            raise UserError(f"{where}: there is no file {shown(path)}")
    else:
        path = folder / f"{entry}.yaml"
        if not path.is_file():
            known = sorted(file.stem for file in folder.glob("*.yaml"))
            raise UserError(
                f"{where}: {no_such(entry, 'a study', known)}, or the path of a YAML file"
            )
    if not NAME.fullmatch(path.stem):
        raise UserError(
            f"{where}: {entry!r}: the name of a study's file must consist of a-z, 0-9 and _"
        )
    return path


def read_study(path: Path, folder: Path) -> Study:
    """Read and check a study, merged with the studies that it extends.

    Parameters
    ----------
    path : Path
        File of the study.
    folder : Path
        Where studies that it extends by name are.

    Returns
    -------
    Study
        The study.

    Raises
    ------
    UserError
        When one of the files has a mistake.
    """
    chain = [(path, read_yaml(path))]
    while (parent := chain[-1][1].get("extends")) is not None:
        file = chain[-1][0]
        where = f"{shown(file)}: extends"
        if not isinstance(parent, str):
            raise UserError(f"{where}: must be the name of a study, not {parent!r}")
        parent_file = find_study(parent, folder, file.parent, where)
        if any(parent_file.samefile(seen) for seen, _ in chain):
            cycle = " -> ".join([*(seen.stem for seen, _ in chain), parent_file.stem])
            raise UserError(f"{where}: {parent!r} creates a cycle: {cycle}")
        chain.append((parent_file, read_yaml(parent_file)))

    for file, content in chain:
        _relative_to_study(file, content)
    for _, content in chain[1:]:
        for key in _OWN_KEYS:
            content.pop(key, None)
    merged: dict[str, Any] = {}
    for _, content in reversed(chain):
        merged = _merge(merged, content)

    def source(location: Location) -> str:
        """The study's file, and the extended one if that holds the mistake."""
        for file, content in chain:
            value: Any = content
            try:
                for key in location:
                    value = value[key]
            except (KeyError, IndexError, TypeError):
                continue
            return shown(path) if file == path else f"{shown(path)} (extends {file.stem})"
        return shown(path)

    try:
        study = complete(Study.model_validate(merged))
    except ValidationError as error:
        raise user_error(error, source) from None
    except PydanticCustomError as mistake:
        raise one_mistake(mistake, source) from None
    except UserError as error:  # in the list that the study names
        raise UserError(f"{shown(path)}: {error}") from None
    study._name = path.stem
    return study


def _relative_to_study(path: Path, content: dict[str, Any]) -> None:
    """Make the paths that a study gives, relative to its file, relative to the working directory.

    These are the paths of lists, of folders, of an encoder, and of the user's own strategies and
    losses.
    """
    augmentation = content.get("augmentation")
    noise = augmentation.get("noise") if isinstance(augmentation, dict) else None
    for section in (*map(content.get, ("dataset", "truth", "encoder")), noise):
        if not isinstance(section, dict):
            continue
        for key in ("list", "folder", "file"):
            value = section.get(key)
            if isinstance(value, str) and (path.parent / value).exists():
                # The parameters of jobs do not depend on how the path of the study was typed.
                section[key] = shown((path.parent / value).resolve())
    lists = content.get("corrections")
    if isinstance(lists, str | list):
        # A list that does not exist is named as it was typed.
        content["corrections"] = [
            shown((path.parent / each).resolve())
            if isinstance(each, str) and (path.parent / each).exists()
            else each
            for each in ([lists] if isinstance(lists, str) else lists)
        ]
    for key in ("strategies", "losses", "methods", "training"):
        if key in content:
            content[key] = _own_files_relative(path.parent, content[key])


def _own_files_relative(folder: Path, value: Any) -> Any:
    """The same with each path of a user's own file, wherever it is in the value."""
    match value:
        case str() if is_own(value):
            return shown((folder / value).resolve())
        case list():
            return [_own_files_relative(folder, each) for each in value]
        case dict():
            return {key: _own_files_relative(folder, each) for key, each in value.items()}
    return value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # untyped
    """YAML in which a repeated key is a mistake and 1e-3 is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark
                )
            seen.append(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values. Raises UserError, naming file and line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark, found = error.problem_mark or error.context_mark, error.problem
        if found == "could not find expected ':'":  # noticed a line later
            mark, found = error.context_mark, "a key ends with a colon and a space"
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{shown(path)}: {line}{found}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{shown(path)}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{shown(path)}: must hold keys and values, like the files in workflow/studies"
        )
    return content
