"""The large-loss methods: what they doubt, and what they make of it."""

import math

import pytest
import torch
from loss_batches import batch, logit

from weakneg import losses
from weakneg.losses.batch import CORRECTED, REJECTED

LOG = math.log
METHODS = ["large_loss_rejection", "large_loss_correction", "large_loss_permanent"]
P = [0.9, 0.6, 0.3, 0.2, 0.95]
LABELS = [0, 0, 0, 0, 1]
every_method = pytest.mark.parametrize("name", METHODS)


class Epochs:
    """Training on one batch per epoch."""

    def __init__(self, name, labels=LABELS, **options):
        self.name, self.options, self.epoch = name, options, 0
        self.labels = torch.tensor(labels, dtype=torch.float64)
        self.observed = self.labels == 1
        generator = torch.Generator()
        self.state = losses.initial_state(name, self.labels, self.observed, generator)

    def step(self, p, bags=None):
        self.epoch += 1
        self.state = dict(losses.before_epoch(self.name, self.state, self.labels, self.observed))
        bags = torch.arange(len(self.labels)) if bags is None else torch.tensor(bags)
        given = batch(
            logit(p), self.labels[bags], self.observed[bags], self.epoch, bags, self.state
        )
        found = losses.load(self.name)(given, **self.options)
        for key, rows in found.state.items():
            self.state[key] = self.state[key].index_put((bags,), rows)
        self.gradient = torch.autograd.grad(found.values.sum(), given.logits)[0].tolist()
        return found


@every_method
@pytest.mark.parametrize("over", ["epoch", "batch"])
def test_the_worst_of_the_assumed_negatives_is_doubted_from_the_second_epoch_on(name, over):
    training = Epochs(name, share_per_epoch=0.25, largest_share=1.0, over=over)
    first = training.step(P)
    assert first.treatment.tolist() == [0] * 5
    assert first.values.tolist() == pytest.approx([-LOG(1 - p) for p in P[:4]] + [-LOG(0.95)])
    second = training.step(P)
    rejects = name == "large_loss_rejection"
    assert second.treatment.tolist() == [REJECTED if rejects else CORRECTED, 0, 0, 0, 0]
    assert second.values[0].item() == pytest.approx(0 if rejects else -LOG(0.9))
    assert second.values[1:].tolist() == first.values[1:].tolist()
    assert training.gradient == pytest.approx([0 if rejects else -0.1, 0.6, 0.3, 0.2, -0.05])
    assert training.step(P).treatment.count_nonzero() == 2
    assert training.step(P).treatment.count_nonzero() == 3


def test_a_permanent_correction_stays_when_the_loss_is_no_longer_large():
    """In the released code, both methods did what the first does."""
    later = [0.1, 0.6, 0.3, 0.2, 0.95]
    found = {}
    for name in METHODS[1:]:
        training = Epochs(name, share_per_epoch=0.25, largest_share=0.25)
        training.step(P)
        training.step(P)
        # In the first batch of the third epoch, the bag of 0.9 has become one of 0.1.
        found[name] = training.step(later)
    assert found["large_loss_correction"].treatment.tolist() == [0] * 5
    assert found["large_loss_permanent"].treatment.tolist() == [CORRECTED, 0, 0, 0, 0]
    assert found["large_loss_permanent"].values[0].item() == pytest.approx(-LOG(0.1))


def test_no_more_are_corrected_once_the_largest_share_is_reached():
    training = Epochs("large_loss_permanent", share_per_epoch=0.25, largest_share=0.5)
    counts = [training.step(P).treatment.count_nonzero().item() for _ in range(6)]
    assert counts == [0, 1, 2, 2, 2, 2]


@every_method
@pytest.mark.parametrize("over", ["epoch", "batch"])
@pytest.mark.parametrize("delta", [0.9, 5.0])
def test_a_share_of_more_than_all_negatives_leaves_the_positives_alone(name, over, delta):
    labels = [0, 1, 1, 1, 1]
    training = Epochs(name, labels, share_per_epoch=delta, largest_share=9.0, over=over)
    for epoch in range(1, 5):
        found = training.step([0.5, 0.01, 0.02, 0.9, 0.9])
        assert (found.treatment != 0).tolist() == [epoch > 1, False, False, False, False]
        assert found.values[1].item() == pytest.approx(-LOG(0.01))


@every_method
def test_the_share_is_that_of_all_batches_of_the_last_epoch(name):
    """2% of 100 negatives in batches of 20: of most batches, none."""
    n = 100
    training = Epochs(name, [0] * n, share_per_epoch=0.02, largest_share=1.0)
    p = torch.tensor([0.9, 0.8] + [0.3 - i / 1000 for i in range(2, n)])
    for epoch in (1, 2):
        training.state = dict(
            losses.before_epoch(name, training.state, training.labels, training.observed)
        )
        doubted = []
        for start in range(5):
            bags = torch.arange(start, n, 5)
            given = batch(logit(p[bags]), [0] * 20, None, epoch, bags, training.state)
            found = losses.load(name)(given, **training.options)
            doubted += bags[found.treatment > 0].tolist()
            for key, rows in found.state.items():
                training.state[key] = training.state[key].index_put((bags,), rows)
        assert doubted == ([] if epoch == 1 else [0, 1])


@every_method
def test_the_papers_share_of_a_batch_is_rounded_up(name):
    training = Epochs(name, [0] * 21, share_per_epoch=0.01, over="batch")
    p = [0.9 - i / 100 for i in range(21)]
    counts = [training.step(p).treatment.count_nonzero().item() for _ in range(2)]
    assert counts == [0, 1]


@every_method
def test_bags_that_the_last_epoch_did_not_use_do_not_count(name):
    training = Epochs(name, [0] * 4, share_per_epoch=0.5, largest_share=0.5)
    training.step([0.9, 0.8], [0, 1])
    training.step([0.3, 0.2], [2, 3])
    # Half of the last epoch's is one, of 0.3; in the first there were larger losses.
    assert (training.step([0.3, 0.2], [2, 3]).treatment > 0).tolist() == [True, False]


@every_method
def test_observed_negatives_neither_count_nor_are_doubted(name):
    training = Epochs(name, [0, 0, 0], share_per_epoch=0.5, largest_share=0.5)
    training.observed = torch.tensor([True, False, False])
    training.step([0.99, 0.5, 0.1])
    assert (training.step([0.99, 0.5, 0.1]).treatment > 0).tolist() == [False, True, False]


@every_method
def test_losses_are_compared_with_those_of_their_batch_since_all_fall(name):
    """Half of them all the time, though every loss is below those of the epoch before."""
    training = Epochs(name, [0] * 4, share_per_epoch=0.5, largest_share=0.5)
    counts = [
        training.step([p * level for p in (0.9, 0.7, 0.2, 0.1)]).treatment.count_nonzero().item()
        for level in (1, 0.5, 0.2, 0.1)
    ]
    assert counts == [0, 2, 2, 2]
