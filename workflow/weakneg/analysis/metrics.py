"""From test scores to metrics.

No model is needed here: the scores, the history and the `run.json` of a run are enough.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weakneg.analysis.runs import (
    BY_SEED,
    COUNTS,
    SECONDS,
    classes_of,
    read_epochs,
    read_parquet,
    read_run,
)
from weakneg.analysis.study import Study
from weakneg.bags.draw import UNKNOWN
from weakneg.errors import UserError
from weakneg.io.csv import write_frame
from weakneg.stages import StrategyRun, stage
from weakneg.training.ranking import of_classes, tied_at_the_ends

COLUMNS = [
    "class",
    "strategy",
    "seed",
    "ap",
    "roc_auc",
    "lift",
    "f1",
    "g_mean",
    "n_positive",
    "n_pool",
    "budget",
    "epochs",
    "best_epoch",
    "bags_trained",
    "seconds",
    "seconds_scoring",
    "seconds_selecting",
    "seconds_training",
    "seconds_evaluating",
    "seconds_to_best",
    "test_positive",
    "test_bags",
    "test_unknown",
    "tied_highest",
    "tied_lowest",
    "device",
    "fingerprint",
]
TIED = ["tied_highest", "tied_lowest"]
HANDFUL = 5  # up to this many tied test bags are not mentioned
UNKNOWN_COLUMN = "test_unknown"  # not in files of studies without unknown bags
# Those that every result has; older ones do not count ties.
NEEDED = [column for column in COLUMNS if column not in (*TIED, UNKNOWN_COLUMN)]
TEXT_COLUMNS = ["class", "strategy", "device", "fingerprint"]
METRICS = {"ap": "AP", "roc_auc": "ROC-AUC"}  # by which strategies are compared
MORE_METRICS = ["lift", "f1", "g_mean"]


def run_metrics(run_folder: str | Path) -> pd.DataFrame:
    """Compute the metrics of one run, that is, of a class and a strategy, or of many classes.

    Parameters
    ----------
    run_folder : str or Path
        Folder of the run.

    Returns
    -------
    DataFrame
        One row per seed in ascending order, and of many classes per class, with the columns
        `COLUMNS`.

    Raises
    ------
    UserError
        When a file is missing, when files disagree about the seeds, when the scores of a seed
        cannot be ranked (a score that is not finite, only one label), or when it has no thresholds.

    Notes
    -----
    AP is `sklearn.metrics.average_precision_score` (no interpolation), ROC-AUC is `roc_auc_score`,
    both over the test bags whose label is known. So are all numbers here; the other test bags are
    only counted, in `test_unknown`. `lift` is AP / prevalence; the prevalence is the share of
    positive test bags, which is the AP of a random ranking. For `f1` and for `g_mean`, a threshold
    was chosen on the validation bags; with TP, FP, TN, FN counted at that threshold,

        f1 = 2 TP / (2 TP + FP + FN)        g_mean = sqrt(TP / (TP + FN) * TN / (TN + FP))

    `epochs`, `bags_trained` and `seconds_...` are totals up to the end of the run; `seconds` is the
    sum of scoring, selecting, training and evaluating, and `seconds_to_best` the same up to the end
    of the epoch whose weights were kept. `tied_highest` and `tied_lowest` are the numbers of test
    bags that share the highest and the lowest score (0 if only one has it): scores at a limit of
    the model, which a ranking cannot tell apart.

    Of many classes, `n_positive` are the labels that training knows. Those without any, or without
    both labels among the test bags, have no metrics (NaN). Times are those of the whole model, and
    there are no thresholds, so that `f1` and `g_mean` are NaN.
    """
    # Half a second, which those who only read metrics need not wait.
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    folder = Path(run_folder)
    run = read_run(folder)
    scores = read_parquet(folder / "scores.parquet")
    epochs = read_epochs(folder)

    classes = classes_of(run)
    seeds = sorted(scores["seed"].unique().tolist())
    for name, others in {
        "history.parquet": sorted(epochs["seed"].unique().tolist()),
        **{f"{key} of run.json": sorted(map(int, run[key])) for key in BY_SEED if key in run},
    }.items():
        if others != seeds:
            raise UserError(
                f"{folder}: scores.parquet holds seeds {seeds} but {name} holds {others};"
                " delete the folder and train this run again."
            )

    rows = []
    for seed in seeds:
        of_seed = scores[scores["seed"] == seed]
        label, score = _values(of_seed["label"]), _values(of_seed["score"])
        if not np.isfinite(score).all():
            raise UserError(
                f"{folder / 'scores.parquet'}: seed {seed} has"
                f" {np.count_nonzero(~np.isfinite(score))} scores that are not finite (NaN or"
                " infinite), so its model has diverged; lower the learning rate and train again."
            )
        of_history = _of_history(folder, epochs, seed)
        if classes is not None:
            rows += _of_classes(run, classes, seed, label, score, of_history)
            continue
        known = label != UNKNOWN
        label, score = label[known], score[known]
        if set(np.unique(label)) != {0, 1}:
            unknown = np.count_nonzero(~known)
            besides = f" ({unknown} others are unknown)" if unknown else ""
            raise UserError(
                f"{folder / 'scores.parquet'}: the test bags of seed {seed} have the labels"
                f" {np.unique(label).tolist()}{besides}, but both 0 and 1 are needed; give the"
                f" class {run['class']!r} positive and negative test bags."
            )
        thresholds = run["thresholds"][str(seed)]
        if not all(np.isfinite(thresholds.get(name, np.nan)) for name in ("f1", "g_mean")):
            raise UserError(
                f"{folder / 'run.json'}: the thresholds of seed {seed} are {thresholds}, but"
                " numbers for f1 and g_mean are needed; train this run again."
            )
        ap = float(average_precision_score(label, score))
        rows.append(
            {
                "class": run["class"],
                "strategy": run["strategy"],
                "seed": seed,
                "ap": ap,
                "roc_auc": float(roc_auc_score(label, score)),
                "lift": ap * len(label) / np.count_nonzero(label),
                "f1": float(f1_score(label, score >= thresholds["f1"])),
                "g_mean": _g_mean(label, score >= thresholds["g_mean"]),
                **{key: run[key][str(seed)] for key in COUNTS},
                **of_history,
                "test_positive": np.count_nonzero(label),
                "test_bags": len(label),
                UNKNOWN_COLUMN: np.count_nonzero(~known),
                **{f"tied_{end}": n for end, n in tied_at_the_ends(score).items()},
                "device": run["made_with"][str(seed)]["device"],
                "fingerprint": run["fingerprint"],
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _values(column: pd.Series) -> np.ndarray:
    """Numbers (B,), or, where each bag has a list of them, (B, C)."""
    return np.stack(column.tolist()) if column.dtype == object else column.to_numpy()


def _of_history(folder: Path, epochs: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The columns that are about the epochs of a seed."""
    history = epochs[epochs["seed"] == seed]
    best = history.loc[history["best"], "epoch"].tolist()
    if len(best) != 1:
        raise UserError(
            f"{folder / 'history.parquet'}: {len(best)} epochs of seed {seed} are marked as"
            " best, but it must be one; delete the folder and train this run again."
        )
    return {
        "epochs": len(history),
        "best_epoch": best[0],
        "bags_trained": history["bags_trained"].iloc[-1],
        **history[["seconds", *SECONDS]].sum(),
        "seconds_to_best": history.loc[history["epoch"] <= best[0], "seconds"].sum(),
    }


