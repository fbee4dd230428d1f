"""BADGE here and elsewhere: time, memory, and whether the picks are valid.

    python tests/benchmarks/badge.py [--rounds 3]

Every way gets the same logits and embeddings of a pool, computes gradients at the hypothesised
label, and chooses bags, in a process of its own with one thread; rounds alternate between the ways.
Printed are the median CPU seconds of a choice, relative to ours, and what a process needs at its
peak beyond what it had before. Two small pools test the picks:

- different: 500 bags are chosen from 2,000, whose gradients have 143 distinct values. All 500
  must be different.
- second: of 100 bags, the model is sure of 80, whose gradients are therefore 0. How often one of
  these is the second of two picks follows from the distances (k-means++), and is printed too.

"Plain" is the algorithm as published, with the distances of all bags to each pick. scikit-activeml
is installed into a temporary virtual environment, or into that of `--environment`, which is kept.
DISTIL needs PyTorch: it is installed there without dependencies, for the Python of the workflow.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PACKAGES = ("scikit-activeml==1.0.1", "scikit-learn==1.9.1", "numpy==2.4.6")
DISTIL = ("decile-distil==0.2.0", "apricot-select==0.6.1")


def ours(x, logits, k, seed):
    """The strategy of the workflow."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))
    from weakneg import strategies
    from weakneg.models.scores import BagScores
    from weakneg.strategies.pool import Pool, Scores

    torch.set_num_threads(1)
    select = strategies.load("badge", {"loss_label": "hypothesised"})
    logits, x = torch.from_numpy(logits), torch.from_numpy(x)

    def choose():
        found = BagScores(logits, x, x)
        scores = Scores(found.logits, found.embeddings, found.gradients)
        ids = torch.arange(len(x))
        pool = Pool(ids, lambda gradients: scores, lambda: scores, strategy="badge", epoch=1)
        return select(pool, k, torch.Generator().manual_seed(seed)).ids.tolist()

    return choose


def plain(x, logits, k, seed):
    """Distances of all bags to each pick."""

    def choose():
        random = np.random.default_rng(seed)
        positive = 1 / (1 + np.exp(-logits))
        gradients = (positive - (logits > 0))[:, None] * x
        chosen = [int(np.square(gradients).sum(1).argmax())]
        nearest = np.inf
        while len(chosen) < k:
            nearest = np.minimum(nearest, np.square(gradients - gradients[chosen[-1]]).sum(1))
            if not nearest.any():
                return chosen  # the algorithm says nothing about this case
            chosen.append(int(random.choice(len(x), p=nearest / nearest.sum(dtype=float))))
        return chosen

    return choose


def scikit_activeml(x, logits, k, seed):
    """`Badge`, with a model that hands over the embeddings."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    class Model(SkactivemlClassifier):
        def __init__(self):
            super().__init__(classes=[0, 1])

        def fit(self, X, y, sample_weight=None):
            self.classes_ = np.array([0, 1])
            return self

        def predict_proba(self, X):
            positive = 1 / (1 + np.exp(-logits))
            return np.column_stack([1 - positive, positive]), x

    model, unlabelled = Model().fit(x, None), np.full(len(x), np.nan)

    def choose():
        badge = Badge(random_state=seed)
        found = badge.query(x, unlabelled, model, fit_clf=False, batch_size=k)
        return [int(index) for index in found]

    return choose


def distil(x, logits, k, seed):
    """`BADGE`, with a model that hands over the embeddings."""
    import torch
    from distil.active_learning_strategies.badge import BADGE
    from torch.utils.data import Dataset

    torch.set_num_threads(1)
    embeddings, negative = torch.from_numpy(x), torch.zeros(len(x))
    scores = torch.stack([negative, torch.from_numpy(logits)], 1)

    class Bags(Dataset):
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, number):
            return self.rows[number], number

    class Model(torch.nn.Module):
        def get_embedding_dim(self):
            return x.shape[1]

        def forward(self, rows, last=False):
            return (scores[rows], embeddings[rows]) if last else scores[rows]

    rows, settings = torch.arange(len(x)), {"batch_size": 1000, "device": "cpu"}
    strategy = BADGE(None, None, rows, Model(), Bags, 2, settings)

    def choose():
        np.random.seed(seed)  # it draws from NumPy's global generator
        return [int(index) for index in strategy.select(k)]

    return choose


WAYS = {"ours": ours, "plain": plain, "scikit-activeml": scikit_activeml, "DISTIL": distil}
IN_OUR_PYTHON = ("ours", "DISTIL")


def pool(n, d, seed=0):
    """Embeddings (n, d) float32, not negative, and logits (n,) of a model in training."""
    random = np.random.default_rng(seed)
    x = np.maximum(random.normal(size=(n, d)), 0).astype(np.float32)
    return x, random.normal(-2, 2, n).astype(np.float32)


def sure_pool():
    """100 bags, of which the model is sure of the last 80."""
    x, logits = pool(100, 8, 1)
    logits[:20], logits[20:] = 0.1, -120
    return x, logits


def memory(key):
    """MiB that this process has (VmRSS) or had at its peak (VmHWM); Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1024


