"""Synthetic positive bags, against the formulas that they come from."""

import numpy as np
import pytest
import torch
from torch import Tensor

from weakneg.bags.draw import Bags
from weakneg.config.stages import RunSettings
from weakneg.features.store import Store
from weakneg.training import batches
from weakneg.training.batches.synthetic import mean_features, with_synthetic
from weakneg.training.data import BagData
from weakneg.training.loop import train_seed

N, POSITIVE, M, F = 40, 8, 4, 6
BATCH = 5


def feature_bags(sizes=None, n_positive: int = POSITIVE) -> BagData:
    """Bags of up to M feature vectors, all different; the first ones are positive."""
    x = np.random.default_rng(0).normal(3, 2, (N, M, F)).astype(np.float32)
    mean, std = x.mean((0, 1)), x.std((0, 1))
    store = Store(x, np.arange(N), np.zeros((N, 0)), (), mean, std, "clips", {})
    mask = np.arange(M) < (np.full(N, M) if sizes is None else sizes)[:, None]
    instances = np.where(mask, np.arange(N * M).reshape(N, M), -1)
    label = (np.arange(N) < n_positive).astype(np.int8)
    return BagData(store, Bags(np.arange(N), label, np.full(N, np.nan), instances), CPU)


CPU = torch.device("cpu")


def settings(positives, **training) -> RunSettings:
    return RunSettings.model_validate(
        {
            "model": {"name": "mlp", "pooling": "attention"},
            "sampling": {},
            "training": {"positives": positives, "validation_fraction": 0.3} | training,
            "strategy": "random",
            "options": {},
            "seeds": [0],
            "draw_per_seed": False,
        }
    )


def occurred(rows: Tensor) -> Tensor:
    """Which rows occurred before."""
    return torch.tensor([row in rows[:place] for place, row in enumerate(rows)])


def made(data: BagData, positives, rows: Tensor, seed: int = 0):
    """The bags (n, M, F), masks (n, M) and labels (n,) of an epoch."""
    load = batches.load(None, positives and settings(positives).training.positives)
    more = {"synthetic": occurred(rows)} if positives else {}
    found = list(load(data, rows, BATCH, None, seed, **more))
    x = torch.cat([x for (x, _), _ in found])
    masks = [mask for (_, mask), _ in found]
    return x, None if masks[0] is None else torch.cat(masks), torch.cat([y for _, y in found])


# Positive bags 0 to 7, synthetic ones of 3, 3, 0 and 6, and negatives.
ROWS = torch.tensor([20, 3, 0, 1, 3, 2, 21, 4, 3, 5, 0, 6, 30, 7, 6])
SYNTHETIC = torch.tensor([4, 8, 10, 14])


def steps(x: Tensor, own: Tensor, partner: Tensor) -> Tensor:
    """How far x is on the way from its own bag to each partner; NaN where it is not on it."""
    way, gone = (partner - own).flatten(1), (x - own).flatten()
    u = way @ gone / (way * way).sum(1)
    off = (u[:, None] * way - gone).abs().amax(1) > 1e-4
    return u.masked_fill(off, torch.nan)


@pytest.mark.parametrize("method", ["smote", "mixup"])
def test_a_synthetic_bag_is_between_a_positive_bag_and_another(method):
    data = feature_bags()
    x, _, label = made(data, {"method": method}, ROWS)
    plain, _, _ = made(data, None, ROWS)
    assert label.tolist() == (ROWS < POSITIVE).float().tolist()
    others = torch.ones(len(ROWS), dtype=torch.bool)
    others[SYNTHETIC] = False
    assert torch.equal(x[others], plain[others]), "all other bags are as they were"
    positives = data.input(torch.arange(POSITIVE))[0]
    found = set()
    for at in SYNTHETIC.tolist():
        own = int(ROWS[at])
        rest = [bag for bag in range(POSITIVE) if bag != own]
        u = steps(x[at], positives[own], positives[rest])
        [partner] = [bag for bag, step in zip(rest, u, strict=True) if not step.isnan()]
        assert 0 <= u[~u.isnan()].item() <= 1
        found.add((own, partner))
    assert len(found) > 2, "they differ"


