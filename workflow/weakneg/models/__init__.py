"""Models of bags: an encoder of instances (one file each), a linear head and a pooling.

The file of an encoder defines KIND, the kind of data that it is for, and `build(shape)`, which
returns the encoder for instances of that shape: a module with an attribute `embedding_size`.
`DENSE = True` says that this is an `nn.Sequential` of linear layers with biases, each followed by a
ReLU, so that the seeds of a run can be trained together. Whether it is one is checked
(`weakneg.models.dense.is_dense`); any other is trained seed by seed.
"""

import importlib
from types import ModuleType


def module(name: str) -> ModuleType:
    """Import the file of an encoder, by name, so that one model does not depend on another."""
    return importlib.import_module(f"{__name__}.{name}")
