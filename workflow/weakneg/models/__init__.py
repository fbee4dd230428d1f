"""Models of bags: an encoder of instances (one file each), a linear head and a pooling."""

import importlib
from types import ModuleType


def module(name: str) -> ModuleType:
    """The encoder's module. Imported by name, so that one model does not depend on another."""
    return importlib.import_module(f"{__name__}.{name}")