@pytest.mark.parametrize("neighbours", [1, 3])
def test_smote_takes_one_of_the_nearest_by_their_means(neighbours):
    data = feature_bags()
    rows = torch.cat([torch.arange(POSITIVE), torch.arange(POSITIVE).repeat(20)])
    x, _, _ = made(data, {"method": "smote", "neighbours": neighbours}, rows)
    positives = data.input(torch.arange(POSITIVE))[0]
    means = positives.mean(1)
    distances = torch.cdist(means, means) + torch.diag(torch.full((POSITIVE,), torch.inf))
    used: dict[int, set[int]] = {bag: set() for bag in range(POSITIVE)}
    for at in range(POSITIVE, len(rows)):
        own = int(rows[at])
        u = steps(x[at], positives[own], positives)
        used[own] |= {bag for bag in range(POSITIVE) if bag != own and not u[bag].isnan()}
        # The mean of its instances is Chawla's x + u (x_nn - x).
        partner = next(bag for bag in used[own] if not u[bag].isnan())
        expected = means[own] + u[partner] * (means[partner] - means[own])
        assert torch.allclose(x[at].mean(0), expected, atol=1e-5)
    for own, partners in used.items():
        assert partners == set(distances[own].argsort()[:neighbours].tolist())


def test_where_one_bag_has_no_instance_the_other_one_is_taken():
    sizes = np.full(N, M)
    sizes[:2] = 2, 3
    data = feature_bags(sizes, n_positive=2)
    x, mask, _ = made(data, {"method": "mixup"}, torch.tensor([0, 1, 0, 1, 30]))
    (bags, masks) = data.input(torch.tensor([0, 1]))
    assert masks.sum(1).tolist() == [2, 3]
    assert mask.sum(1).tolist() == [2, 3, 3, 3, M], "the longer of the two"
    for at, own in ((2, 0), (3, 1)):
        assert not steps(x[at, :2], bags[own, :2], bags[1 - own, None, :2]).isnan().any()
        assert torch.equal(x[at, 2], bags[1, 2])


def test_the_mean_of_a_bag_leaves_padding_out():
    sizes = np.full(N, M)
    sizes[0] = 1
    data = feature_bags(sizes)
    found = mean_features(data, torch.tensor([0, 1]))
    x, _ = data.input(torch.tensor([0, 1]))
    assert np.allclose(found, [x[0, 0].numpy(), x[1].mean(0).numpy()], atol=1e-6)


@pytest.mark.parametrize("method", ["smote", "mixup"])
def test_a_single_positive_bag_is_repeated(method):
    data = feature_bags(n_positive=1)
    x, _, label = made(data, {"method": method}, torch.tensor([0, 20, 0]))
    assert torch.equal(x[2], x[0])
    assert label.tolist() == [1, 0, 1]


