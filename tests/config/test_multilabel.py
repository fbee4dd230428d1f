"""Studies of many classes: what is compared, under which names, and what does not fit."""

from pathlib import Path

import pytest

from weakneg.config.load import load_study
from weakneg.config.stages import ManifestSettings, RunSettings, ScoreSettings
from weakneg.errors import UserError

STUDY = """
title: Partial
dataset: {name: digits}
task: multilabel
"""


@pytest.fixture
def study(tmp_path: Path):
    def load(text: str, start: str = STUDY):
        (tmp_path / "mine.yaml").write_text(start + text)
        return load_study(tmp_path / "mine.yaml")

    return load


def test_the_first_method_is_the_baseline_and_each_is_a_run_of_all_classes(study):
    found = study("methods: [bce, focal]")
    assert found.strategy_names == ["bce", "focal"]
    assert found.baseline == "bce"
    assert found.class_slugs == {"all_classes": "all classes"}
    settings = RunSettings.of(found, "focal")
    assert settings.training.loss.name == "focal"
    assert settings.strategy == "full"
    assert settings.classes == found.classes == [str(digit) for digit in range(10)]
    assert ScoreSettings.of(found).classes == found.classes
    assert ManifestSettings.of(found).classes == found.classes


def test_each_method_is_run_with_all_that_is_observed(study):
    found = study(
        """
observed: [one_positive, {share: 0.25}, {positives: 2}, all]
methods: [bce, {name: full_label, loss: bce, observed: all}]
"""
    )
    assert found.strategy_names == [
        *("bce", "bce_observed_share_25", "bce_observed_2_positives", "bce_observed_all"),
        "full_label",
    ]
    assert RunSettings.of(found, "bce").observed.positives == 1
    assert RunSettings.of(found, "bce_observed_share_25").observed.share == 0.25
    assert RunSettings.of(found, "full_label").observed.name == "all"


def test_what_is_observed_is_part_of_the_settings_and_only_here(study):
    """So that runs of studies of one class stay as they are."""
    text = RunSettings.of(load_study("digits"), "random").text()
    assert "observed" not in text
    assert "classes" not in text
    one, two = (
        RunSettings.of(study(f"observed: {seen}\nmethods: [bce]"), "bce").text()
        for seen in ("one_positive", "all")
    )
    assert one != two


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "methods: is missing"),
        ("methods: [bce]\nstrategies: [random]", "strategies: is for task: binary"),
        ("methods: [bce]\nlosses: [bce]", "losses: is for task: binary"),
        ("methods: [bce]\nhidden_positives: 0.1", "hidden_positives: is for task: binary"),
        ("methods: [bce]\nsampling: {warmup_epochs: 1}", "sampling: nothing is chosen"),
        ("methods: [bce]\ntraining: {loss: focal}", "training.loss: the loss is what methods"),
        ("methods: [bce]\ntraining: {positives: mixup}", "training.positives: synthetic"),
        ("methods: [bce]\ntraining: {positive_weight: balanced}", "training.positive_weight: is"),
        ("methods: [bce]\nbags: {label_density: 0.5}", "bags.label_density: bags of many"),
        ("methods: [bse]", "methods[0]: 'bse' is not a loss"),
        ("methods: [{name: x, loss: bse}]", "methods[0].loss: 'bse' is not a loss"),
        ("methods: [{loss: focal, gamma: 3.0}]", "methods[0]: a method with options needs a name"),
        ("methods: [{name: a/b, loss: focal}]", "methods[0].name: must consist of"),
        ("methods: [{name: x, loss: focal, gama: 3.0}]", "methods[0].gama: 'gama' is not"),
        ("methods: [bce, bce]", "methods[1]: 'bce' is listed twice"),
        ("methods: [bce]\nobserved: some", "observed[0]: must be all, one_positive"),
        ("methods: [bce]\nobserved: {share: 2.0}", "observed[0].share: "),
        ("methods: [bce]\nobserved: [all, all]", "observed[1]: "),
        ("methods: [bce]\nclasses: ['3']\nobserved: one_positive", "observed: with one class"),
        ("methods: [bce]\nbaseline: focal", "baseline: 'focal' is not among"),
    ],
)
def test_what_does_not_fit_is_one_sentence(study, text, expected):
    with pytest.raises(UserError) as error:
        study(text)
    assert f"mine.yaml: {expected}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("methods: [bce]", "methods: is for task: multilabel"),
        ("observed: all", "observed: is for task: multilabel"),
        ("training: {validation_labels: observed}", "training.validation_labels: all labels"),
    ],
)
def test_a_study_of_one_class_has_no_methods(study, text, expected):
    start = STUDY.replace("task: multilabel", "strategies: [random]")
    with pytest.raises(UserError) as error:
        study(text, start)
    assert f"mine.yaml: {expected}" in str(error.value)
