"""How often each bag of the pool was chosen."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from weakneg.analysis.selections import ClassBags, Selections
from weakneg.bags.draw import UNKNOWN
from weakneg.bags.manifest import LABEL_SEPARATOR

TOP = 20  # bags listed per class and strategy
COLUMNS = [
    "class",
    "strategy",
    "rank",
    "draw",
    "bag",
    "id",
    "start",
    "link",
    "times",
    "selections",
    "mean_place",
    "mean_score",
    "other_labels",
    "related_labels",
]
UNKNOWN_COLUMN = "unknown"  # only in tables of studies that have unknown bags

Link = Callable[[str, float], str]
"""The URL at which a clip can be played, from its id and its start in seconds."""


class Counts:
    """How often a strategy chose each bag of a class, over seeds and epochs.

    Parameters
    ----------
    n_bags : int
        Number of bags of the class, B.

    Attributes
    ----------
    times : ndarray, (B,) int64
        Number of selections that chose the bag.
    selections : ndarray, (B,) int64
        Number of selections with the bag in the pool.
    place, score : ndarray, (B,) float64
        Sums over the selections that chose the bag, as in `Selections`.
    """

    def __init__(self, n_bags: int):
        self.times, self.selections = (np.zeros(n_bags, dtype=np.int64) for _ in range(2))
        self.place, self.score = np.zeros(n_bags), np.zeros(n_bags)

    def add(self, chosen: Selections) -> None:
        """Add the selections of a seed."""
        self.times[chosen.pool] += np.count_nonzero(chosen.chosen, axis=0)
        self.selections[chosen.pool] += len(chosen.epoch)
        self.place[chosen.pool] += chosen.place
        self.score[chosen.pool] += chosen.score

    @property
    def scored(self) -> bool:
        """Whether the strategy scores the bags that it chooses; others say nothing about a bag."""
        return not np.isnan(self.score).any()

    def top(self, n: int) -> np.ndarray:
        """The n bags chosen most often, in order; fewer if fewer were chosen at all."""
        share = self.times / np.maximum(self.selections, 1)
        mean_place = self.place / np.maximum(self.times, 1)
        order = np.lexsort((mean_place, -self.times, -share))
        return order[: min(n, np.count_nonzero(self.times))]


def pooled(counts: Collection[Counts], n_bags: int) -> Counts:
    """Counts summed over the strategies that score; without the scores, which are not comparable.

    Parameters
    ----------
    counts : collection of Counts
        The counts of each strategy.
    n_bags : int
        Number of bags of the class.
    """
    total = Counts(n_bags)
    for each in counts:
        if each.scored:
            total.times += each.times
            total.selections += each.selections
            total.place += each.place
    return total


def most_selected(
    class_name: str, bags: ClassBags, counts: Mapping[str, Counts], link: Link | None
) -> list[dict[str, Any]]:
    """The bags that each strategy chose most often.

    Parameters
    ----------
    class_name : str
        The class.
    bags : ClassBags
        Its bags.
    counts : mapping
        Strategy -> how often it chose each bag.
    link : callable, optional
        URL of a clip.

    Returns
    -------
    list of dict
        `TOP` rows of the table with the columns `COLUMNS` for each strategy that scores.
        `selections` counts those with the bag in the pool, that is, not used for validation (with
        `candidate_fraction`: whether or not it was a candidate). `mean_place` is its mean place in
        the order of choice, from 0 (first) to 1. Bags are ranked by `times` / `selections`, then by
        `times`, then by `mean_place`, which is comparable between epochs, unlike scores. A further
        column, `unknown`, is 1 for bags of which nobody knows whether they are negative, else 0.
    """
    rows = []
    for strategy, each in counts.items():
        if not each.scored:
            continue
        for rank, row in enumerate(each.top(TOP).tolist(), start=1):
            labels = bags.labels_of(row)
            related = [label for label in labels if label in (bags.related_classes or ())]
            rows.append(
                {
                    "class": class_name,
                    "strategy": strategy,
                    "rank": rank,
                    "draw": bags.draw[row],
                    "bag": bags.bag[row],
                    **identity(bags, row, link),
                    "times": each.times[row],
                    "selections": each.selections[row],
                    "mean_place": each.place[row] / each.times[row],
                    "mean_score": each.score[row] / each.times[row],
                    "other_labels": LABEL_SEPARATOR.join(labels),
                    "related_labels": LABEL_SEPARATOR.join(related),
                    UNKNOWN_COLUMN: int(bags.label[row] == UNKNOWN),
                }
            )
    return rows


def identity(bags: ClassBags, row: int, link: Link | None) -> dict[str, Any]:
    """The id, start and link of the bag in a row; empty where there is none."""
    if bags.clips is None:
        return {"id": "", "start": "", "link": ""}
    name, start = bags.clips["id"][row], float(bags.clips["start"][row])
    return {"id": name, "start": start, "link": link(name, start) if link else ""}


def shares(which: np.ndarray | None, counts: Counts) -> tuple[float, float] | None:
    """The share of some bags among the chosen bags, and in the pool.

    Parameters
    ----------
    which : ndarray, (B,) bool, optional
        The bags, such as those with a related label; None if that is not known.
    counts : Counts
        How often each bag was chosen.

    Returns
    -------
    (float, float) or None
        Both shares, 0 to 1; None if `which` is None or nothing was chosen.
    """
    if which is None or not counts.times.any():
        return None
    chosen = counts.times[which].sum() / counts.times.sum()
    in_pool = counts.selections[which].sum() / counts.selections.sum()
    return float(chosen), float(in_pool)
