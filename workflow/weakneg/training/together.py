"""Seeds that are trained together: each step is a step of every seed.

A step of a dense model on a few bags is so small that most of its time is overhead, which several
seeds can share. Yet a seed gets the same numbers, to the last bit, whichever other seeds there are,
so that seeds can be added, stopped and resumed one by one.
"""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad

from weakneg import models
from weakneg.models.dense import Stack

if TYPE_CHECKING:
    from weakneg.config.stages import RunSettings
    from weakneg.training.loop import _SeedTraining

_UNIT = 32
"""The bags of a seed are filled up to a multiple of this. The numbers of a seed are then whole
registers of a processor (of 16 float32, taken in pairs); those of a part would be computed by other
instructions, which round differently."""


def possible(settings: "RunSettings", device: torch.device) -> bool:
    """Whether the seeds of a run are trained together, if the encoder is as dense as it says.

    They are on one thread of a CPU, if they share their bags and train on these alone, the encoder
    is dense and in float32, and the pooling has no weights but those of the last layer. Several
    threads would divide the work differently for different numbers of seeds; convolutions are
    slower for several seeds at once.
    """
    model = settings.model
    return (
        device.type == "cpu"
        and settings.classes is None
        and torch.get_num_threads() == 1
        and getattr(models.module(model.name), "DENSE", False)
        and not settings.draw_per_seed
        and settings.training.positives is None
        and model.precision == "float32"
        and model.pooling != "psla"
    )


def groups(settings: "RunSettings", device: torch.device) -> list[list[int]]:
    """The seeds of a run, in groups to be trained one after the other."""
    return [settings.seeds] if possible(settings, device) else [[seed] for seed in settings.seeds]


def train(seeds: Sequence["_SeedTraining"]) -> None:
    """Train seeds on the batches of an epoch, of which some may have more than others."""
    seeds = sorted(seeds, key=lambda seed: -len(seed.batch_rows))  # those still running come first
    data, batch_size = seeds[0].data, seeds[0].settings.training.batch_size
    width = math.ceil(batch_size / _UNIT) * _UNIT
    steps = [
        # Filled up with any bag.
        torch.cat([pad(rows, (0, width - len(rows))) for rows in of_step if rows is not None])
        for of_step in zip_longest(*(seed.batch_rows for seed in seeds))
    ]
    stack = Stack([seed.model for seed in seeds])
    gradients = stack.gradients.unbind()
    for seed, weights in zip(seeds, stack.weights, strict=True):
        seed.optimizer.parameters = [weights]
    for number, (x, mask) in enumerate(data.inputs(steps)):
        running = seeds[: len(x) // width]
        by_seed = (len(running), width)
        logits = stack.forward(
            data.normalise(x).unflatten(0, by_seed),
            None if mask is None else mask.unflatten(0, by_seed),
        ).requires_grad_()
        # The logits of the bags of each seed, and of those that it was filled up with.
        n_bags = [len(seed.batch_rows[number]) for seed in running]
        parts = logits.flatten().split([n for own in n_bags for n in (own, width - own)])
        losses = [
            seed.loss_of_step(of_seed, seed.batch_labels[number])
            for seed, of_seed in zip(running, parts[::2], strict=True)
        ]
        stack.backward(*torch.autograd.grad(losses, logits))
        for seed, gradient in zip(running, gradients, strict=False):
            seed.optimizer.update([gradient])
