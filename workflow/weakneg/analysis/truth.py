"""Models and labels against what people heard, on exactly the clips that they listened to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from weakneg.analysis.runs import read_parquet, read_run
from weakneg.analysis.selections import ClassBags
from weakneg.analysis.study import Study
from weakneg.bags.draw import UNKNOWN
from weakneg.datasets.listened import HeardClip, match_clips
from weakneg.errors import UserError

FIRST = (25, 50)  # highest-scored negatives that are checked
PRECISION = [f"precision_{n}" for n in FIRST]
COUNTS = ["clips", "both", "only_labelled", "only_heard", "neither"]
COLUMNS = [
    "class",
    "strategy",
    "seed",
    "ap_labels",
    "roc_auc_labels",
    "ap_heard",
    "roc_auc_heard",
    *PRECISION,
    "base_rate",
    *COUNTS,
]
METRICS = {
    "ap_labels": "AP by labels",
    "ap_heard": "AP by listening",
    "roc_auc_labels": "ROC-AUC by labels",
    "roc_auc_heard": "ROC-AUC by listening",
}


class Judged(NamedTuple):
    """What is said of the N clips of a class that people listened to.

    Attributes
    ----------
    row : ndarray, (N,) int64
        Rows of the clips in `ClassBags`.
    labelled : ndarray, (N,) bool
        The positive clips by the labels of the data set.
    heard : ndarray, (N,) bool
        The positive clips by listening.
    known : ndarray, (N,) bool
        The clips whose label is known.
    """

    row: np.ndarray
    labelled: np.ndarray
    heard: np.ndarray
    known: np.ndarray

    @property
    def comparable(self) -> "Judged":
        """Without the clips whose label is unknown, where there is nothing to compare."""
        return Judged(*(values[self.known] for values in self))

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of clips in `COUNTS`."""
        kinds = {
            "both": self.labelled & self.heard,
            "only_labelled": self.labelled & ~self.heard,
            "only_heard": ~self.labelled & self.heard,
            "neither": ~self.labelled & ~self.heard,
        }
        return {"clips": len(self.row)} | {name: int(of.sum()) for name, of in kinds.items()}


def judged_clips(
    bags: ClassBags, clips: Sequence[HeardClip], means: Mapping[str, Sequence[str]]
) -> Judged:
    """Find the clips of a class that people listened to, and what labels and people say of them.

    Parameters
    ----------
    bags : ClassBags
        The test clips of the class.
    clips : sequence of HeardClip
        The list of what was heard.
    means : mapping
        "heard" -> labels of the list that mean the class; "labelled" -> more classes of the data
        set that do (see `weakneg.config.truth.JudgedClass`).

    Returns
    -------
    Judged
        All of these clips, also those whose label is unknown.

    Raises
    ------
    UserError
        When the list has no test clip, or no label that means the class.
    """
    assert bags.clips is not None
    if not any(clip.labels & {*means["heard"]} for clip in clips):
        known = sorted(frozenset().union(*(clip.labels for clip in clips)))
        raise UserError(
            f"the list of what was heard does not have {' or '.join(map(repr, means['heard']))}: "
            f"name some of its labels ({', '.join(known)}) in the section truth of the study."
        )
    found = match_clips(bags.clips["id"].tolist(), bags.clips["start"].tolist(), clips)
    if not found:
        raise UserError(
            f"none of the {len(clips)} clips of the list of what was heard is in {bags.manifest}: "
            "list test clips by their ids, and starts, there."
        )
    row = np.array([*found])
    same = {*means["labelled"]}
    labelled = [bags.label[each] == 1 or bool(same & {*bags.labels_of(each)}) for each in row]
    heard = [bool(clip.labels & {*means["heard"]}) for clip in found.values()]
    return Judged(row, np.array(labelled), np.array(heard), bags.label[row] != UNKNOWN)


def read_scores(run_folder: Path, bags: ClassBags) -> tuple[list[int], np.ndarray]:
    """Read the scores of a run.

    Parameters
    ----------
    run_folder : Path
        Folder of the run.
    bags : ClassBags
        The B test bags of its class.

    Returns
    -------
    seeds : list of int
        The S seeds, ascending.
    scores : ndarray, (S, B) float64
        Logits.

    Raises
    ------
    UserError
        When scores.parquet is missing or damaged, or does not hold these bags.
    """
    path = run_folder / "scores.parquet"
    table = read_parquet(path).pivot(index="seed", columns="bag", values="score")
    scores = table.reindex(columns=bags.bag)
    if scores.isna().any(axis=None):
        raise UserError(f"{path} lacks bags of {bags.manifest}: delete it, and run again.")
    return table.index.tolist(), scores.to_numpy()


