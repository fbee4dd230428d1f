"""Runs, metrics and studies small enough to check by hand, for the tests of what reads them."""

import json

import numpy as np
import pandas as pd

from weakneg import strategies as all_strategies
from weakneg.analysis.metrics import COLUMNS
from weakneg.analysis.study import Study

# Ranked + - + - : AP = (1/1 + 2/3) / 2 = 5/6, ROC-AUC = 3 of 4 pairs in order.
LABELS, SCORES = [1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]

# Ids and names from lists that nobody checked.
HOSTILE = [
    "[x](javascript:alert(1))",
    "<script>alert(1)</script>",
    "a|b\\|c",
    "`code` **bold** _em_ ~~del~~ $x$",
    "two\nlines\r\n# heading",
    "&lt;b&gt; https://evil.example www.evil.example a@b.example",
    "\u202egnp.exe\u0000\u200b",
    'quote " and comma,',
]


def write_run(
    folder,
    class_name="cat",
    strategy="random",
    seeds=(0, 1),
    scores=SCORES,
    thresholds={"f1": 2.0, "g_mean": 4.0},  # noqa: B006
):
    """A run of three epochs per seed, of which the second was the best."""
    folder.mkdir(parents=True, exist_ok=True)
    bags = np.arange(len(LABELS))
    pd.concat(
        pd.DataFrame({"seed": seed, "bag": bags, "label": LABELS, "score": scores})
        for seed in seeds
    ).to_parquet(folder / "scores.parquet")
    epochs = pd.DataFrame({"seed": np.repeat(seeds, 3), "epoch": np.tile([1, 2, 3], len(seeds))})
    epochs.assign(
        validation_ap=np.tile([0.5, 0.7, 0.6], len(seeds)),
        bags_trained=epochs["epoch"] * 30,
        best=epochs["epoch"] == 2,
    ).to_parquet(folder / "history.parquet")
    epochs.assign(
        seconds_scoring=1.0,
        seconds_selecting=0.5,
        seconds_training=2.0,
        seconds_evaluating=0.25,
        peak_memory_bytes=1,
    ).to_parquet(folder / "timing.parquet")
    run = {"class": class_name, "strategy": strategy, "fingerprint": "f00"}
    device = {"device": "cpu: A"}
    for key, value in {
        "n_positive": 10,
        "n_pool": 50,
        "budget": 20,
        "made_with": device,
        "thresholds": thresholds,
    }.items():
        run[key] = {str(seed): value for seed in seeds}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def metrics_of(values):
    """{(class, strategy): [AP of seed 0, of seed 1, ...]} as a metrics frame."""
    rows = [
        {"class": class_name, "strategy": strategy, "seed": seed, "ap": ap, "roc_auc": ap}
        for (class_name, strategy), aps in values.items()
        for seed, ap in enumerate(aps)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    filled = {column: 1.0 for column in COLUMNS[5:]} | {"device": "cpu", "fingerprint": "f"}
    filled["test_unknown"] = 0
    return frame.fillna(filled)


def settings_of(classes, strategies, **more):
    """A study as the configuration gives it to the report."""
    known = [strategy for strategy in strategies if strategy in all_strategies.names()]
    return {
        "name": "toy",
        "title": "Toy",
        "classes": list(classes),
        "strategies": list(strategies),
        "runs": {strategy: strategy for strategy in strategies},
        "kind": "images",
        "baseline": "random",
        "upper_bound": "full" if "full" in strategies else None,
        "reference": None,
        "note": "",
        "display_names": {name: all_strategies.display_name(name, name) for name in known},
        "looks": {name: all_strategies.look(name) for name in known},
        **more,
    }


def study_of(classes, strategies, **more):
    return Study.of(settings_of(classes, strategies, **more))
