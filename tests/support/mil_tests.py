"""The algorithmic unit tests of Raff and Holt: bags with a shortcut that is wrong in testing.

A bag is positive if it holds something, whatever else it holds. Each test offers another way to
tell the training bags apart, which that assumption rules out, and turns it round in the test split.
A model that ranks the training bags well and the test bags worse than chance (ROC-AUC below 0.5)
took it, and violates the assumption.

single concept
    A bag is positive if it holds an instance of the concept, N(0, 3) or N(1, 1). Negative training
    bags hold an instance of poison, N(-10, 0.1). In the test split, positive bags do.
multiple concepts
    A bag is positive if it holds both concepts, N(2, 0.1) and N(3, 0.1); negative bags hold an
    instance of one of them. Poison as before, and in a tenth of the positive training bags.
false frequency
    A bag is positive if it holds both concepts, N(-2, 0.1) and N(2, 0.1), each once; negative bags
    hold one of them, once in the training split and 35 to 39 times in the test split.

All have 1 to 9 instances of background, N(0, 1), whatever the label, so that their number tells
nothing; the numbers in parentheses are means and standard deviations of 16 features.

Source: Raff and Holt, "Reproducibility in Multiple Instance Learning: A Case For Algorithmic Unit
Tests" (2023), algorithms 1 to 3. The code published with it draws positive instances of N(0, 3)
only.
"""

from typing import NamedTuple

import numpy as np
import torch

from weakneg.bags.draw import PADDING, Bags
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.training.data import BagData, score_bags
from weakneg.training.loop import train_seed
from weakneg.training.ranking import ranking_metrics

D = 16
CPU = torch.device("cpu")


class Drawn(NamedTuple):
    """Bags (n, 16) of one split, the positive ones first, and their labels."""

    bags: list[np.ndarray]
    label: np.ndarray


def _normal(rng, n, mean, sd=1.0):
    return rng.normal(mean, sd, (n, D))


def _poison(rng):
    return _normal(rng, 1, -10, 0.1)


def _single_concept(rng, positive, train, poisoned):
    instances = []
    if positive:
        for _ in range(rng.integers(1, 4)):
            instances.append(_normal(rng, 1, *[(0, 3), (1, 1)][rng.integers(2)]))
    if positive != train and rng.random() < (poisoned if train else 1):
        instances.append(_poison(rng))
    return instances


def _multiple_concepts(rng, positive, train, poisoned):
    if positive:
        instances = [_normal(rng, rng.integers(1, 5), mean, 0.1) for mean in (2, 3)]
        poisoned = 0.1
    else:
        instances = [_normal(rng, 1, (2, 3)[rng.integers(2)], 0.1)]
    if rng.random() < (poisoned if train else positive):
        instances.append(_poison(rng))
    return instances


def _false_frequency(rng, positive, train, poisoned):
    if positive:
        return [_normal(rng, 1, mean, 0.1) for mean in (-2, 2)]
    copies = 1 if train else rng.integers(35, 40)
    return [_normal(rng, copies, (-2, 2)[rng.integers(2)], 0.1)]


TESTS = {
    "single concept": _single_concept,
    "multiple concepts": _multiple_concepts,
    "false frequency": _false_frequency,
}


def draw(test, split, n_positive, n_negative, seed, poisoned=1.0) -> Drawn:
    """Draw the bags of a split ("train" or "test") of a test.

    `poisoned` is the share of negative training bags with poison, in the tests that have it.
    """
    rng = np.random.default_rng([seed, split == "train", list(TESTS).index(test)])
    label = np.repeat([1, 0], [n_positive, n_negative])
    bags = []
    for positive in label == 1:
        instances = TESTS[test](rng, positive, split == "train", poisoned)
        background = _normal(rng, rng.integers(1, 10), 0)
        bags.append(rng.permutation(np.concatenate([background, *instances])))
    return Drawn(bags, label)


def bag_data(drawn: Drawn, of_training: Drawn) -> BagData:
    """Hand bags to a model, normalised by the instances of the training split."""
    sizes = np.array([len(bag) for bag in drawn.bags])
    place = np.arange(sizes.max()) < sizes[:, None]
    x = np.zeros((*place.shape, D), np.float32)
    x[place] = np.concatenate(drawn.bags)
    instances = np.where(place, np.arange(place.size).reshape(place.shape), PADDING)
    instances_of_training = np.concatenate(of_training.bags)
    mean, std = instances_of_training.mean(0), instances_of_training.std(0)
    number = np.arange(len(sizes))
    store = Store(x, number, np.zeros((len(sizes), 0)), (), mean, std, "clips", {})
    density = np.full(len(sizes), np.nan)
    return BagData(store, Bags(number, drawn.label.astype(np.int8), density, instances), CPU)


def roc_aucs(settings, train: Drawn, test: Drawn, seed: int) -> tuple[float, float]:
    """Train as a study does, and compute the ROC-AUC of the training and of the test bags."""
    splits = bag_data(train, train), bag_data(test, train)
    state = train_seed(splits[0], settings, seed, None, lambda state: None)
    model = bag_classifier.load(settings.model, (D,))
    model.load_state_dict(state["best_model"])
    scores = (score_bags(model, data, torch.arange(len(data.label)), 512) for data in splits)
    return tuple(
        ranking_metrics(drawn.label, found.logits.double().numpy())[1]
        for drawn, found in zip((train, test), scores, strict=True)
    )
