"""The validation split, and how many bags are chosen."""

import math
import zlib
from collections import Counter

import numpy as np

from weakneg.errors import UserError


def n_validation(n: int, fraction: float) -> int:
    """How many of n bags of a label go to validation, where bags have no groups."""
    return min(max(math.floor(fraction * n + 0.5), 1), n - 1)


def n_chosen(negatives_per_positive: float, n_positive: int, n_pool: int) -> int:
    """The budget: how many negative bags an epoch trains on, of a pool that is not empty."""
    return min(max(1, round(negatives_per_positive * n_positive)), n_pool)


def n_candidates(fraction: float, budget: int, n_pool: int) -> int:
    """How many bags of the pool are scored, to choose `budget` from."""
    return max(budget, round(fraction * n_pool))


def split_validation(
    label: np.ndarray, fraction: float, seed: int, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split bags into training and validation, stratified by label.

    label : (B,) 0 or 1
    fraction : share of each label's bags that go to validation, in (0, 1), rounded to whole bags,
        at least one and not all
    seed : integer >= 0; the same gives the same split
    group : (B,) integers; bags of one group stay together. In random order, those are held out that
        bring the share nearer; the smallest, if none does. The label of fewer groups goes first: a
        group of both labels follows it, however large that makes the share of the other. None: each
        bag is a group

    Returns the row numbers of the training bags and of the validation bags, each sorted.
    Raises UserError when a label has fewer than two bags, or groups to separate.
    """
    label = np.asarray(label)
    group = np.arange(len(label)) if group is None else np.asarray(group)
    # The second word keeps this stream apart from those that draw bags or initialise models.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"validation"))))
    orders = []
    for value, name in ((0, "negative"), (1, "positive")):
        orders.append(rng.permutation(np.flatnonzero(label == value)))
        if len(orders[-1]) < 2:
            raise UserError(
                f"there are {len(orders[-1])} {name} bags, but training and validation need one "
                "each: get more data, make bags smaller, or leave the class out."
            )
    held_out: dict[int, bool] = {}  # group -> whether it is for validation
    # A group of both labels goes where the first goes: that of the fewest groups, which has the
    # least choice.
    named = zip(("positive", "negative"), reversed(orders), strict=True)
    for name, rows in sorted(named, key=lambda each: len(np.unique(group[each[1]]))):
        wanted = n_validation(len(rows), fraction)
        sizes = Counter(group[rows].tolist())
        held = sum(size for number, size in sizes.items() if held_out.get(number))
        kept = any(not held_out.get(number, True) for number in sizes)
        free = [number for number in sizes if number not in held_out]
        held_out |= dict.fromkeys(free, False)
        for place, number in enumerate(free):
            nearer = 2 * held + sizes[number] <= 2 * wanted
            if nearer and (kept or place < len(free) - 1):
                held_out[number] = True
                held += sizes[number]
            else:
                kept = True
        if not held and free and len(sizes) > 1:
            smallest = min(free, key=sizes.__getitem__)
            held_out[smallest], held = True, sizes[smallest]
        if not held or not kept:
            raise UserError(
                f"the {len(rows)} {name} bags are of {len(sizes)} groups, which training and "
                "validation cannot share out: take recordings from more sources."
            )
    validation = np.array([held_out[number] for number in group.tolist()])
    return np.flatnonzero(~validation), np.flatnonzero(validation)
