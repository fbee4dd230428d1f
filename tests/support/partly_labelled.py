"""Studies of many classes, and made-up records of what became of their labels."""

import numpy as np
import pandas as pd
from synthetic import metrics_of, settings_of

from weakneg.analysis.partial import Record
from weakneg.analysis.study import Study


def settings_of_methods(classes, ways, **more):
    """A study as the report reads it: name -> (method, observed), the first is the baseline."""
    names = [*ways]
    found = settings_of(classes, names, baseline=names[0], upper_bound=None)
    count = [method for method, _ in ways.values()].count
    shown = {n: f"{m}, {seen}" if count(m) > 1 else m for n, (m, seen) in ways.items()}
    methods = {name: [*way] for name, way in ways.items()}
    return found | {"methods": methods, "display_names": shown, "looks": {}} | more


def toy(n_classes=10, n_epochs=4, n_seeds=2, ways=None, doubting=("LL-R",), **more):
    """Metrics, records and settings; the first classes are the rarest."""
    ways = ways or {
        "bce": ("Naive AN", "1 positive"),
        "large_loss_rejection": ("LL-R", "1 positive"),
        "full_label": ("Full label", "all"),
    }
    classes = [f"c{i:03}" for i in range(n_classes)]
    random = np.random.default_rng(0)
    settings = settings_of_methods(classes, ways, **more)
    level = dict(zip(classes, np.linspace(0.2, 0.7, n_classes), strict=True))
    gain = {name: 0.01 * number for number, name in enumerate(ways)}
    metrics = metrics_of(
        {
            (c, name): level[c] + gain[name] + random.normal(0, 0.02, n_seeds)
            for name in ways
            for c in classes
        }
    )
    metrics["n_positive"] = metrics["class"].map({c: 3 + 2 * i for i, c in enumerate(classes)})
    metrics["epochs"], metrics["seconds"] = n_epochs, 20.0
    records = [
        record(name, seed, way, n_classes, n_epochs, way[0] in doubting, random)
        for name, way in ways.items()
        for seed in range(n_seeds)
    ]
    return metrics, records, settings


def record(name, seed, way, n_classes, n_epochs, doubts, random) -> Record:
    """Labels of 100 bags, of which a method that sees some rejects up to two of each class."""
    epochs = np.arange(1, n_epochs + 1)
    fates = [3, 97, 0, 0] if way[1] == "all" else [2, 0, 3, 95]
    entries = np.broadcast_to(np.array(fates)[:, None], (n_epochs, 4, n_classes))
    start = random.uniform(0.5, 1, (1, 4, n_classes)) * np.array([1, 0.3, 1, 0.3])[:, None]
    loss = start * np.exp(-epochs / n_epochs)[:, None, None]
    loss[:, 2] += epochs[:, None] / n_epochs * 0.3 if doubts else 0
    loss = np.where(entries > 0, loss, np.nan)
    treated = np.zeros((n_epochs, 2, n_classes), np.int64)
    if doubts:
        treated[1:] = random.integers(1, 3, (n_epochs - 1, 2, n_classes))
    return Record(name, seed, epochs, entries, loss.astype(np.float32), treated)


def pointed(strategies, classes, n_seeds=2) -> pd.DataFrame:
    """The table pointing.csv: each strategy points right more often than the one before."""
    return pd.DataFrame(
        {
            "strategy": strategy,
            "seed": seed,
            "class": name,
            "bags": 10 + i,
            "pointing": 0.5 + 0.1 * better + 0.02 * seed + 0.04 * i,
            "chance": 0.4 + 0.1 * i,
            "instance_ap": 0.45 + 0.1 * better,
            "prevalence": 0.3 + 0.1 * i,
        }
        for better, strategy in enumerate(strategies)
        for seed in range(n_seeds)
        for i, name in enumerate(classes)
    )


def detected(strategies, n_seeds=2) -> pd.DataFrame:
    """The table events.csv: each strategy detects more events than the one before."""
    return pd.DataFrame(
        {
            "strategy": strategy,
            "seed": seed,
            "clips": 1234,
            "classes": 3,
            "segment_f1": 0.5 + 0.1 * better + 0.02 * seed,
            "psds1": 0.2 + 0.1 * better,
            "psds2": 0.3 + 0.1 * better,
            "psds1_mean": 0.25 + 0.1 * better,
            "psds2_mean": 0.35 + 0.1 * better,
            "everywhere_f1": 0.159,
        }
        for better, strategy in enumerate(strategies)
        for seed in range(n_seeds)
    )


def study(settings) -> Study:
    return Study.of(settings)


def tables(metrics: pd.DataFrame, records, settings):
    """The tables partial.csv and partial_epochs.csv."""
    from weakneg.analysis.partial import groups_of_classes, labels_by_epoch, results_by_method

    of = study(settings)
    groups = groups_of_classes(metrics, of)
    return (
        results_by_method(metrics, records, of).round(5),
        labels_by_epoch(records, groups, of).round(5),
    )
