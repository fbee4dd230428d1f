"""From the bags of an epoch to the batches that a model trains on: one file for each way.

A way is a module of this folder that defines

    def batches(data, rows, batch_size, augmentation, seed) -> Iterator[tuple[Inputs, Tensor]]

data : the bags, a `weakneg.training.data.BagData`
rows : (n,) int64 on the CPU, the bags in the order of training
augmentation : settings, or None where there is none
seed : of all that chance decides

and yields, batch by batch, the inputs of the model (bags, and which of their instances are real),
and labels (b,), which may be anything from 0 to 1. They are files of their own so that a study is
only trained again for changes of what it uses.
"""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from weakneg.config.sections import AugmentationSettings

Inputs = tuple[Tensor, Tensor | None]


def load(augmentation: "AugmentationSettings | None") -> Callable:
    """The function `batches` of the way that a study asks for."""
    name = "plain" if augmentation is None else "augmented"
    return importlib.import_module(f"{__name__}.{name}").batches
