"""Seeds trained together, against the same seeds trained one after the other.

    snakemake --cores 2 audioset_vggish --until build_features draw_bags list_clips
    python tests/benchmarks/seeds_together.py results/audioset_vggish --seeds 1 3 5 --rounds 7

Both train the same epoch (of `full`, its first `--steps` steps), in turn, from what is then in the
models. The figure is processor time per seed and step on one thread, with the median over rounds
of the ratio.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.bags.manifest import read_bags
from weakneg.config.load import load_study
from weakneg.config.stages import RunSettings
from weakneg.features.store import open_store
from weakneg.jobs.device import prepare
from weakneg.training import together
from weakneg.training.data import BagData
from weakneg.training.loop import _SeedTraining


def trainings(data: BagData, settings: RunSettings, n: int, steps: int) -> list[_SeedTraining]:
    """The seeds 0..n-1 with the first steps of their first epoch to train on."""
    seeds = [_SeedTraining(data, settings, seed, None, None) for seed in range(n)]
    for seed in seeds:
        seed.begin_epoch()
        seed.begin_training()
        seed.rows = seed.rows[: steps * settings.training.batch_size]
        seed.batch_rows = seed.batch_rows[:steps]
    return seeds


def train_alone(seeds: list[_SeedTraining]) -> None:
    for seed in seeds:
        seed.train()


def seconds(train: Callable[[list[_SeedTraining]], None], seeds: list[_SeedTraining]) -> float:
    for seed in seeds:
        seed.batch_losses = []
    start = time.process_time()
    train(seeds)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a study's folder, with features and bags")
    parser.add_argument("--class-name", default="Vehicle")
    parser.add_argument("--strategies", nargs="+", default=["random", "full"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 3, 5])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    study, device = load_study("audioset_vggish"), prepare("cpu", 1)
    print("| | seeds | alone, ms | together, ms | ratio |\n|---|---:|---:|---:|---:|")
    with open_store(args.folder / "features" / "train.h5") as features:
        bags = read_bags(args.folder / "bags" / "train.csv", features, args.class_name)[0]
        data = BagData(features, bags, device)
    for strategy in args.strategies:
        settings = RunSettings.of(study, strategy)
        for n in args.seeds:
            side_by_side = trainings(data, settings, n, args.steps)
            with mock.patch.object(together, "possible", return_value=False):
                one_by_one = trainings(data, settings, n, args.steps)
            steps = sum(len(seed.batch_rows) for seed in side_by_side)
            rounds = [
                (seconds(train_alone, one_by_one), seconds(together.train, side_by_side))
                for _ in range(args.rounds + 1)
            ][1:]  # the first warms up
            ratio = statistics.median(alone / ours for alone, ours in rounds)
            alone, ours = (1e3 * min(column) / steps for column in zip(*rounds, strict=True))
            print(f"| {strategy} | {n} | {alone:.2f} | {ours:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