def test_seeds_draw_anew_and_equal_seeds_alike():
    data = feature_bags()
    one, again, other = (made(data, {"method": "mixup"}, ROWS, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one[SYNTHETIC], other[SYNTHETIC])


class Spectrograms:
    """Two positive clips of 4 and 6 of 6 frames, and a negative one."""

    device, audio = CPU, {}
    label = torch.tensor([1.0, 1.0, 0.0])
    x = torch.arange(3 * 6 * 2, dtype=torch.float32).view(3, 1, 6, 2)
    mask = torch.arange(6) < torch.tensor([4, 6, 6])[:, None]

    def inputs(self, rows):
        yield from ((self.x[each], self.mask[each]) for each in rows)

    def normalise(self, x):
        return x / 2


def test_spectrograms_are_mixed_where_both_have_sound():
    data = Spectrograms()
    x, mask, label = made(data, {"method": "mixup"}, torch.tensor([0, 1, 2, 0]))
    assert label.tolist() == [1, 1, 0, 1]
    assert mask[3].all()
    first, second = data.x[0, 0] / 2, data.x[1, 0] / 2
    assert torch.equal(x[3, 0, 4:], second[4:])
    u = (x[3, 0, :4] - first[:4]) / (second[:4] - first[:4])
    assert torch.allclose(u, u[0, 0].expand_as(u))
    assert 0 < u[0, 0] < 1


@pytest.mark.parametrize("share", [0.5, 1.0, 2.5])
def test_an_epoch_has_its_share_of_them(share):
    """Of 6 positive bags left for training, with 12 negatives; every one is a base in turn."""
    asked = []
    load = batches.load

    def spy(*given):
        make = load(*given)

        def batches_of(data, rows, *others, synthetic):
            assert {*rows[synthetic].tolist()} <= {*rows[~synthetic].tolist()}
            assert len({*rows[~synthetic].tolist()}) == (~synthetic).sum(), "no bag twice"
            asked.append(rows)
            return make(data, rows, *others, synthetic=synthetic)

        return batches_of

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "load", spy)
        state = train_seed(
            feature_bags(),
            settings({"method": "smote", "share": share}, epochs=2),
            *(0, None, lambda state: None),
        )
    assert state["n_positive"] == 6
    made_of = round(share * 6)
    assert state["history"][-1]["bags_trained"] == 2 * (6 + made_of + 12)
    for rows in asked:
        counts = rows[rows < POSITIVE].bincount()
        counts = counts[counts > 0]
        assert counts.sum() == 6 + made_of
        assert counts.max() - counts.min() <= 1
    assert not torch.equal(*asked)


def test_with_equal_steps_the_whole_pool_has_the_same_share_of_them(monkeypatch):
    """Once, a synthetic bag counted as the original where that was left out."""
    asked = []
    plain = batches.load(None)

    def spy(data, rows, *others, synthetic):
        asked.append((rows < POSITIVE, synthetic))
        return plain(data, rows, *others)

    monkeypatch.setattr(batches, "load", lambda *given: spy)
    mixup, free = {"method": "mixup"}, {"epochs": 60, "patience": None, "equal": "steps"}
    of_run = settings(mixup, **free).model_copy(update={"strategy": "full"})
    train_seed(feature_bags(n_positive=6), of_run, 0, None, lambda state: None)
    positive, synthetic = (torch.cat(each) for each in zip(*asked, strict=True))
    assert 100 < positive.sum() < 400, "most are left out"
    assert not synthetic[~positive].any()
    assert synthetic.sum() / positive.sum() == pytest.approx(0.5, abs=0.1)


def test_labels_that_augmentation_mixed_before_are_mixed_again():
    data = feature_bags()

    def augmented(data, rows, batch_size, *_):
        for batch in rows.split(batch_size):
            yield data.input(batch), torch.full((len(batch),), 0.25)

    mixup = settings({"method": "mixup"}).training.positives
    found = list(
        with_synthetic(augmented, mixup, data, ROWS, BATCH, None, 0, synthetic=occurred(ROWS))
    )
    x, label = torch.cat([x for (x, _), _ in found]), torch.cat([y for _, y in found])
    positives = data.input(torch.arange(POSITIVE))[0]
    for at in SYNTHETIC.tolist():
        u = steps(x[at], positives[ROWS[at]], positives).nan_to_num().sum()
        assert label[at].item() == pytest.approx(0.25 + 0.75 * u.item(), abs=1e-4)
    assert (label == 0.25).sum() == len(ROWS) - len(SYNTHETIC)


def test_without_them_nothing_of_a_training_changes():
    """In its settings neither, so that it does not run again."""
    plain = settings(None)
    assert "positives" not in plain.training.model_dump()
    assert "batches.synthetic" not in plain.plugins
    assert "batches.synthetic" in settings({"method": "mixup"}).plugins
