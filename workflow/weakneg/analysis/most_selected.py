"""How often each negative bag was chosen."""

import numpy as np

from weakneg.analysis.selections import Selections

TOP = 20  # negatives listed per class and strategy


# ----------------------------------------------------------------------------- most selected
class Counts:
    """How often each of a class's bags was chosen by a strategy, over seeds and epochs.

    times, selections : (B,) selections that chose the bag, and those with the bag in the pool
    place, score : (B,) sums over the selections that chose it, as in `Selections`
    """

    def __init__(self, n_bags: int):
        self.times, self.selections = (np.zeros(n_bags, dtype=np.int64) for _ in range(2))
        self.place, self.score = np.zeros(n_bags), np.zeros(n_bags)

    def add(self, chosen: Selections) -> None:
        self.times[chosen.pool] += np.count_nonzero(chosen.chosen, axis=0)
        self.selections[chosen.pool] += len(chosen.epoch)
        self.place[chosen.pool] += chosen.place
        self.score[chosen.pool] += chosen.score

    @property
    def scored(self) -> bool:
        """Whether the strategy scores what it chooses; one that does not says nothing of a bag."""
        return not np.isnan(self.score).any()

    def top(self, n: int) -> np.ndarray:
        """The n bags chosen most often, of those chosen at all, in order."""
        share = self.times / np.maximum(self.selections, 1)
        mean_place = self.place / np.maximum(self.times, 1)
        order = np.lexsort((mean_place, -self.times, -share))
        return order[: min(n, np.count_nonzero(self.times))]
