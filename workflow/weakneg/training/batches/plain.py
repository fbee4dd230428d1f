"""Batches of bags as they are stored, without augmentation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from weakneg.training.batches import Inputs
    from weakneg.training.data import BagData


def batches(
    data: "BagData", rows: Tensor, sizes: list[int], augmentation: None, seed: int
) -> Iterator[tuple["Inputs", Tensor]]:
    """Yield the batches of an epoch, see `weakneg.training.batches`."""
    split = rows.to(data.device).split(sizes)
    for batch, (x, mask) in zip(split, data.inputs(split), strict=True):
        yield (data.normalise(x), mask), data.label[batch]


def mix(values: Tensor, rows: Tensor, augmentation: None, seed: int) -> Tensor:
    """Return the values of the bags of an epoch, see `weakneg.training.batches`."""
    return values[rows]
