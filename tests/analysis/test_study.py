"""A study as its results are analysed: what it answers, from what the configuration gives."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from synthetic import settings_of, study_of

from weakneg.analysis.intervals import MEAN_OVER_CLASSES
from weakneg.analysis.study import Study
from weakneg.config.load import load_study
from weakneg.config.report import FigureSettings
from weakneg.strategies import look

SHARED = {
    "full": "full",
    "mine": "random",
    "random": "random",
    "margin": "margin",
    "entropy": "margin",
}


def reported(name):
    """A study of workflow/studies, as a stage of the report gets it."""
    return Study.of(json.loads(FigureSettings.of(load_study(name)).text()))


def test_it_is_what_the_configuration_gives():
    configured = load_study("cifar10_known_label")
    study = reported("cifar10_known_label")
    assert (study.name, study.title, study.kind) == (configured.name, configured.title, "images")
    assert study.strategies == configured.strategy_names
    assert study.display_name("badge_known") == "BADGE, known"
    assert study.display_name("random") == "Random"
    assert study.looks == {"random": look("random")}, "variants differ from the strategy"
    assert not study.of_clips
    assert reported("soundscapes").of_clips


def test_published_numbers_come_with_their_source():
    study = reported("cifar10")
    assert study.reference
    assert study.reference.source
    strategy, by_class = next(iter(study.reference.values.items()))
    class_name, published = next(iter(by_class.items()))
    assert study.reference_value(strategy, class_name, "ap") == published["ap"]


def test_strategies_of_a_run_are_one_and_the_upper_bound_competes_with_none():
    study = study_of(["a"], SHARED, runs=SHARED)
    assert study.distinct == {
        "full": ["full"],
        "random": ["mine", "random"],
        "margin": ["margin", "entropy"],
    }
    assert list(study.distinct) == ["full", "random", "margin"]
    assert study.competitors == ["random", "margin"]
    assert study.joint_name("margin") == "Margin = Entropy"
    assert study.joint_name("random") == "mine = Random"


def test_another_selection_is_another_study():
    study = study_of(["a", "b"], SHARED, runs=SHARED)
    assert study.competitors == ["random", "margin"]
    assert replace(study, strategies=["entropy", "margin"]).competitors == ["entropy"]
    with pytest.raises(FrozenInstanceError):
        study.classes = ["a"]


def test_the_mean_over_classes_is_published_where_each_class_is():
    values = {"badge": {"a": {"ap": 0.25, "roc_auc": None}, "b": {"ap": 0.5}}}
    study = study_of(["a", "b"], ["badge"], reference={"source": "P", "values": values})
    assert study.reference_value("badge", "a", "ap") == 0.25
    assert study.reference_value("badge", "a", "roc_auc") is None
    assert study.reference_value("badge", MEAN_OVER_CLASSES, "ap") == 0.375
    assert study.reference_value("badge", MEAN_OVER_CLASSES, "roc_auc") is None
    assert study.reference_value("random", "a", "ap") is None
    assert study_of(["a"], ["badge"]).reference_value("badge", "a", "ap") is None


def test_a_key_that_is_not_known_is_refused():
    with pytest.raises(TypeError, match="unit"):
        Study.of(settings_of(["a"], ["random"], unit="image"))
