"""When to stop: trainings without an end, and what each rule would have kept of them.

    snakemake --cores 2 audioset_vggish --until build_features draw_bags list_clips
    python tests/benchmarks/stopping.py results/audioset_vggish --curves curves.csv

trains classes of a study with some of its strategies far beyond the study's epochs, without
patience, and tests every epoch. The curves are appended to the CSV file; what is there already is
not trained again. As neither patience nor smoothing changes how a model is trained, the rules are
applied to the curves afterwards. Tables are printed: each rule's test AP and cost by strategy, and
the test AP after one, two and four times the study's epochs, which tells "better" from "sooner".
"""

import argparse
import itertools
import sys
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.bags.manifest import read_bags
from weakneg.config.load import load_study
from weakneg.config.stages import RunSettings
from weakneg.features.store import open_store
from weakneg.jobs.device import prepare
from weakneg.models import bag_classifier
from weakneg.report.markdown import markdown_table
from weakneg.training.data import BagData, score_bags
from weakneg.training.loop import State, train_seed
from weakneg.training.ranking import ranking_metrics

KEY = ["class", "strategy", "seed"]
RULES = [  # name, epochs, patience, smoothing
    ("patience 5", 30, 5, 0.0),
    ("patience 10", 30, 10, 0.0),
    ("no patience", 30, None, 0.0),
    ("patience 5, smoothed", 30, 5, 0.5),
    ("patience 10, smoothed", 30, 10, 0.5),
    ("no patience, smoothed", 30, None, 0.5),
    ("no patience, 120 epochs", 120, None, 0.0),
    ("no patience, smoothed, 120 epochs", 120, None, 0.5),
]


def train(folder: Path, curves: Path, arguments: argparse.Namespace) -> None:
    """Append the curves of the trainings that are not in the file yet."""
    study, device = load_study(folder.name), prepare("cpu", 1)
    there = set(pd.read_csv(curves)[KEY].itertuples(index=False)) if curves.exists() else set()
    there = {tuple(key) for key in there}
    with (
        open_store(folder / "features" / "train.h5") as features,
        open_store(folder / "features" / "test.h5") as test_features,
    ):
        for class_name in arguments.classes:
            bags = read_bags(folder / "bags" / "train.csv", features, class_name)[0]
            data = BagData(features, bags, device)
            bags = read_bags(folder / "bags" / "test.csv", test_features, class_name)[0]
            test = BagData(test_features, bags, device)
            for seed, strategy in itertools.product(range(arguments.seeds), arguments.strategies):
                key = (class_name, strategy, seed)
                if key in there:
                    continue
                settings = RunSettings.of(study, strategy)
                # One more, since the last epoch leaves no model of its own.
                endless = {"epochs": arguments.epochs + 1, "patience": None, "smoothing": 0.0}
                training = settings.training.model_copy(update=endless)
                settings = settings.model_copy(update={"training": training})
                rows = curve(data, test, settings, seed, arguments.epochs)
                table = pd.DataFrame(rows).assign(**dict(zip(KEY, key, strict=True)))
                table.to_csv(curves, mode="a", header=not curves.exists(), index=False)
                print(*key, f"test AP up to {table['test_ap'].max():.3f}", file=sys.stderr)


def curve(
    data: BagData, test: BagData, settings: RunSettings, seed: int, epochs: int
) -> list[dict[str, float]]:
    """Validation and test AP after every epoch."""
    model = bag_classifier.load(settings.model, data.instance_shape).to(data.device)
    every, label = torch.arange(len(test.label)), test.label.numpy().astype(int)
    rows: list[dict[str, float]] = []

    def after_epoch(state: State) -> None:
        if state["epoch"] > epochs:
            return
        model.load_state_dict(state["model"])
        logits = score_bags(model, test, every, settings.training.score_batch_size).logits
        seconds = {k: v for k, v in state["timing"][-1].items() if k.startswith("seconds")}
        rows.append(
            {
                "epoch": state["epoch"],
                "validation_ap": state["history"][-1]["validation_ap"],
                "test_ap": ranking_metrics(label, logits.double().numpy())[0],
                "seconds": sum(seconds.values()),
            }
        )

    train_seed(data, settings, seed, None, after_epoch)
    return rows


def kept(
    curve: pd.DataFrame, epochs: int, patience: int | None, smoothing: float
) -> dict[str, float]:
    """What a rule keeps of a curve, and what it costs until it stops."""
    ap = curve["validation_ap"].ewm(alpha=1 - smoothing, adjust=False).mean().to_numpy()[:epochs]
    best = last = 0
    for last, value in enumerate(ap):
        best = last if value > ap[best] else best
        if patience is not None and last - best >= patience:
            break
    return {
        "test_ap": curve["test_ap"].iloc[best],
        "epochs": last + 1,
        "seconds": curve["seconds"].iloc[: last + 1].sum(),
    }


def tables(curves: pd.DataFrame) -> list[str]:
    """The rules, and the lengths of training, by strategy, as Markdown."""
    strategies = [*curves["strategy"].unique()]

    def by_strategy(*rule: float | None) -> pd.DataFrame:
        runs = [
            {"strategy": key[1], **kept(curve.sort_values("epoch"), *rule)}
            for key, curve in curves.groupby(KEY)
        ]
        return pd.DataFrame(runs).groupby("strategy").mean().loc[strategies]

    rules = []
    for name, *rule in RULES:
        found = by_strategy(*rule)
        aps = [f"{found.loc[s, 'test_ap']:.3f} ({found.loc[s, 'epochs']:.0f})" for s in strategies]
        rules.append([name, *aps, f"{found['seconds'].mean():.0f}"])
    lengths = [
        [f"{epochs}", *(f"{ap:.3f}" for ap in by_strategy(epochs, None, 0.5)["test_ap"])]
        for epochs in (30, 60, 120)
    ]
    return [
        markdown_table(["Rule: test AP (epochs)", *strategies, "Seconds"], rules),
        markdown_table(["Epochs: test AP", *strategies], lengths),
    ]


def main() -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="results of a study of clips")
    parser.add_argument("--curves", type=Path, required=True, help="CSV file to append to")
    parser.add_argument(
        "--classes", nargs="+", default=["Rub", "Gunshot, gunfire", "Percussion", "Vehicle"]
    )
    parser.add_argument("--strategies", nargs="+", default=["full", "random", "margin", "badge"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=120)
    arguments = parser.parse_args()
    train(arguments.folder, arguments.curves, arguments)
    print(*tables(pd.read_csv(arguments.curves)), sep="\n\n")


if __name__ == "__main__":
    main()
