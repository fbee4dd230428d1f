"""Studies to draw, and what figures show."""

import importlib
import json

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import same_color
from synthetic import metrics_of, settings_of, study_of

from weakneg.analysis.metrics import collect_metrics
from weakneg.report import figures
from weakneg.report.figures.style import house_style

SAME_BAGS = {"least_confidence", "margin", "entropy"}


FIGURES = [name for name in figures.names() if "metrics" in figures.inputs(name)]


def make_study(root, classes, strategies, n_seeds, n_epochs=4):
    """Metrics, runs and settings of a study; runs of `SAME_BAGS` differ in their clocks alone."""
    runs = []
    for i, class_name in enumerate(classes):
        for strategy in strategies:
            trained_as = "margin" if strategy in SAME_BAGS else strategy
            folder = root / f"{i}" / f"{len(runs)}"
            folder.mkdir(parents=True)
            runs.append((strategy, folder))
            scores, history, timing = [], [], []
            for seed in range(n_seeds):
                random = np.random.default_rng([i, seed, *trained_as.encode()])
                label = np.arange(30) % 3 == 0
                score = random.normal(size=30) + label
                scores.append({"seed": seed, "bag": np.arange(30), "label": label, "score": score})
                epoch = np.arange(1, n_epochs + 1)
                ap = np.sort(random.random(n_epochs))
                history.append(
                    {
                        "seed": seed,
                        "epoch": epoch,
                        "validation_ap": ap,
                        "bags_trained": 90 * epoch,
                        "best": epoch == n_epochs,
                    }
                )
                clock = {f"seconds_{part}": 0.5 for part in ("scoring", "selecting", "evaluating")}
                clock["seconds_training"] = 1.0 + len(strategy)
                timing.append({"seed": seed, "epoch": epoch, **clock})
            for name, parts in {"scores": scores, "history": history, "timing": timing}.items():
                table = pd.concat(map(pd.DataFrame, parts))
                if name == "scores":
                    table["label"] = table["label"].astype("int8")
                table.to_parquet(folder / f"{name}.parquet")
            run = {"class": class_name, "strategy": strategy, "fingerprint": "f"}
            for key, number in {"n_positive": 30, "n_pool": 90, "budget": 30}.items():
                run[key] = {str(seed): number for seed in range(n_seeds)}
            run["thresholds"] = {str(seed): {"f1": 0.5, "g_mean": 0.5} for seed in range(n_seeds)}
            run["made_with"] = {str(seed): {"device": "cpu"} for seed in range(n_seeds)}
            (folder / "run.json").write_text(json.dumps(run))
    metrics = root / "metrics.csv"
    collect_metrics(runs, metrics)
    trained_as = {s: "margin" if s in SAME_BAGS else s for s in strategies}
    return metrics, runs, settings_of(classes, strategies, runs=trained_as)


def figure_of(name, metrics, study, runs=()):
    """A figure of metrics in memory."""
    module = importlib.import_module(f"weakneg.report.figures.{name}")
    shown = {"metrics": metrics, "runs": runs}
    return module.draw(**{each: shown[each] for each in figures.inputs(name)}, study=study)


def many_classes(n_seeds=3):
    """Metrics and study of 14 classes that differ in size, of which two runs share their bags."""
    strategies = ["full", "random", "badge", "margin", "entropy"]
    classes = [f"c{i:02}" for i in range(14)]
    random = np.random.default_rng(0)
    values = {}
    for class_name in classes:
        base = random.uniform(0.1, 0.7)
        for strategy, gain in {"full": 0.05, "random": 0, "badge": 0.02, "margin": -0.05}.items():
            values[class_name, strategy] = base + gain + random.normal(0, 0.02, n_seeds)
        values[class_name, "entropy"] = values[class_name, "margin"]
    metrics = metrics_of(values)
    metrics["n_positive"] = metrics["class"].map({c: 50 + 7 * i for i, c in enumerate(classes)})
    metrics["test_bags"] = 10.0
    for column, low in {"bags_trained": 1000, "seconds_training": 10, "seconds_scoring": 1}.items():
        metrics[column] = low * random.uniform(1, 2, len(metrics)).round(2)
    shared = metrics["strategy"] == "entropy"
    columns = ["bags_trained", "seconds_training", "seconds_scoring"]
    metrics.loc[shared, columns] = metrics.loc[metrics["strategy"] == "margin", columns].to_numpy()
    runs = {s: "margin" if s == "entropy" else s for s in strategies}
    return metrics, study_of(classes, strategies, runs=runs, kind="clips")


def drawn(name, metrics, study):
    """A figure of metrics in memory, which fits its page."""
    figure = figure_of(name, metrics, study)
    with house_style():
        assert fits(figure)
    return figure


def texts(figure):
    """All that is written in a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def fits(figure):
    """Whether all that is drawn lies on the page (to a hundredth of an inch)."""
    figure.draw_without_rendering()  # the layout is settled by drawing
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    return (drawn.min >= page.min - 0.01).all() and (drawn.max <= page.max + 0.01).all()


def lines(axes, colour):
    """What is plotted in a colour: lists of x and of y."""
    found = [line for line in axes.lines if same_color(line.get_color(), colour)]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in found]
