"""Study files: found, read and merged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)

from weakneg.config.messages import Location, no_such, shown, user_error
from weakneg.config.study import Study
from weakneg.config.values import NAME
from weakneg.errors import UserError

WORKFLOW = Path(__file__).resolve().parent.parent.parent
STUDIES = WORKFLOW / "studies"
SCHEMAS = WORKFLOW / "schemas"

# What a study says about itself; the rest is inherited by the studies that extend it.
_OWN_KEYS = {"extends", "title", "description", "note"}


def read_config(config_file: str | Path = "config.yaml") -> dict[str, Any]:
    """What the file says, not yet checked; nothing where there is none. Raises UserError."""
    path = Path(config_file)
    return read_yaml(path) if path.is_file() else {}


def find_study(entry: str, folder: Path, base: Path, where: str) -> Path:
    """File of a study named, or given by a path relative to `base`."""
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
    chain = [(path, read_yaml(path))]
    while (parent := chain[-1][1].get("extends")) is not None:
        file = chain[-1][0]
        where = f"{shown(file)}: extends"
        if not isinstance(parent, str):
            raise UserError(f"{where}: must be the name of a study, not {parent!r}")
        parent_file = find_study(parent, folder, file.parent, where)
        if any(parent_file.samefile(seen) for seen, _ in chain):
            circle = " -> ".join([*(seen.stem for seen, _ in chain), parent_file.stem])
            raise UserError(f"{where}: {parent!r} closes a circle: {circle}")
        chain.append((parent_file, read_yaml(parent_file)))

    for file, content in chain:
        _find_beside(file, content)
    for _, content in chain[1:]:
        for key in _OWN_KEYS:
            content.pop(key, None)
    merged: dict[str, Any] = {}
    for _, content in reversed(chain):
        merged = _merge(merged, content)

    def source(location: Location) -> str:
        """The study's file, and the one it extends where that one holds the mistake."""
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
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise user_error(error, source) from None
    except UserError as error:  # of the list that the study names
        raise UserError(f"{shown(path)}: {error}") from None
    study._name = path.stem
    return study


def _find_beside(path: Path, content: Mapping[str, Any]) -> None:
    """Name a list or folder of recordings that is beside the study from the working directory."""
    dataset = content.get("dataset")
    if not isinstance(dataset, dict):
        return
    for key in ("list", "folder"):
        value = dataset.get(key)
        if isinstance(value, str) and (path.parent / value).exists():
            # However the study's own path was typed, its jobs have the same parameters.
            dataset[key] = shown((path.parent / value).resolve())


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`: mappings key by key, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # untyped
    """YAML in which a key said twice is a mistake and 1e-3 is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.append(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{shown(path)}: {line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{shown(path)}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{shown(path)}: must hold keys and values, as the files of workflow/studies"
        )
    return content