def _of_classes(
    run: dict[str, Any],
    classes: Sequence[str],
    seed: int,
    label: np.ndarray,
    score: np.ndarray,
    of_history: dict[str, Any],
) -> list[dict[str, Any]]:
    """The rows of a seed of a model of many classes, for labels and scores (B, C)."""
    rows: list[dict[str, Any]] = []
    found = of_classes(label, score)
    for place, name in enumerate(classes):
        n_positive, n_pool = (run[key][str(seed)][place] for key in COUNTS[:2])
        known = label[:, place] != UNKNOWN
        positive = int(np.count_nonzero(label[:, place] == 1))
        ap, roc_auc = found[place] if n_positive else (np.nan, np.nan)
        rows.append(
            {
                "class": name,
                "strategy": run["strategy"],
                "seed": seed,
                "ap": ap,
                "roc_auc": roc_auc,
                "lift": ap * np.count_nonzero(known) / max(positive, 1),
                "n_positive": n_positive,
                "n_pool": n_pool,
                "budget": n_pool,
                **of_history,
                "test_positive": positive,
                "test_bags": np.count_nonzero(known),
                UNKNOWN_COLUMN: np.count_nonzero(~known),
                **{f"tied_{end}": n for end, n in tied_at_the_ends(score[known, place]).items()},
                "device": run["made_with"][str(seed)]["device"],
                "fingerprint": run["fingerprint"],
            }
        )
    return rows


