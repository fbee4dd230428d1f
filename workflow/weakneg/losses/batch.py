"""What a loss sees, a batch of bags, and what it returns, a value for each of their entries.

In shapes, B is the number of bags in the batch, N that of all training bags, and C the number of
classes where there are several. An entry is a bag and a class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

State = Mapping[str, Tensor]
"""What a loss remembers: tensors with one row per bag, (N,) or (N, C), and others, of any shape,
that change only between epochs."""

KEPT, REJECTED, CORRECTED = range(3)
"""What became of the label of an entry: used as it is, left out, or replaced by its opposite."""


@dataclass(frozen=True)
class Batch:
    """The bags of a step, all tensors on one device.

    Attributes
    ----------
    logits : Tensor, (B,) or (B, C) float32
        What the model says, with gradient: p = sigmoid(logit).
    labels : Tensor, same shape, float32
        0 or 1, or a number between them where bags are mixed.
    observed : Tensor, same shape, bool
        Whether the label was observed. The others are assumed to be negative, with the label 0.
    epoch : int
        Number of the epoch, from 1.
    bags : Tensor, (B,) int64
        The rows of these bags in tensors of the state that have one row per bag. One bag may occur
        twice, where batches are drawn with replacement.
    state : State
        What the loss remembers; empty for most.
    """

    logits: Tensor
    labels: Tensor
    observed: Tensor
    epoch: int
    bags: Tensor
    state: State = field(default_factory=dict)


@dataclass(frozen=True)
class Losses:
    """The losses of a step.

    Attributes
    ----------
    values : Tensor, the shape of the logits, float32
        Their mean is the loss of the batch.
    treatment : Tensor, same shape, uint8, optional
        `KEPT`, `REJECTED` or `CORRECTED`; None where all are kept.
    state : State
        New values (B,) or (B, C) of the rows `bags` of tensors of the state, without gradient.
    """

    values: Tensor
    treatment: Tensor | None = None
    state: State = field(default_factory=dict)


def with_slopes(values: Tensor, slopes: Tensor, logits: Tensor) -> Tensor:
    """Values with derivatives that were worked out by hand.

    A loss of many small operations takes longer to differentiate than to compute.

    Parameters
    ----------
    values, slopes : Tensor, the shape of the logits
        Losses, and their derivatives with respect to the logits; both without gradient.
    logits : Tensor, (B,) or (B, C)
        The logits, with gradient.

    Returns
    -------
    Tensor, same shape
        The values, with gradient.
    """
    return values.addcmul(slopes, logits - logits.detach())
