"""Seeds that are trained together get the numbers that they would get alone, to the last bit."""

import copy
import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from short_runs import CPU, assert_same_weights, run_settings

from weakneg import models
from weakneg.bags.draw import draw as draw_bags
from weakneg.bags.hidden import hidden_bags, without_labels
from weakneg.config.sections import ModelSettings
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.models.dense import Stack
from weakneg.training import together
from weakneg.training.data import BagData
from weakneg.training.loop import train_seeds

CASES = {
    "patience": {"patience": 2, "epochs": 12, "learning_rate": 0.01},
    "unequal numbers of steps": {"hidden": 0.3, "batch_size": 8, "loss": "nnpu"},
    "rates that change": {"strategy": "margin", "schedule": "cosine", "rate_warmup": 0.5},
    "weighted": {"pooling": "softmax_mean", "batch_sampling": "weighted", "loss": "role"},
    "drawn with weights": {"strategy": "importance_sampling", "positive_weight": 2.0},
    "unbalanced": {"strategy": "full", "pooling": "softmax_max", "positive_weight": "balanced"},
}


@pytest.fixture(scope="module")
def bags():
    """Bags of up to five feature vectors, and their store."""
    rng = np.random.default_rng(0)
    positive = np.arange(2000) < 200
    x = (rng.normal(size=(2000, 19)) + positive[:, None]).astype(np.float32)
    found = draw_bags(positive, 5, "uniform", 0)
    instances = found.instances.copy()
    instances[::7, 3:] = -1
    store = Store(x, np.arange(2000), np.empty(0), (), x.mean(0), x.std(0), "", {}, group=None)
    return store, replace(found, instances=instances)


def trained(bags, case, seeds, states=None, **options):
    """(seed, epoch) -> the bytes of its state, without what was measured."""
    options = {"name": "mlp", "pooling": "attention", "epochs": 3} | CASES[case] | options
    hidden = options.pop("hidden", 0.0)
    if "loss" in options:
        options["loss"] = {"name": options["loss"]}
    settings = run_settings(**options)
    store, drawn = bags
    data = BagData(store, drawn, CPU)
    waiting = {}
    for seed in seeds:
        own = data
        if hidden:
            # Each seed hides another number, so that their epochs have unequal numbers of steps.
            rows = hidden_bags(drawn.label, hidden + seed / 10, seed)
            own = data.relabelled(without_labels(drawn, rows))
        waiting[seed] = own, (states or {}).get(seed)
    found = {}

    def after_epoch(seed, state):
        buffer = io.BytesIO()
        torch.save({key: value for key, value in state.items() if key != "timing"}, buffer)
        found[seed, state["epoch"]] = buffer.getvalue()

    train_seeds(waiting, settings, after_epoch)
    return found


def content(file):
    """What a file has, for comparison: pickles of equal objects may differ."""

    def plain(each):
        if isinstance(each, torch.Tensor):
            return str(each.dtype), each.shape, each.numpy().tobytes()
        if isinstance(each, dict):
            return {key: plain(value) for key, value in each.items()}
        return [plain(value) for value in each] if isinstance(each, list) else each

    return plain(torch.load(io.BytesIO(file), weights_only=True))


def last_epochs(found):
    return {seed: max(epoch for s, epoch in found if s == seed) for seed, _ in found}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("case", CASES)
def test_a_seed_is_the_same_alone_among_two_and_among_five(bags, case):
    five = trained(bags, case, range(5))
    for seeds in ([1], [4], [1, 3]):
        found = trained(bags, case, seeds)
        assert found == {key: five[key] for key in five if key[0] in seeds}
    if case == "patience":
        assert len(set(last_epochs(five).values())) > 1, "some stop earlier"


def test_a_resumed_seed_is_the_same_among_fresh_ones(bags):
    case = "rates that change"
    whole = trained(bags, case, [0, 1, 2])
    state = torch.load(io.BytesIO(whole[1, 1]), weights_only=True) | {"timing": []}
    again = trained(bags, case, [0, 1, 2], {1: state})
    assert again.keys() == whole.keys() - {(1, 1)}
    assert all(content(again[key]) == content(whole[key]) for key in again)


