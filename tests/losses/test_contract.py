"""The contract of every loss: a file in losses/ enters by itself, with all its listed options."""

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from loss_batches import batch

from weakneg import losses
from weakneg.errors import UserError
from weakneg.losses.batch import CORRECTED, KEPT, REJECTED
from weakneg.plugins import Interval

N = 24


def _cases():
    for name in losses.names():
        found = losses.options(name)
        listed = [
            option.allowed if isinstance(option.allowed, tuple) else (option.default,)
            for option in found.values()
        ]
        for values in itertools.product(*listed):
            yield pytest.param(name, dict(zip(found, values, strict=True)), id=f"{name}-{values}")


def _least_values():
    """Each loss with its numbers as small as they may be, one by one and all."""
    for name in losses.names():
        found = losses.options(name)
        least = {
            key: option.allowed.kind(option.allowed.low)
            for key, option in found.items()
            if isinstance(option.allowed, Interval) and option.allowed.low is not None
        }
        for options in ({key: value} for key, value in least.items()):
            yield pytest.param(name, options, id=f"{name}-{options}")
        yield pytest.param(name, least, id=f"{name}-least")


every_loss = pytest.mark.parametrize(("name", "options"), list(_cases()))
shapes = pytest.mark.parametrize("shape", [(N,), (N, 1), (N, 3)])


class Training:
    """A loss in training on random logits: six epochs of four batches."""

    def __init__(self, name, options, shape):
        self.name, self.options, self.epoch = name, options, 0
        generator = torch.Generator().manual_seed(0)
        self.logits = torch.randn(shape, generator=generator)
        self.labels = (torch.rand(shape, generator=generator) < 0.3).float()
        some = torch.rand(shape, generator=generator) < 0.1
        self.observed = self.labels.bool() | some
        self.state = dict(losses.initial_state(name, self.labels, self.observed, generator))

    def batches(self):
        self.epoch += 1
        self.state = dict(losses.before_epoch(self.name, self.state, self.labels, self.observed))
        for bags in torch.arange(N).roll(self.epoch).split(6):
            where = self.logits[bags], self.labels[bags], self.observed[bags]
            yield batch(*where, epoch=self.epoch, bags=bags, state=self.state)

    def loss(self, given):
        return losses.load(self.name)(given, **self.options)

    def step(self, given):
        found = self.loss(given)
        for name, rows in found.state.items():
            self.state[name] = self.state[name].index_put((given.bags,), rows)
        return found

    def run(self, epochs):
        for _ in range(epochs):
            for given in self.batches():
                yield given, self.step(given)


@every_loss
@shapes
def test_every_entry_has_a_finite_loss_and_the_mean_a_gradient(name, options, shape):
    moved = torch.zeros(())
    for given, found in Training(name, options, shape).run(6):
        assert found.values.shape == given.logits.shape
        assert found.values.dtype == torch.float32
        (gradient,) = torch.autograd.grad(found.values.mean(), given.logits)
        assert found.values.mean().isfinite()
        assert gradient.isfinite().all()
        moved += gradient.abs().sum()
    assert moved > 0


@every_loss
@shapes
def test_logits_far_out_are_no_problem(name, options, shape):
    training = Training(name, options, shape)
    training.logits *= 200
    for given, found in training.run(3):
        (gradient,) = torch.autograd.grad(found.values.mean(), given.logits)
        assert gradient.isfinite().all()
        assert found.values.isfinite().all()


@pytest.mark.parametrize(("name", "options"), list(_least_values()))
def test_the_least_values_that_options_may_have(name, options):
    training = Training(name, options, (N,))
    training.logits *= 200
    for given, found in training.run(3):
        (gradient,) = torch.autograd.grad(found.values.mean(), given.logits)
        assert gradient.isfinite().all()
        assert found.values.isfinite().all()


@every_loss
@pytest.mark.parametrize("shape", [(N,), (N, 3)])
def test_labels_that_were_all_observed_are_learned(name, options, shape):
    training = Training(name, options, shape)
    training.logits /= 4  # otherwise label smoothing lowers the surest positives
    training.observed[:] = True
    for given, found in training.run(3):
        (gradient,) = torch.autograd.grad(found.values.mean(), given.logits)
        assert (gradient[given.labels == 1] < 0).all()
        assert (gradient[given.labels == 0] >= 0).all()


@every_loss
@pytest.mark.parametrize("observed", [True, False])
def test_a_batch_of_one_kind(name, options, observed):
    """All bags were observed to be positive, or none was observed."""
    training = Training(name, options, (N,))
    training.observed[:], training.labels[:] = observed, observed
    for given, found in training.run(3):
        (gradient,) = torch.autograd.grad(found.values.mean(), given.logits)
        assert gradient.isfinite().all()
        assert found.values.isfinite().all()


