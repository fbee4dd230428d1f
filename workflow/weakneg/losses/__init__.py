"""The losses: what training minimises. One file each.

A loss is a module in this folder that defines `loss(logits, labels, positive_weight=1.0)`, the mean
over a batch of bags (see `weakneg.losses.bce`), for training and, without a weight, validation. A
study names its file, as in `training: {loss: bce}`. The gradients that strategies see are always
those of the cross-entropy.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from weakneg import plugins

if TYPE_CHECKING:
    from torch import Tensor


def names() -> list[str]:
    """Return the names of all losses, in alphabetical order."""
    return plugins.names(Path(__file__).parent, "loss")


def load(name: str) -> "Callable[..., Tensor]":
    """Return the function `loss` of the file of that name."""
    loss: Callable[..., Tensor] = importlib.import_module(f"{__name__}.{name}").loss
    return loss
