"""The pointing game: its bags have something to find, and its numbers are what they say."""

import numpy as np
import pytest
import torch
from many_classes import NAMES, bags_of, settings, store
from short_runs import CPU
from sklearn.metrics import average_precision_score

from weakneg.analysis.places import instances_of_classes, places_of
from weakneg.analysis.pointing import play
from weakneg.bags.draw import PADDING, Bags
from weakneg.config.stages import ScoreSettings
from weakneg.datasets.listened import HeardClip
from weakneg.errors import UserError
from weakneg.features.store import Store
from weakneg.models import bag_classifier
from weakneg.training.data import BagData

OF_MODEL = ScoreSettings(
    model=settings().model, score_batch_size=7, draw_per_seed=False, classes=list(NAMES)
)
MEANS = {"b": {"heard": ["Dog", "Bark"]}, "d": {"heard": ["Cat"]}}


def clips(lengths=(4, 4, 2)) -> tuple[Store, Bags]:
    features = store(n=3, n_frames=4)
    bags = bags_of(features)
    instances = np.where(np.arange(4) < np.array(lengths)[:, None], bags.instances, PADDING)
    return features, Bags(bags.bag, bags.label, bags.density, instances)


def heard(*sounds_of_clips) -> list[HeardClip]:
    return [
        HeardClip(number, 0.0, frozenset(name for name, _, _ in sounds), tuple(sounds))
        for number, sounds in enumerate(sounds_of_clips)
    ]


def played(*sounds_of_clips, lengths=(4, 4, 2)):
    features, bags = clips(lengths)
    places = places_of(features, BagData(features, bags, CPU), OF_MODEL, 1.0)
    return instances_of_classes(features, bags, places, NAMES, heard(*sounds_of_clips), MEANS)


def test_a_frame_holds_an_event_that_sounds_in_its_middle():
    rows, holds = played([("Dog", 0.6, 2.5), ("Cat", 3.4, 3.6)], [], [])["b"]
    assert rows.tolist() == [0]
    assert holds.tolist() == [[False, True, False, False]]
    _, holds = played([("Dog", 0.5, 1.4), ("Bark", 2.0, 3.0)], [], [])["b"]
    assert holds.tolist() == [[True, False, True, False]]


def test_a_clip_is_left_out_that_holds_the_class_everywhere_or_nowhere():
    everywhere, here, nowhere = [("Cat", 0.0, 4.0)], [("Cat", 0.0, 1.0)], [("Cat", 1.8, 1.9)]
    assert played(everywhere, here, nowhere)["d"][0].tolist() == [1]
    # Of a clip of two frames, the padding is not a place without the class.
    assert "d" not in played(here[:0] or [("Dog", 0, 1)], [], [("Cat", 0.0, 2.0)])


def test_a_list_without_times_is_said():
    with pytest.raises(UserError, match="begin and end"):
        played([], [], [])


def test_a_list_of_none_of_the_test_clips_is_said():
    with pytest.raises(UserError, match="begin and end"):
        played()


def test_the_instances_of_images_are_what_the_store_says():
    features = Store(
        x=np.zeros((6, 1, 2, 2), np.float32),
        id=np.arange(6),
        y=np.array([[1, 0], [0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], np.uint8),
        class_names=("a", "b"),
        mean=np.zeros(1),
        std=np.ones(1),
        kind="images",
        parameters={},
    )
    instances = np.array([[0, 1], [2, 3], [4, 5]])
    bags = Bags(np.arange(3), np.zeros((3, 2), np.int8), np.full(3, np.nan), instances)
    places = places_of(features, BagData(features, bags, CPU), OF_MODEL, None)
    found = instances_of_classes(features, bags, places, ("a", "b"), [], {})
    assert found["a"][0].tolist() == [0]  # the second bag holds it twice
    assert found["b"][0].tolist() == [1, 2]
    assert found["b"][1].tolist() == [[False, True], [True, False]]


def test_the_numbers_are_those_of_the_definition():
    features = store(n=30, n_frames=4)
    rng = np.random.default_rng(0)
    full = bags_of(features)
    kept = np.arange(4) < rng.integers(2, 5, size=30)[:, None]
    bags = Bags(full.bag, full.label, full.density, np.where(kept, full.instances, PADDING))
    data = BagData(features, bags, CPU)
    torch.manual_seed(0)
    models = {seed: bag_classifier.load(OF_MODEL.model, (8,), len(NAMES)) for seed in (0, 3)}
    saved = {"weights": {seed: model.state_dict() for seed, model in models.items()}}
    holds = {name: (rng.random((30, 4)) < 0.4) & kept for name in ("b", "d")}
    rows = {
        name: np.flatnonzero(of_class.any(1) & (kept & ~of_class).any(1))
        for name, of_class in holds.items()
    }
    table = play(saved, OF_MODEL, data, kept, {n: (rows[n], holds[n][rows[n]]) for n in holds})
    assert table[["seed", "class"]].to_numpy().tolist() == [[0, "b"], [0, "d"], [3, "b"], [3, "d"]]
    for _, row in table.iterrows():
        hits, labels, values = [], [], []
        for bag in rows[row["class"]]:
            n = kept[bag].sum()
            x = torch.from_numpy(features.x[bag, :n])[None]
            with torch.no_grad():
                parts = models[row["seed"]].parts(x)[0, :, NAMES.index(row["class"])].numpy()
            truth = holds[row["class"]][bag, :n]
            hits.append(truth[parts.argmax()])
            labels += truth.tolist()
            values += parts.tolist()
        chance = [holds[row["class"]][bag].sum() / kept[bag].sum() for bag in rows[row["class"]]]
        assert row["bags"] == len(hits)
        assert row["pointing"] == pytest.approx(np.mean(hits))
        assert row["chance"] == pytest.approx(np.mean(chance))
        assert row["instance_ap"] == pytest.approx(average_precision_score(labels, values))
        assert row["prevalence"] == pytest.approx(np.mean(labels))