@every_loss
def test_observed_labels_are_never_treated(name, options):
    if "share_per_epoch" in options:
        options = options | {"share_per_epoch": 0.4, "largest_share": 1.0}
    treated = 0
    for given, found in Training(name, options, (N, 3)).run(6):
        if found.treatment is not None:
            assert found.treatment.dtype == torch.uint8
            assert found.treatment.shape == given.logits.shape
            assert set(found.treatment.unique().tolist()) <= {KEPT, REJECTED, CORRECTED}
            assert (found.treatment[given.observed] == KEPT).all()
            treated += int((found.treatment != KEPT).sum())
    assert (treated > 0) == name.startswith("large_loss")


@every_loss
def test_one_class_may_have_a_column_or_none(name, options):
    for (_, flat), (_, column) in zip(
        Training(name, options, (N,)).run(4),
        Training(name, options, (N, 1)).run(4),
        strict=True,
    ):
        torch.testing.assert_close(flat.values, column.values[:, 0])
        for key, rows in flat.state.items():
            torch.testing.assert_close(rows, column.state[key][:, 0], equal_nan=True)


@every_loss
@shapes
def test_nothing_given_is_written_to_and_the_same_batch_has_the_same_loss(name, options, shape):
    training = Training(name, options, shape)
    for _ in range(3):
        before = {key: tensor.clone() for key, tensor in training.state.items()}
        old = training.state
        for given in training.batches():
            _assert_same(old, before)
            fields = {
                key: getattr(given, key).clone() for key in ("logits", "labels", "observed", "bags")
            }
            state = {key: tensor.clone() for key, tensor in given.state.items()}
            random = torch.get_rng_state()
            first, second = training.loss(given), training.loss(given)
            assert torch.equal(random, torch.get_rng_state())
            assert torch.equal(first.values, second.values)
            _assert_same(first.state, second.state)
            _assert_same({key: getattr(given, key) for key in fields}, fields)
            _assert_same(given.state, state)
            training.step(given)


def _assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        assert torch.equal(tensor.nan_to_num(), expected[key].nan_to_num()), key
        assert tensor.dtype == expected[key].dtype, key


@every_loss
@shapes
def test_the_state_returned_is_that_of_the_bags_of_the_batch(name, options, shape):
    training = Training(name, options, shape)
    for given, found in training.run(3):
        assert found.state.keys() <= training.state.keys()
        for key, rows in found.state.items():
            assert not rows.requires_grad
            assert rows.shape == given.logits.shape
            assert rows.dtype == training.state[key].dtype
    if losses.initial_state(name, training.labels, training.observed, torch.Generator()):
        assert losses.doubts(name)


@every_loss
def test_only_the_rows_of_the_batch_are_looked_at(name, options):
    training = Training(name, options, (N,))
    for _ in range(3):
        for given in training.batches():
            others = torch.ones(N, dtype=torch.bool).index_fill(0, given.bags, False)
            state = {
                key: tensor.masked_fill(others, 1) if tensor.shape == (N,) else tensor
                for key, tensor in given.state.items()
            }
            again = training.loss(dataclasses.replace(given, state=state))
            found = training.step(given)
            assert torch.equal(again.values, found.values)
            _assert_same(again.state, found.state)


@every_loss
def test_a_state_that_was_saved_continues_in_the_same_way(name, options, tmp_path):
    straight, resumed = (Training(name, options, (N, 3)) for _ in range(2))
    expected = [found.values for _, found in straight.run(5)][8:]
    list(resumed.run(2))
    torch.save(resumed.state, tmp_path / "state.pt")
    resumed.state = torch.load(tmp_path / "state.pt", weights_only=True)
    found = [found.values for _, found in resumed.run(3)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", [name for name in losses.names() if not losses.doubts(name)])
def test_a_loss_that_takes_mixed_bags_does_not_look_at_what_was_observed(name):
    given = batch([0.3, -2.0], [0.25, 0.8], [False, False])
    other = batch([0.3, -2.0], [0.25, 0.8], [True, False], bags=[7, 3], epoch=5)
    assert torch.equal(losses.load(name)(given).values, losses.load(name)(other).values)


def test_the_losses_are_there():
    assert losses.names() == [
        "asymmetric",
        "bce",
        "dice",
        "expected_positives",
        "focal",
        "hard_negatives",
        "label_smoothing",
        "large_loss_correction",
        "large_loss_permanent",
        "large_loss_rejection",
        "nnpu",
        "role",
        "weak_negatives",
    ]
    assert losses.display_name("large_loss_rejection", "large_loss_rejection") == "LL-R"
    shown = {losses.display_name(name, name) for name in losses.names()}
    assert len(shown - {*losses.names()}) == len(losses.names())


@pytest.mark.parametrize(
    "ask", [losses.load, losses.options, losses.doubts, lambda name: losses.display_name(name, "")]
)
def test_an_unknown_name_is_answered_with_the_nearest_one(ask):
    with pytest.raises(UserError, match="no loss is called 'focl': did you mean 'focal'"):
        ask("focl")


def test_what_a_file_says_is_read_without_importing_torch():
    code = (
        "import sys; from weakneg import losses; "
        "read = losses.options, losses.doubts, lambda name: losses.display_name(name, name); "
        "[each(name) for each in read for name in losses.names()]; "
        "sys.exit('torch' in sys.modules)"
    )
    path = str(Path(losses.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": path})
