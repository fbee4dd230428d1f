"""Feature stores, and the two ways to make them.

`from_files` and `from_shards` each define a function `make`. They are loaded by name, so that the
features of a data set do not depend on the code of the other way.
"""

import importlib
from collections.abc import Callable


def way(name: str) -> Callable:
    """The function `make` of a module, "from_files" or "from_shards"."""
    return importlib.import_module(f"{__name__}.{name}").make