def measure(way, n, d, k):
    """What one process finds out, as JSON."""
    choose = WAYS[way](*pool(2000, 8), 2, 0)
    choose()  # imports and start-up
    choose = WAYS[way](*pool(n, d), k, 0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    start = time.process_time()
    choose()
    seconds = time.process_time() - start
    peak = memory("VmHWM") - before
    x, logits = pool(143, 8)
    repeated = np.arange(2000) % 143
    different = len(set(WAYS[way](x[repeated], logits[repeated], 500, 0)()))
    second = [WAYS[way](*sure_pool(), 2, seed)()[1] >= 20 for seed in range(100)]
    found = {"seconds": seconds, "mib": peak, "different": different}
    print(json.dumps(found | {"second": sum(second)}))


def second_expected():
    """Of 100 second picks, how many k-means++ makes among bags with a gradient of 0."""
    x, logits = sure_pool()
    gradients = (1 / (1 + np.exp(-logits.astype(float))) - (logits > 0))[:, None] * x
    first = np.square(gradients).sum(1).argmax()
    distances = np.square(gradients - gradients[first]).sum(1)
    return 100 * distances[20:].sum() / distances.sum()


def main() -> None:
    """Install what is missing, measure in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bags", type=int, default=8000)
    parser.add_argument("--size", type=int, default=256, help="of the embeddings")
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environment", type=Path, help="a virtual environment to use and keep")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.bags, arguments.size, arguments.budget
    if arguments.way:
        measure(arguments.way, *sizes)
        return
    with tempfile.TemporaryDirectory() as temporary:
        environment = arguments.environment or Path(temporary) / "venv"
        if not environment.exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(pip, check=True)
        folder = environment / "distil"
        if not folder.exists():
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-warn-conflicts",
                "--target",
            ]
            subprocess.run([*pip, folder, *DISTIL], check=True)
        found = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, results in found.items():
                python = environment / "bin" / "python"
                if way in IN_OUR_PYTHON:
                    python = sys.executable
                options = zip(("--bags", "--size", "--budget"), map(str, sizes), strict=True)
                command = [python, __file__, "--way", way, *(x for pair in options for x in pair)]
                output = subprocess.run(
                    command,
                    check=True,
                    capture_output=True,
                    text=True,
                    env=os.environ | ({"PYTHONPATH": str(folder)} if way == "DISTIL" else {}),
                ).stdout
                results.append(json.loads(output))
                print(way, results[-1], file=sys.stderr, flush=True)
    own = [result["seconds"] for result in found["ours"]]
    print(f"| {sizes} | seconds | relative | MiB | different, of 500 | second, of 100 |")
    print("|---|---:|---:|---:|---:|---:|")
    for way, results in found.items():
        seconds = [result["seconds"] for result in results]
        ratio = statistics.median(each / one for each, one in zip(seconds, own, strict=True))
        mib = statistics.median(result["mib"] for result in results)
        picks = f"{results[0]['different']} | {results[0]['second']}"
        print(f"| {way} | {statistics.median(seconds):.2f} | {ratio:.1f} | {mib:.0f} | {picks} |")
    print(f"| k-means++ | | | | 500 | {second_expected():.0f} |")


if __name__ == "__main__":
    main()
