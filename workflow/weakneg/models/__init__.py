"""Models of bags: an encoder of instances (one file each), a linear head and a pooling.

The file of an encoder defines KIND, the kind of data that it is for, and `build(shape)`, which
returns the encoder for instances of that shape: a module with an attribute `embedding_size`.
`DENSE = True` says that this is an `nn.Sequential` of linear layers with biases, each followed by a
ReLU, so that the seeds of a run can be trained together (see `weakneg.models.dense`), and models of
many classes take less time (see `weakneg.models.dense_classes`).
"""

import importlib
from types import ModuleType


def module(name: str) -> ModuleType:
    """Import the file of an encoder, by name, so that one model does not depend on another."""
    return importlib.import_module(f"{__name__}.{name}")
