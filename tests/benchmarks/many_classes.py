"""What an epoch of one model for all classes costs, beside one of one class with the full set.

    python tests/benchmarks/many_classes.py results/audioset_vggish --epochs 3 --rounds 3

The folder is that of a study of clips, whose features and lists exist. In each round both train one
seed on the same bags, one after the other, on one thread. Times are those of the processor.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import torch

from weakneg.bags.hidden import observe
from weakneg.bags.manifest import read_bags
from weakneg.config.stages import RunSettings
from weakneg.config.strategy import Observed
from weakneg.features.store import open_store
from weakneg.training.data import BagData
from weakneg.training.loop import train_seed


def settings(loss: str, epochs: int, classes: list[str] | None) -> RunSettings:
    return RunSettings.model_validate(
        {
            "model": {"name": "mlp", "pooling": "attention"},
            "sampling": {},
            "training": {"epochs": epochs, "validation_fraction": 0.2, "loss": {"name": loss}},
            "strategy": "full",
            "options": {},
            "seeds": [0],
            "draw_per_seed": False,
            "classes": classes,
            "observed": None if classes is None else Observed(positives=1),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--class-name", default="Dog")
    parser.add_argument("--losses", nargs="+", default=["bce", "large_loss_rejection"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_store(args.study / "features" / "train.h5") as features:
        classes = list(features.class_names)
        manifest = args.study / "bags" / "train.csv"
        one = read_bags(manifest, features, args.class_name)[0]
        many = observe(read_bags(manifest, features, classes)[0], Observed(positives=1), 0)
        data = BagData(features, one, torch.device("cpu"))
        runs = {args.class_name: (data, settings("bce", args.epochs, None))}
        of_many = data.relabelled(many)
        for loss in args.losses:
            runs[f"{len(classes)} classes, {loss}"] = (
                of_many,
                settings(loss, args.epochs, classes),
            )
        costs: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, (bags, chosen) in runs.items():
                began = time.process_time()
                train_seed(bags, chosen, 0, None, lambda state: None)
                costs[name].append((time.process_time() - began) / args.epochs)
    first = median(costs[args.class_name])
    for name, found in costs.items():
        print(f"{name}: {median(found):.2f} s per epoch, {median(found) / first:.2f}")


if __name__ == "__main__":
    main()
