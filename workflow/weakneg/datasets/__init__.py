"""The data sets: one file each, found by looking into this folder.

A data set file defines

- `CLASSES`: tuple of class names; class number c is `CLASSES[c]`;
- `IMAGE_SHAPE`: (channels, height, width);
- `FILES`: the files that `fetch` leaves in the data set's folder (empty when nothing is fetched);
- `fetch(folder, local_copy=None)`: puts `FILES` there, checked (absent when `FILES` is empty);
- `load(split, folder)`: `Images` of "train" or "test".

Importing one costs nothing: heavy libraries are imported inside the functions.
"""

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np


@dataclass(frozen=True)
class Images:
    """One split of a data set.

    x : (N, C, H, W) uint8, as published, unscaled
    y : (N,) int64, class numbers
    id : (N,) int64, position in the original data set
    """

    x: np.ndarray
    y: np.ndarray
    id: np.ndarray


def names() -> list[str]:
    """Names of the data sets: the files of this folder that define `CLASSES`, sorted."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if _defines_classes(p))


def module(name: str) -> ModuleType:
    """The data set's module. Imported by name, so that one data set does not depend on another."""
    return importlib.import_module(f"{__name__}.{name}")


def _defines_classes(path: Path) -> bool:
    return any(
        isinstance(target, ast.Name) and target.id == "CLASSES"
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    )
