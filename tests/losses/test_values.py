"""The losses that have no state, against numbers worked out by hand and their derivatives."""

import math

import pytest
import torch
from loss_batches import batch, logit

from weakneg import losses

LOG = math.log
STATELESS = [
    *("asymmetric", "bce", "dice", "expected_positives", "focal", "label_smoothing"),
    "weak_negatives",
]
# Probabilities of a positive, of an assumed and of an observed negative.
P, LABELS, OBSERVED = [0.8, 0.2, 0.4], [1, 0, 0], [True, False, True]


def values(name, **options):
    return losses.load(name)(batch(logit(P), LABELS, OBSERVED), **options).values


def test_without_focus_and_margin_the_asymmetric_loss_is_the_cross_entropy():
    given = batch(torch.linspace(-300, 300, 62), torch.arange(2).repeat(31))
    nothing = {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0}
    found = losses.load("asymmetric")(given, **nothing).values
    expected = losses.load("bce")(given).values
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each.sum(), given.logits)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("bce", {}, [-LOG(0.8), -LOG(0.8), -LOG(0.6)]),
        ("weak_negatives", {}, [-LOG(0.8), -0.5 * LOG(0.8), -LOG(0.6)]),
        ("weak_negatives", {"weight": 0.1}, [-LOG(0.8), -0.1 * LOG(0.8), -LOG(0.6)]),
        (
            "label_smoothing",
            {"smoothing": 0.1},
            [
                -0.9 * LOG(0.8) - 0.1 * LOG(0.2),
                -0.9 * LOG(0.8) - 0.1 * LOG(0.2),
                -0.9 * LOG(0.6) - 0.1 * LOG(0.4),
            ],
        ),
        ("focal", {"gamma": 2.0}, [-0.04 * LOG(0.8), -0.04 * LOG(0.8), -0.16 * LOG(0.6)]),
        ("focal", {"gamma": 0.0}, [-LOG(0.8), -LOG(0.8), -LOG(0.6)]),
        (
            "asymmetric",
            {"gamma_positive": 1.0, "gamma_negative": 2.0, "margin": 0.3},
            [-0.2 * LOG(0.8), 0, -(0.1**2) * LOG(0.9)],
        ),
        (
            "asymmetric",
            {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0},
            [-LOG(0.8), -LOG(0.8), -LOG(0.6)],
        ),
        # a = 0.16, 0.16, 0.24
        ("dice", {}, [1 - 1.32 / 2.16, 1 - 1 / 1.16, 1 - 1 / 1.24]),
        ("dice", {"alpha": 0.0, "smoothing": 0.5}, [1 - 2.1 / 2.3, 1 - 0.5 / 0.7, 1 - 0.5 / 0.9]),
        # One bag of three is unobserved: its value is three times the penalty.
        ("expected_positives", {"prior": 0.1}, [-LOG(0.8), 3 * 0.1**2, -LOG(0.6)]),
    ],
)
def test_by_hand(name, options, expected):
    assert values(name, **options).tolist() == pytest.approx(expected)


def test_weak_negatives_of_several_classes_count_as_much_as_the_one_positive():
    z = torch.zeros(2, 5)
    labels = torch.eye(5)[[3, 1]]
    found = losses.load("weak_negatives")(batch(z, labels)).values
    assert found.sum(1).tolist() == pytest.approx([2 * LOG(2)] * 2)
    assert found[0].tolist() == pytest.approx([LOG(2) / 4] * 3 + [LOG(2), LOG(2) / 4])


def test_expected_positives_of_several_classes_are_the_papers_formula():
    p = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.7, 0.3]], dtype=torch.float64)
    labels = torch.tensor([[1, 0, 0], [0, 1, 0]])
    found = losses.load("expected_positives")(batch(p.logit(), labels), prior=1.2 / 3)
    expected = -(LOG(0.9) + LOG(0.7)) / 6 + ((1.5 + 1.1) / 2 - 1.2) ** 2 / 3**2
    assert found.values.mean().item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in sorted({*STATELESS} - {"dice"})),
        ("asymmetric", {"gamma_positive": 1.5, "gamma_negative": 2.5, "margin": 0.1}),
    ],
)
@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_gradients_are_those_of_the_values(name, options, shape):
    z = torch.linspace(-3, 3, 6, dtype=torch.float64).reshape(shape).requires_grad_()
    labels = torch.tensor([0, 1, 0, 0, 1, 0.0]).reshape(shape)
    observed = torch.tensor([0, 1, 0, 1, 1, 0]).bool().reshape(shape)
    function = losses.load(name)

    def mean(z):
        return function(batch(z, labels, observed), **options).values.mean()

    assert torch.autograd.gradcheck(mean, z)


def test_dice_pulls_in_the_right_direction_where_the_model_is_wrong_or_sure():
    given = batch(logit([0.1, 0.9, 0.1, 0.9]), [1, 1, 0, 0])
    found = losses.load("dice")(given).values
    (gradient,) = torch.autograd.grad(found.sum(), given.logits)
    # d/da of -(2 a y + 1) / (a + y + 1) times (1 - p) p (1 - p).
    y, p = given.labels, given.logits.detach().sigmoid()
    a = p * (1 - p)
    slope = -(2 * y * (a + y + 1) - (2 * a * y + 1)) / (a + y + 1) ** 2
    torch.testing.assert_close(gradient, slope * (1 - p) * a)
    assert gradient.sign().tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize("name", ["bce", "focal"])
def test_a_mixed_bag_is_learned_best_as_its_own_label(name):
    given = batch(logit([0.3]), [0.3])
    (gradient,) = torch.autograd.grad(losses.load(name)(given).values.sum(), given.logits)
    assert gradient.abs().max() < 1e-12


def test_the_asymmetric_loss_without_asymmetry_is_the_cross_entropy_at_any_logit():
    given = batch([-60.0, -20.0, 0.0, 20.0, 60.0] * 2, [0] * 5 + [1] * 5)
    options = {"gamma_positive": 0.0, "gamma_negative": 0.0, "margin": 0.0}
    found, expected = (
        losses.load(name)(given, **(options if name == "asymmetric" else {})).values
        for name in ("asymmetric", "bce")
    )
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each.sum(), given.logits)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)
