"""Feature stores, and how they are made.

`from_files` and `from_shards` are the ways to make them; each has a function `make`. They are files
loaded by name so that a data set's features do not depend on the way that it does not take.
"""

import importlib
from collections.abc import Callable


def way(name: str) -> Callable:
    """The function `make` of a way to make feature stores, "from_files" or "from_shards"."""
    return importlib.import_module(f"{__name__}.{name}").make
