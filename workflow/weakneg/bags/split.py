"""The validation split, and the numbers of bags that are chosen."""

import math
import zlib
from collections import Counter

import numpy as np

from weakneg.bags.draw import UNKNOWN
from weakneg.errors import UserError


def n_validation(n: int, fraction: float) -> int:
    """The number of bags of a label that go to validation, where bags have no groups.

    Parameters
    ----------
    n : int
        Number of bags of the label.
    fraction : float
        Share that goes to validation, in (0, 1).

    Returns
    -------
    int
        From 1 to n - 1.
    """
    return min(max(math.floor(fraction * n + 0.5), 1), n - 1)


def n_chosen(negatives_per_positive: float, n_positive: int, n_pool: int) -> int:
    """The budget: the number of negative bags that an epoch trains on.

    Parameters
    ----------
    negatives_per_positive : float
        Negative bags per positive bag.
    n_positive, n_pool : int
        Number of positive bags, and of negative and unknown bags to choose from, at least 1.

    Returns
    -------
    int
        From 1 to `n_pool`.
    """
    return min(max(1, round(negatives_per_positive * n_positive)), n_pool)


def n_candidates(fraction: float, budget: int, n_pool: int) -> int:
    """The number of bags of the pool that are scored, to choose `budget` of them.

    Parameters
    ----------
    fraction : float
        Share of the pool to score, in (0, 1].
    budget : int
        Number of bags to choose.
    n_pool : int
        Size of the pool.

    Returns
    -------
    int
        From `budget` to `n_pool`.
    """
    return max(budget, round(fraction * n_pool))


def split_validation(
    label: np.ndarray, fraction: float, seed: int, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split bags into training and validation, stratified by label.

    With labels for many classes, another rule holds: see `_split_of_many`.

    Only bags whose label is known are held out, since the others could not be counted as right or
    wrong. Unknown bags are for training, but for those of a group that is held out, which are for
    neither.

    Groups are visited in random order, and a group is held out if that brings the share closer to
    `fraction`; if no group does, the smallest is held out. The label with fewer groups goes first,
    and groups with both labels follow its choice, even if the share of the other label becomes
    large.

    Parameters
    ----------
    label : ndarray, (B,) or (B, C) int
        0, 1 or `UNKNOWN`.
    fraction : float
        Share of each label's bags that go to validation, in (0, 1), rounded to whole bags: at least
        one, and not all.
    seed : int
        At least 0; equal seeds give equal splits.
    group : ndarray, (B,) int, optional
        Bags of one group stay together. None: each bag is its own group.

    Returns
    -------
    training, validation : ndarray, int64
        Row numbers of the bags, sorted.

    Raises
    ------
    UserError
        When a label has fewer than two known bags, or its groups cannot be divided.
    """
    label = np.asarray(label)
    group = np.arange(len(label)) if group is None else np.asarray(group)
    if label.ndim == 2 and label.shape[1] > 1:
        return _split_of_many(label, fraction, seed, group)
    label = label.reshape(len(label))
    # The second word separates this stream from those that draw bags or initialise models.
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"validation"))))
    orders = []
    for value, name in ((0, "negative"), (1, "positive")):
        orders.append(rng.permutation(np.flatnonzero(label == value)))
        if len(orders[-1]) < 2:
            unknown = np.count_nonzero(label == UNKNOWN)
            besides = f" besides {unknown} unknown ones" if unknown else ""
            what = f"list more bags as {name}" if unknown else "add data, decrease bag_size"
            raise UserError(
                f"there are {len(orders[-1])} {name} bags{besides}, but training and validation "
                f"need one each: {what}, or leave the class out."
            )
    held_out: dict[int, bool] = {}  # group -> whether it is for validation
    # The label with the fewest groups has the least choice: groups with both labels follow it.
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
                f"the groups of the {len(rows)} {name} bags ({len(sizes)}) cannot be divided "
                "between training and validation: add recordings from more sources."
            )
    # A group of which no bag is known was not asked about.
    held_bags = np.array([held_out.get(number, False) for number in group.tolist()])
    return np.flatnonzero(~held_bags), np.flatnonzero(held_bags & (label != UNKNOWN))


def _split_of_many(
    label: np.ndarray, fraction: float, seed: int, group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split bags so that about the same share of the positives of every class is held out.

    The class with the fewest positives that are not yet divided goes first, as it has the least
    choice. Shares are not rounded up: a class with fewer positives than 1 / (2 fraction), or with
    large groups, may have none in validation. No class loses its last group of positives to it. Of
    a group that is held out, all bags are, whether or not any of their labels is known.

    Parameters, results and errors are otherwise as for `split_validation`.

    References
    ----------
    Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (ECML 2011): the
    order of the classes.
    """
    rng = np.random.default_rng(np.random.SeedSequence((seed, zlib.crc32(b"validation"))))
    groups, number = np.unique(group, return_inverse=True)
    if len(groups) < 2:
        raise UserError("training and validation need two groups of bags: add data.")
    # (G, C + 1): positives of each group, and, in place of a last class, its bags.
    bag, place = np.nonzero(label == 1)
    n_classes = label.shape[1]
    shape = (len(groups), n_classes + 1)
    sizes = np.zeros(shape, dtype=np.int32)
    np.add.at(sizes, (number[bag], place), 1)
    sizes[:, -1] = np.bincount(number)
    order = rng.permutation(len(groups))
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))

    held_out = np.zeros(len(groups), dtype=bool)
    free = np.ones(len(groups), dtype=bool)
    total = sizes.sum(0)
    wanted = fraction * total
    held = np.zeros_like(wanted)
    left = total.copy()
    waiting = set(range(n_classes))
    while True:
        # In the end, the groups that no class has divided.
        each = min(waiting, key=lambda one: (left[one], one)) if waiting else n_classes
        candidates = np.flatnonzero((sizes[:, each] > 0) & free)
        for one in candidates[ranks[candidates].argsort()].tolist():
            mine = sizes[one]
            nearer = 2 * held[each] + mine[each] <= 2 * wanted[each]
            if nearer and (held + mine < total)[mine > 0].all():
                held_out[one] = True
                held += sizes[one]
        free[candidates] = False
        left -= sizes[candidates].sum(0)
        if not waiting:
            break
        waiting.discard(each)
    if not held_out.any() or held_out.all():
        held_out[:] = False
        held_out[order[0]] = True
    bags = held_out[number]
    return np.flatnonzero(~bags), np.flatnonzero(bags)
