"""Negative clips that are probably positive, by models that did not train on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from weakneg.analysis.most_selected import Link, identity
from weakneg.analysis.selections import ClassBags
from weakneg.analysis.truth import Judged
from weakneg.bags.manifest import LABEL_SEPARATOR

TOP = 100  # suspects listed per class
CHECKED = (10, 50, 100)  # first suspects of which the precision is given, where truth is known
COLUMNS = [
    "class",
    "rank",
    "split",
    "id",
    "start",
    "link",
    "probability",
    "in_top",
    "other_labels",
    "related_labels",
    "heard",
]


@dataclass(frozen=True)
class Suspects:
    """The N negatives of a class, the most suspicious first.

    Attributes
    ----------
    row : ndarray, (N,) int64
        Rows of the negatives in `ClassBags`.
    probability : ndarray, (N,) float64
        Mean probability over models.
    in_top : ndarray, (N,) float64
        Share of the models of which it is among the `TOP` highest-scored negatives.
    """

    row: np.ndarray
    probability: np.ndarray
    in_top: np.ndarray


def suspects(scores: np.ndarray, label: np.ndarray) -> Suspects:
    """Rank the negatives by how high models that did not train on them score them.

    Parameters
    ----------
    scores : ndarray, (M, B) float64
        Logits of the bags by each model; NaN for bags that the model trained on.
    label : ndarray, (B,) int8
        1 for positive bags; all others are negative or not labelled.

    Returns
    -------
    Suspects
        By the mean probability, without the bags that all models trained on.

    Notes
    -----
    Among negatives, this is also the order of self-confidence, the default of cleanlab. Means of
    ranks and of logits found fewer missing labels among the first 100, and no more among the first
    10 and 50 (see tests/benchmarks/README.md).
    """
    row = np.flatnonzero((label != 1) & ~np.isnan(scores).all(axis=0))
    scores = scores[:, row]
    above = rankdata(-scores, axis=1, nan_policy="omit") - 1
    probability = np.nanmean(expit(scores), axis=0)
    scored = np.count_nonzero(~np.isnan(scores), axis=0)
    in_top = np.count_nonzero(above < TOP, axis=0) / scored
    order = np.argsort(-probability, kind="stable")
    return Suspects(row[order], probability[order], in_top[order])


def suspect_rows(
    class_name: str,
    bags: ClassBags,
    ranked: Suspects,
    link: Link | None,
    judged: Judged | None,
) -> list[dict[str, Any]]:
    """The rows of suspects.csv of a class.

    Parameters
    ----------
    class_name : str
        The class.
    bags : ClassBags
        Its test clips.
    ranked : Suspects
        Its negatives, ranked.
    link : callable, optional
        URL of a clip.
    judged : Judged, optional
        What people heard, if they listened for the class.

    Returns
    -------
    list of dict
        `TOP` rows with the columns `COLUMNS`. `heard` is 1 or 0, or empty where nobody listened.
    """
    heard = {} if judged is None else dict(zip(judged.row, judged.heard.astype(int), strict=True))
    rows = []
    columns = (ranked.row, ranked.probability, ranked.in_top)
    for rank, (row, probability, in_top) in enumerate(
        zip(*(column[:TOP].tolist() for column in columns), strict=True), start=1
    ):
        labels = bags.labels_of(row)
        rows.append(
            {
                "class": class_name,
                "rank": rank,
                "split": "test",
                **identity(bags, row, link),
                "probability": probability,
                "in_top": in_top,
                "other_labels": LABEL_SEPARATOR.join(labels),
                "related_labels": LABEL_SEPARATOR.join(
                    label for label in labels if label in (bags.related_classes or ())
                ),
                "heard": heard.get(row, ""),
            }
        )
    return rows


def precision(ranked: Suspects, judged: Judged, firsts: Sequence[int] = CHECKED) -> list[float]:
    """Share of true suspects among the first ones that people listened to.

    Parameters
    ----------
    ranked : Suspects
        The negatives of a class, ranked.
    judged : Judged
        What labels and people say of the clips that were listened to.
    firsts : sequence of int
        How many of them to look at.

    Returns
    -------
    list of float
        For each number of `firsts`, the share of clips in which the class was heard among as many
        negatives that people listened to, in the order of the suspects; then the share among all
        such negatives, the base rate. NaN if there are none.
    """
    heard = dict(zip(judged.row, judged.heard, strict=True))
    named = {*judged.row[judged.labelled].tolist()}  # by a label that means the same
    found = [heard[row] for row in ranked.row.tolist() if row in heard and row not in named]
    return [float(np.mean(found[:n])) if found else np.nan for n in (*firsts, len(found))]
