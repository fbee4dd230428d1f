"""What each loss costs: a training step with it against one with the cross-entropy.

    python tests/benchmarks/losses.py [--batch 32] [--steps 200] [--rounds 15]

Bags of ten frames of 128 features, the MLP of the workflow and its optimiser, one thread. Steps
with a loss and with `bce` alternate; the figure is the median over rounds of the ratio of the
fastest step of each. A step includes what the loop does with a state.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg import losses
from weakneg.config.sections import ModelSettings
from weakneg.losses.batch import Batch
from weakneg.models import bag_classifier
from weakneg.training.adam import Adam

BAGS = 20_000


def trainer(name: str, size: int, pooling: str) -> Callable[[], None]:
    """A function that trains one step, in the second epoch."""
    torch.manual_seed(0)
    model = bag_classifier.load(ModelSettings(name="mlp", pooling=pooling), (128,))
    optimizer = Adam(model.parameters(), learning_rate=1e-4)
    x, labels = torch.randn(BAGS // 10, 10, 128), (torch.rand(BAGS) < 0.3).float()
    observed = labels == 1
    loss = losses.load(name)
    state = losses.initial_state(name, labels, observed, torch.Generator())
    for key in state.keys() & {"loss", "logit"}:
        state[key][:] = torch.rand(BAGS)
    state = dict(losses.before_epoch(name, state, labels, observed))
    options = {key: option.default for key, option in losses.options(name).items()}

    def step() -> None:
        bags = torch.randint(len(x), (size,))
        batch = Batch(model(x[bags]), labels[bags], observed[bags], 2, bags, state)
        found = loss(batch, **options)
        for key, rows in found.state.items():
            state[key].index_copy_(0, bags, rows)
        optimizer.update(torch.autograd.grad(found.values.mean(), optimizer.parameters))

    return step


def fastest(steps: list[Callable[[], None]], count: int) -> list[float]:
    """Seconds of the fastest of so many steps of each kind, in turn."""
    best = [float("inf")] * len(steps)
    for _ in range(count):
        for number, step in enumerate(steps):
            start = time.perf_counter()
            step()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pooling", default="attention")
    args = parser.parse_args()
    torch.set_num_threads(1)
    plain = trainer("bce", args.batch, args.pooling)
    print(f"| batches of {args.batch} | ms per step | relative to bce |\n|---|---:|---:|")
    for name in losses.names():
        steps = [plain, trainer(name, args.batch, args.pooling)]
        rounds = [fastest(steps, args.steps) for _ in range(args.rounds)]
        ratio = statistics.median(own / bce for bce, own in rounds)
        print(f"| {name} | {1e3 * min(own for _, own in rounds):.3f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
