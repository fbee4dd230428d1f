"""How fast a seed trains and scores, against the plain ways of doing it, side by side in one run.

    python tests/benchmarks/training_speed.py [--device cuda] [--rounds 5]

Every round times each way once, in turn; the figure is the median over rounds of the ratio to ours.
Images are random, 32x32 in colour, in bags of five and steps of 32 bags, on one thread; so are
spectrograms, (1056, 128), for PSLA's EfficientNet-B2.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.config.sections import ModelSettings
from weakneg.jobs.device import prepare, synchronise
from weakneg.models import bag_classifier
from weakneg.models.bag_classifier import BagClassifier
from weakneg.models.folding import folded
from weakneg.models.simple_cnn import SimpleCNN
from weakneg.training.adam import Adam

BAGS, BATCH, SEEDS = 640, 32, 5


class PlainCNN(SimpleCNN):
    """The same network by PyTorch's own pooling."""

    def forward(self, x: Tensor) -> Tensor:
        x = max_pool2d(self.conv1(x).relu(), 2)
        x = max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu()).relu()


def classifier(encoder: type[nn.Module], device: torch.device) -> BagClassifier:
    torch.manual_seed(0)
    return BagClassifier(encoder((3, 32, 32)), "mean_softmax").to(device)


def train(model: BagClassifier, x: Tensor, label: Tensor) -> None:
    optimizer = Adam(model.parameters(), learning_rate=1e-3)
    for rows in torch.arange(len(x), device=x.device).split(BATCH):
        loss = binary_cross_entropy_with_logits(model(x[rows]), label[rows])
        optimizer.update(torch.autograd.grad(loss, optimizer.parameters))


@torch.inference_mode()
def score(model: BagClassifier, x: Tensor, label: Tensor) -> None:
    for rows in torch.arange(len(x), device=x.device).split(512):
        model.score(x[rows])


def train_batched(x: Tensor, label: Tensor) -> None:
    """All seeds as one model: stacked weights, torch.func over them; other bags for each seed."""
    models = [classifier(PlainCNN, x.device) for _ in range(SEEDS)]
    weights, buffers = stack_module_state(models)
    optimizer = torch.optim.Adam(weights.values(), fused=True)

    def loss(weights: dict, buffers: dict, rows: Tensor) -> Tensor:
        logits = functional_call(models[0], (weights, buffers), (x[rows],))
        return binary_cross_entropy_with_logits(logits, label[rows])

    gradients = vmap(grad(loss))
    orders = torch.stack([torch.randperm(len(x)) for _ in range(SEEDS)]).to(x.device)
    for rows in orders.split(BATCH, dim=1):
        for name, gradient in gradients(weights, buffers, rows).items():
            weights[name].grad = gradient
        optimizer.step()


def efficientnet_ways(device: torch.device) -> dict[str, Callable]:
    """Scoring clips, with batch normalisation folded into the convolutions and apart."""
    settings = ModelSettings(name="efficientnet_b2", pooling="attention")
    model = bag_classifier.load(settings, (1056, 128)).to(device).eval()
    clips = torch.randn(16, 1, 1056, 128, device=device)

    def way(scorer: nn.Module) -> Callable:
        return torch.inference_mode()(lambda: scorer.score(clips, None, False))

    return {"folded": way(folded(model)), "apart": way(model)}


def seconds(call: Callable, device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def compare(title: str, ways: dict[str, Callable], rounds: int, device: torch.device) -> None:
    """Print each way's time and how many times that of the first way it is."""
    times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            elapsed = seconds(call, device)
            if number:  # the first round warms up
                times[name].append(elapsed)
    ours = next(iter(times.values()))
    print(f"\n{title}")
    for name, values in times.items():
        ratio = statistics.median(v / o for v, o in zip(values, ours, strict=True))
        print(f"  {name:44} {statistics.median(values):8.3f} s   x {ratio:.2f}")


def memory_ways() -> dict[str, Callable]:
    """Ours, in processes of their own, with freed memory kept or given back to the system."""

    def run(device: str) -> Callable:
        command = [sys.executable, __file__, "--train-only", device]
        return lambda: subprocess.run(command, check=True)

    return {"freed memory kept": run("cpu"), "given back to the system": run("unprepared")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train-only", metavar="MODE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train_only == "unprepared":
        torch.set_num_threads(1)
        device = torch.device("cpu")
    else:
        device = prepare(args.train_only or args.device, threads=1)
    torch.manual_seed(0)
    data = (
        torch.rand(BAGS, 5, 3, 32, 32, device=device),
        torch.rand(BAGS, device=device).round(),
    )
    ours, plain = classifier(SimpleCNN, device), classifier(PlainCNN, device)
    if args.train_only:
        for _ in range(20):
            train(ours, *data)
        return
    last = classifier(PlainCNN, device).to(memory_format=torch.channels_last)
    for title, stage in (("Training, one epoch", train), ("Scoring", score)):
        ways = {
            "ours": lambda stage=stage: stage(ours, *data),
            "PyTorch's max-pooling": lambda stage=stage: stage(plain, *data),
            "PyTorch's max-pooling, channels last": lambda stage=stage: stage(last, *data),
        }
        compare(f"{title} of {BAGS} bags ({device})", ways, args.rounds, device)
    title = f"EfficientNet-B2, scoring 16 clips, batch normalisation ({device})"
    compare(title, efficientnet_ways(device), args.rounds, device)
    seeds = {
        "one after the other": lambda: [train(ours, *data) for _ in range(SEEDS)],
        "as one model (torch.func)": lambda: train_batched(*data),
    }
    compare(f"{SEEDS} seeds, one epoch of {BAGS} bags ({device})", seeds, args.rounds, device)
    if device.type == "cpu":
        title = "Twenty epochs in a process of their own, start-up included"
        compare(title, memory_ways(), args.rounds, device)


if __name__ == "__main__":
    main()
