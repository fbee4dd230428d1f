"""Which poolings respect the multiple-instance assumption, and does the choice of negatives matter?

    python tests/benchmarks/mil_assumption.py [--seeds 2]

The unit tests of Raff and Holt (see tests/support/mil_tests.py), with the MLP, the training loop
and the strategies of the workflow. The pool is several times as large as the budget, so that there
is a choice. In one case the shortcut is already wrong for a tenth of the pool, negative bags
without poison, which a strategy could find. Printed are the ROC-AUC of the training bags and of the
test bags, means over seeds; test bags are positive and negative in equal numbers.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from mil_tests import draw, roc_aucs
from short_runs import run_settings

from weakneg.config.sections import ModelSettings
from weakneg.report.markdown import NAME, NUMBER, markdown_table

STRATEGIES = ("full", "random", "margin", "badge")
POOLINGS = get_args(ModelSettings.model_fields["pooling"].annotation)


def main() -> None:
    """Train on every test with every pooling and strategy, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--positives", type=int, default=100, help="positive training bags")
    parser.add_argument("--negatives", type=int, default=400, help="negative training bags")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = [
        ("single concept", "single concept", 1.0),
        ("the same, a tenth of the pool without poison", "single concept", 0.9),
        ("multiple concepts", "multiple concepts", 1.0),
        ("false frequency", "false frequency", 1.0),
    ]
    rows = []
    for (name, test, poisoned), pooling in itertools.product(cases, POOLINGS):
        row = [name, f"`{pooling}`"]
        for strategy in STRATEGIES:
            settings = run_settings(
                strategy,
                name="mlp",
                pooling=pooling,
                epochs=arguments.epochs,
                validation_fraction=0.2,
                negatives_per_positive=1.0,
            )
            found = []
            for seed in range(arguments.seeds):
                train = draw(
                    test, "train", arguments.positives, arguments.negatives, seed, poisoned
                )
                found.append(roc_aucs(settings, train, draw(test, "test", 200, 200, seed), seed))
            row.append("{:.2f} / {:.2f}".format(*np.mean(found, 0)))
        rows.append(row)
        print(*row, sep=" | ", file=sys.stderr, flush=True)
    header = ["Training / test bags", "pooling", *STRATEGIES]
    print(markdown_table(header, rows, NAME, NAME, *[NUMBER] * len(STRATEGIES)))


if __name__ == "__main__":
    main()