@stage
def collect_metrics(runs: list[StrategyRun], output: Path) -> None:
    """Compute the metrics of every run of a study.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run; strategies that choose the same bags share a folder.
    output : Path
        CSV file to write, in the order of the runs, then by seed, with the columns `COLUMNS`;
        `test_unknown` only if a test bag is unknown.

    Raises
    ------
    UserError
        As for `run_metrics`, and when two runs have the same class, strategy and seed.
    """
    if not runs:
        raise UserError(f"{output}: no run is named; name at least one.")
    metrics = pd.concat(
        [run_metrics(folder).assign(strategy=strategy) for strategy, folder in runs],
        ignore_index=True,
    )
    _refuse_duplicates(metrics, output)
    tied = metrics[metrics[TIED].max(axis=1) > HANDFUL]
    if len(tied):
        worst = tied.loc[tied[TIED].max(axis=1).idxmax()]
        print(
            f"warning: in {len(tied)} of {len(metrics)} results, more than {HANDFUL} test bags have"
            f" the highest or the lowest score (up to {worst[TIED].max()}: class"
            f" {worst['class']!r}, strategy {worst['strategy']!r}, seed {worst['seed']}), and the"
            f" model does not rank them; see the columns {' and '.join(TIED)} of {output}.",
            file=sys.stderr,
        )
    if not metrics[UNKNOWN_COLUMN].any():
        metrics = metrics.drop(columns=UNKNOWN_COLUMN)
    write_frame(output, metrics)


def read_metrics(path: str | Path, needed: Sequence[str] = NEEDED) -> pd.DataFrame:
    """Read a `metrics.csv`. Names stay text, so that classes named "NA" or "007" survive.

    Parameters
    ----------
    path : str or Path
        The file.
    needed : sequence of str
        Columns that it must have.

    Returns
    -------
    DataFrame
        One row per class, strategy and seed; empty numbers are NaN. Where the file does not have
        them, `TIED` are NaN, and `test_unknown` is 0.

    Raises
    ------
    UserError
        When the file is missing, is not text, or lacks a column.
    """
    try:
        metrics = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXT_COLUMNS, str),
            keep_default_na=False,
            na_values={name: [""] for name in COLUMNS if name not in TEXT_COLUMNS},
            float_precision="round_trip",
        )
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run collect_metrics first.") from None
    except (OSError, pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({str(error).strip()}).") from error
    missing = [column for column in needed if column not in metrics]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}; run collect_metrics again.")
    absent = {UNKNOWN_COLUMN: 0, **dict.fromkeys(TIED, np.nan)}
    return metrics.assign(**{name: value for name, value in absent.items() if name not in metrics})


def select_study(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Keep the rows of the study's classes and strategies, in its order.

    Parameters
    ----------
    metrics : DataFrame
        Metrics with at least the columns class, strategy and seed.
    study : Study
        The study.

    Returns
    -------
    DataFrame
        One row for every class, strategy and seed.

    Raises
    ------
    UserError
        When a row is missing or occurs more than once: means over an incomplete table would not be
        comparable.
    """
    chosen = metrics[
        metrics["class"].isin(study.classes) & metrics["strategy"].isin(study.strategies)
    ]
    _refuse_duplicates(chosen, f"metrics of study {study.name}")
    seeds = sorted(chosen["seed"].unique())
    if not seeds:
        raise UserError(
            f"The metrics of study {study.name} contain none of its classes and strategies;"
            " run collect_metrics again."
        )
    index = pd.MultiIndex.from_product(
        [study.classes, study.strategies, seeds], names=["class", "strategy", "seed"]
    )
    chosen = chosen.set_index(["class", "strategy", "seed"])
    missing = index.difference(chosen.index, sort=False)
    if len(missing):
        class_name, strategy, seed = missing[0]
        raise UserError(
            f"The metrics of study {study.name} lack seed {seed} of class {class_name!r} and"
            f" strategy {strategy!r} ({len(missing)} missing in total); run collect_metrics again."
        )
    return chosen.loc[index].reset_index()[list(metrics.columns)]


def _g_mean(label: np.ndarray, called: np.ndarray) -> float:
    """Geometric mean of sensitivity and specificity; `called` are the bags called positive."""
    sensitivity, specificity = called[label == 1].mean(), 1 - called[label == 0].mean()
    return float(np.sqrt(sensitivity * specificity))


def _refuse_duplicates(metrics: pd.DataFrame, where: object) -> None:
    duplicated = metrics[metrics.duplicated(["class", "strategy", "seed"])]
    if len(duplicated):
        row = duplicated.iloc[0]
        raise UserError(
            f"{where}: class {row['class']!r}, strategy {row['strategy']!r} and seed {row['seed']}"
            " occur more than once; name each run folder once."
        )