@pytest.mark.parametrize("case", CASES)
def test_together_is_what_one_after_the_other_is_up_to_rounding(bags, case, monkeypatch):
    ours = trained(bags, case, [0, 1], epochs=3, patience=None)
    monkeypatch.setattr(together, "possible", lambda *_: False)
    plain = {}
    for seed in (0, 1):
        plain |= trained(bags, case, [seed], epochs=3, patience=None)
    for key in ours:
        a, b = (torch.load(io.BytesIO(found[key]), weights_only=True) for found in (ours, plain))
        assert [row["validation_ap"] for row in a["history"]] == pytest.approx(
            [row["validation_ap"] for row in b["history"]], abs=0.02
        )
        losses = [[row["train_loss"] for row in each["history"]] for each in (a, b)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        if key[1] == 1:
            for name, weights in a["model"].items():
                torch.testing.assert_close(weights, b["model"][name], rtol=1e-4, atol=1e-5)


def test_a_seed_begun_together_can_go_on_by_itself(bags, monkeypatch):
    """As with two threads, or on a GPU."""
    state = torch.load(io.BytesIO(trained(bags, "patience", [0])[0, 1]), weights_only=True)
    whole = trained(bags, "patience", [0])
    monkeypatch.setattr(together, "possible", lambda *_: False)
    again = trained(bags, "patience", [0], {0: state | {"timing": []}})
    a, b = (torch.load(io.BytesIO(found[0, 2]), weights_only=True) for found in (whole, again))
    for name, weights in a["model"].items():
        torch.testing.assert_close(weights, b["model"][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "mean_softmax", "softmax_mean", "softmax_max"])
def test_the_gradient_is_that_of_autograd(pooling):
    settings = ModelSettings(name="mlp", pooling=pooling)
    models = [bag_classifier.load(settings, (7,)) for _ in range(3)]
    plain = copy.deepcopy(models)
    x, mask = torch.randn(2, 4, 5, 7), torch.rand(2, 4, 5) < 0.7
    mask[..., 0] = True
    stack = Stack(models)
    logits, slopes = stack.forward(x, mask), torch.randn(2, 4)
    stack.backward(slopes)
    for place, model in enumerate(plain[:2]):
        expected = model(x[place], mask[place])
        torch.testing.assert_close(logits[place], expected)
        gradient = torch.autograd.grad(expected, list(model.parameters()), slopes[place])
        flat = torch.cat([each.flatten() for each in gradient])
        torch.testing.assert_close(stack.gradients[place], flat, rtol=1e-4, atol=1e-5)
        assert_same_weights(models[place].state_dict(), model.state_dict())


def test_the_seed_that_diverges_is_named(bags):
    with pytest.raises(UserError, match=r"^seed 1, epoch 1.* learning_rate\.$"):
        trained(bags, "rates that change", [1, 2], learning_rate=1e30)


def own_model(layers, dense):
    """A file of a person's own model, which may say that it is dense."""

    def build(shape):
        encoder = torch.nn.Sequential(torch.nn.Linear(*shape, 8), *layers())
        encoder.embedding_size = 8
        return encoder

    return SimpleNamespace(KIND="clips", DENSE=dense, build=build)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [torch.nn.GELU()],
        lambda: [torch.nn.LayerNorm(8)],
        lambda: [torch.nn.ReLU(), torch.nn.Dropout(0.5)],
    ],
)
def test_a_model_that_is_not_dense_is_trained_as_it_is_whatever_it_says(bags, monkeypatch, layers):
    monkeypatch.setattr(models, "module", lambda _: own_model(layers, dense=True))
    together = trained(bags, "weighted", [0, 1])
    monkeypatch.setattr(models, "module", lambda _: own_model(layers, dense=False))
    assert together == trained(bags, "weighted", [0]) | trained(bags, "weighted", [1])
