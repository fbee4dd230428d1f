"""From the bags of an epoch to the batches that a model trains on: a file for each way to do it.

Each defines

    def batches(data, rows, sizes, augmentation, seed) -> Iterator[tuple[Inputs, Tensor]]

data : BagData
    The bags.
rows : (n,) int64
    The bags in the order of training, on the CPU.
sizes : list of int
    Number of bags in each batch.
augmentation : AugmentationSettings or None
    None if there is no augmentation.
seed : int
    Seed of everything that is random.

and yields, for each batch, the inputs of the model (bags and their mask) and the labels (b,), which
may be anything from 0 to 1. It also defines

    def mix(values, rows, augmentation, seed) -> Tensor

values : (N,) float32
    A number for each bag, on the CPU.

and returns the numbers (n,) of the bags of an epoch, mixed where the bags are mixed. `synthetic`
makes of such a function `batches` one that is also told which rows stand for synthetic bags. They
are separate files so that a study is trained again only when the one it uses changes.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from weakneg.config.strategy import Mixup, Smote
    from weakneg.config.training import AugmentationSettings

Inputs = tuple[Tensor, Tensor | None]


def load(
    augmentation: "AugmentationSettings | None", positives: "Mixup | Smote | None" = None
) -> Callable[..., Iterator[tuple[Inputs, Tensor]]]:
    """Return the function `batches` that a run needs."""
    batches: Callable[..., Iterator[tuple[Inputs, Tensor]]]
    batches = _usual(augmentation).batches
    if positives is None:
        return batches
    return partial(_file("synthetic").with_synthetic, batches, positives)


def mix(
    values: Tensor, rows: Tensor, augmentation: "AugmentationSettings | None", seed: int
) -> Tensor:
    """Return a number for each bag of an epoch, as `mix` in the file that a study needs does."""
    mixed: Tensor = _usual(augmentation).mix(values, rows, augmentation, seed)
    return mixed


def _usual(augmentation: "AugmentationSettings | None") -> Any:
    return _file("plain" if augmentation is None else "augmented")


def _file(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