def judge_run(scores: np.ndarray, judged: Judged) -> dict[str, float]:
    """Judge the scores of a model by the labels and by listening.

    Parameters
    ----------
    scores : ndarray, (N,) float64
        Scores of the clips that were listened to.
    judged : Judged
        What is said of them.

    Returns
    -------
    dict
        `METRICS`, each over the same clips; for each n of `FIRST`, precision_n: the share of clips
        in which the class was heard among the n that score highest and are negative by the labels
        (fewer, if there are not that many); base_rate, that share among all negatives.
    """
    # Half a second, which those who only read tables need not wait.
    from sklearn.metrics import average_precision_score, roc_auc_score

    found = {}
    for kind, positive in (("labels", judged.labelled), ("heard", judged.heard)):
        found[f"ap_{kind}"] = average_precision_score(positive, scores)
        found[f"roc_auc_{kind}"] = roc_auc_score(positive, scores)
    negative = ~judged.labelled
    order = np.argsort(-scores[negative], kind="stable")
    heard = judged.heard[negative][order]
    for n, name in zip(FIRST, PRECISION, strict=True):
        found[name] = heard[:n].mean()
    found["base_rate"] = heard.mean()
    return {name: float(value) for name, value in found.items()}


def judge_runs(
    runs: Sequence[tuple[str, Path]], judged: Mapping[str, tuple[ClassBags, Judged]]
) -> pd.DataFrame:
    """Judge every model of the classes that people listened for.

    Parameters
    ----------
    runs : sequence of (str, Path)
        Strategy and folder of each run; runs of other classes are left out.
    judged : mapping
        Class -> its test clips, and what is said of those that people listened to; the ones whose
        label is unknown are left out.

    Returns
    -------
    DataFrame
        One row per class, strategy and seed, with the columns `COLUMNS`.

    Raises
    ------
    UserError
        When all or none of the clips of a class are positive, by the labels or by listening, or
        scores are missing.
    """
    judged = {name: (bags, clips.comparable) for name, (bags, clips) in judged.items()}
    for class_name, (_, clips) in judged.items():
        for positive, by in ((clips.labelled, "the labels"), (clips.heard, "listening")):
            if positive.all() or not positive.any():
                raise UserError(
                    f"{class_name}: {np.count_nonzero(positive)} of the {len(positive)} test clips "
                    f"that people listened to are positive by {by}, but some and not all must be: "
                    "leave the class out of the section truth of the study, or list more clips."
                )
    rows: list[dict[str, Any]] = []
    for strategy, folder in runs:
        class_name = read_run(folder)["class"]
        if class_name not in judged:
            continue
        bags, of_class = judged[class_name]
        seeds, scores = read_scores(folder, bags)
        for seed, of_seed in zip(seeds, scores, strict=True):
            key = {"class": class_name, "strategy": strategy, "seed": seed}
            rows.append(key | judge_run(of_seed[of_class.row], of_class) | of_class.counts)
    return pd.DataFrame(rows, columns=COLUMNS)


def as_metrics(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The table truth.csv as the comparisons of `weakneg.analysis.comparison` read metrics.

    Parameters
    ----------
    table : DataFrame
        The table of `judge_runs`.
    study : Study
        The study.

    Returns
    -------
    DataFrame
        Its rows in the study's order of classes and strategies, with the sizes of the classes.
    """
    sizes = {
        "n_positive": np.nan,
        "test_positive": table["both"] + table["only_labelled"],
        "test_bags": table["clips"],
        "test_unknown": 0,
    }
    places = {"class": study.classes, "strategy": study.strategies}
    order = {key: {name: n for n, name in enumerate(names)} for key, names in places.items()}
    return table.assign(**sizes).sort_values(
        ["class", "strategy", "seed"],
        key=lambda column: column.map(order[column.name]) if column.name in order else column,
        ignore_index=True,
    )


def read_judged(path: Path) -> pd.DataFrame:
    """Read a truth.csv; names stay text. Raises UserError when it is missing or damaged."""
    try:
        table = pd.read_csv(path, dtype={"class": str, "strategy": str}, keep_default_na=False)
        return table[COLUMNS]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run judge_truth first.") from None
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); run judge_truth again.") from error
