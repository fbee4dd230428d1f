"""The losses: what training minimises. One file each, and a new file is found by itself.

A loss is a module of this folder that defines `loss(logits, labels)`, the mean over a batch of bags
(see `weakneg.losses.bce`). It is that of the validation bags, too. A study names it by its file,
`training: {loss: bce}`. The gradients that strategies see are those of the cross-entropy, whatever
the loss.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from weakneg import plugins

if TYPE_CHECKING:
    from torch import Tensor


def names() -> list[str]:
    """The names of all losses, in alphabetical order."""
    return plugins.names(Path(__file__).parent, "loss")


def load(name: str) -> "Callable[[Tensor, Tensor], Tensor]":
    """The function `loss` of the loss called `name`."""
    loss: Callable[[Tensor, Tensor], Tensor] = importlib.import_module(f"{__name__}.{name}").loss
    return loss
