"""Seeds that are trained together: each step is a step of every seed.

A step of a dense model on a few bags is so small that most of its time is overhead, which several
seeds can share. Yet a seed gets the same numbers, to the last bit, whichever other seeds there are,
so that seeds can be added, stopped and resumed one by one.
"""

from collections.abc import Sequence
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
    """Whether the seeds of a run are trained together; if not, one after the other.

    They are on one thread of a CPU, if the encoder is dense and in float32, and the pooling has no
    weights but those of the last layer. Several threads would divide the work differently for
    different numbers of seeds; convolutions are slower for several seeds at once.
    """
    model = settings.model
    return (
        device.type == "cpu"
        and torch.get_num_threads() == 1
        and getattr(models.module(model.name), "DENSE", False)
        and model.precision == "float32"
        and model.pooling != "psla"
    )


def groups(settings: "RunSettings", device: torch.device) -> list[list[int]]:
    """The seeds of a run, in groups to be trained one after the other."""
    return [settings.seeds] if possible(settings, device) else [[seed] for seed in settings.seeds]


def train(seeds: Sequence["_SeedTraining"]) -> None:
    """Train seeds on the batches of an epoch, of which some may have more than others."""
    seeds = sorted(seeds, key=lambda seed: -len(seed.batch_rows))  # those still running come first
    data, size = seeds[0].data, seeds[0].settings.training.batch_size
    width = -(-size // _UNIT) * _UNIT
    # (batches, width) rows of bags for each seed, filled with any bag.
    rows = []
    for seed in seeds:
        n_missing = len(seed.batch_rows) * size - len(seed.rows)
        of_batches = pad(seed.rows, (0, n_missing)).view(-1, size)
        rows.append(pad(of_batches, (0, width - size)))
    steps = [
        torch.cat([of_seed[number] for of_seed in rows if number < len(of_seed)])
        for number in range(len(rows[0]))
    ]
    stack = Stack([seed.model for seed in seeds])
    for number, (x, mask) in enumerate(data.inputs(steps)):
        running = seeds[: len(x) // width]
        by_seed = (len(running), width)
        logits = stack.forward(
            data.normalise(x).unflatten(0, by_seed),
            None if mask is None else mask.unflatten(0, by_seed),
        ).requires_grad_()
        losses = []
        for seed, of_seed in zip(running, logits, strict=True):
            bags = seed.batch_rows[number]
            losses.append(seed.loss_of_step(of_seed[: len(bags)], seed.data.label[bags]))
        (slopes,) = torch.autograd.grad(losses, logits)
        gradients = stack.backward(slopes)
        for place, seed in enumerate(running):
            seed.optimizer.update([gradient[place] for gradient in gradients])
