"""The page of a small study."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import partly_labelled
from drawn import FIGURES, make_study
from synthetic import metrics_of, settings_of

from weakneg.analysis.budget import results_by_budget
from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.runs import BY_SEED, SECONDS
from weakneg.analysis.study import Study
from weakneg.config.report import PageSettings
from weakneg.io.csv import write_frame
from weakneg.report.figures import draw_figure
from weakneg.report.figures import inputs as needed
from weakneg.report.page.tables import MOST_SELECTED, SUSPECTS
from weakneg.report.page.write import write_report
from weakneg.report.sounds import MOST_BYTES
from weakneg.report.tables import write_tables
from weakneg.strategies import names


def budget_table(metrics: Path, study) -> pd.DataFrame:
    """The table of a study of budgets whose runs took 100 steps for every negative per positive."""
    found = read_metrics(metrics)
    steps = found["strategy"].map(study["budgets"]).fillna(20) * 100
    found = found.assign(steps=steps, bags_trained=32 * steps)
    return results_by_budget(found, Study.of(study))


def page_settings(study, **settings) -> PageSettings:
    """The settings of the page of a study, of which `study` has those that it reports."""
    return PageSettings(
        **study,
        description=settings.get("title", "Toy."),
        configuration={"training.epochs": 4, "dataset.name": "toy"},
        paper={"training.epochs": 15, "dataset.name": "toy"},
        paper_study="cifar10",
    )


def make_page(
    folder: Path,
    classes,
    strategies,
    n_seeds=2,
    make=make_study,
    tables=None,
    sounds=None,
    figures=("win_count",),
    **settings,
) -> Path:
    """Write the page of a study with these classes and strategies, and perhaps more tables."""
    metrics, runs, study = make(folder / "runs", classes, strategies, n_seeds)
    study |= settings
    of_budgets = bool(study.get("budgets"))
    if of_budgets:
        write_frame(folder / "tables" / "budget.csv", budget_table(metrics, study))
    else:
        write_tables(metrics, study, folder / "tables")
    for more, rows in (tables or {}).items():
        write_frame(folder / "tables" / f"{more}.csv", rows)
    inputs = {"metrics": metrics, "runs": runs, "budget": folder / "tables" / "budget.csv"}
    drawn = []
    for name in ("budget",) if of_budgets else figures:
        drawn.append(folder / "figures" / f"{name}.svg")
        draw_figure(name, study, drawn[-1:], **{each: inputs[each] for each in needed(name)})
    page = page_settings(study, **settings)
    write_report(
        metrics,
        sorted((folder / "tables").glob("*.csv")),
        drawn,
        page,
        {each.stem: "A caption." for each in drawn},
        "snakemake --cores all toy",
        folder / "report.html",
        runs=runs,
        sounds=sounds,
    )
    return folder / "report.html"


def make_large_page(folder: Path, figures=FIGURES) -> Path:
    """Write the page of a study of 40 classes of clips x 20 strategies x 3 seeds, with all it has.

    Clips are listed with links and labels, as those of AudioSet are; those of the first ranks can
    be heard, in as many bytes as `weakneg.report.sounds` makes of them.
    """
    random = np.random.default_rng(0)
    classes = [f"Class {n:02}, with a {'long ' * (n % 4)}name" for n in range(40)]
    strategies = ["full", "random", *(s for s in names() if s not in ("full", "random"))][:20]

    def clip(**ranked):
        clip_id = f"clip{random.integers(20_000):05}_ab"
        labels = "Speech;Inside, small room;Domestic animals, pets"
        link = f"https://example.org/watch?v={clip_id}&t=30"
        return {**ranked, "id": clip_id, "start": 30.0, "link": link, "other_labels": labels}

    suspects = [
        clip(**{"class": name}, rank=rank, split="test", related_labels="", heard=None)
        | {"probability": random.random(), "in_top": 1.0}
        for name in classes
        for rank in range(1, SUSPECTS + 1)
    ]
    most_selected = [
        clip(**{"class": name}, strategy=strategy, rank=rank, bag=rank, times=9, selections=10)
        for name in classes
        for strategy in strategies
        for rank in range(1, MOST_SELECTED + 1)
    ]
    heard = {row["id"]: row for row in (*suspects, *most_selected)}
    folder.mkdir(parents=True, exist_ok=True)
    sounds = folder / "sounds.json"
    n_bytes = MOST_BYTES // len(heard) // 2
    parts = {
        clip_id: {
            part: base64.b64encode(random.bytes(n_bytes)).decode() for part in ("sound", "picture")
        }
        for clip_id in heard
    }
    sounds.write_text(json.dumps(parts))
    return make_page(
        folder,
        classes,
        strategies,
        n_seeds=3,
        make=_invent_study,
        tables={"suspects": pd.DataFrame(suspects), "most_selected": pd.DataFrame(most_selected)},
        sounds=sounds,
        figures=figures,
    )


def _invent_study(root: Path, classes, strategies, n_seeds):
    """As `make_study`, with 30 epochs and invented metrics: those of 2,400 models take a minute."""
    random, runs, values = np.random.default_rng(0), [], {}
    seeds = np.arange(n_seeds)
    epochs = pd.DataFrame({"epoch": np.tile(np.arange(1, 31), n_seeds), "seed": seeds.repeat(30)})
    for class_name in classes:
        level = random.uniform(0.2, 0.7)
        for strategy in strategies:
            folder = root / f"{len(runs)}"
            folder.mkdir(parents=True)
            runs.append((strategy, folder))
            ap = random.uniform(0, level, (n_seeds, 30)).cumsum(1) / np.arange(1, 31)
            history = epochs.assign(validation_ap=ap.ravel(), bags_trained=90 * epochs["epoch"])
            history.assign(best=epochs["epoch"] == 30).to_parquet(folder / "history.parquet")
            clock = dict.fromkeys(SECONDS, 0.5)
            epochs.assign(**clock).to_parquet(folder / "timing.parquet")
            run = {"class": class_name, "strategy": strategy, "fingerprint": "f"}
            of_seed = dict.fromkeys(BY_SEED, 1) | {"made_with": {"device": "cpu"}}
            run |= {key: {str(seed): value for seed in seeds} for key, value in of_seed.items()}
            (folder / "run.json").write_text(json.dumps(run))
            values[class_name, strategy] = random.normal(level, 0.02, n_seeds)
    metrics = metrics_of(values)
    positives = dict(zip(classes, random.integers(50, 500, len(classes)), strict=True))
    metrics["n_positive"] = metrics["class"].map(positives)
    metrics["epochs"], metrics["seconds"] = 30, random.uniform(1, 20, len(metrics))
    write_frame(root / "metrics.csv", metrics)
    return root / "metrics.csv", runs, settings_of(classes, strategies)


def make_page_of_methods(
    folder: Path, metrics: pd.DataFrame, records, settings, pointing=None, events=None, **more
) -> Path:
    """Write the page of a study of many classes, with its tables and figure."""
    results, epochs = partly_labelled.tables(metrics, records, settings)
    tables = {"partial": folder / "partial.csv", "partial_epochs": folder / "partial_epochs.csv"}
    write_frame(tables["partial"], results)
    write_frame(tables["partial_epochs"], epochs)
    write_frame(folder / "metrics.csv", metrics)
    figure = folder / "partial.svg"
    draw_figure("partial", settings, [figure], **tables)
    files = [*tables.values()]
    for name, table in {"pointing": pointing, "events": events}.items():
        if table is not None:
            files.append(folder / f"{name}.csv")
            write_frame(files[-1], table)
    write_report(
        folder / "metrics.csv",
        files,
        [figure],
        page_settings(settings, **more),
        {"partial": "A caption."},
        "snakemake --cores all toy",
        folder / "report.html",
    )
    return folder / "report.html"
