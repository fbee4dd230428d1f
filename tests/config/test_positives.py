"""Synthetic positives, in the training of a study or of one of its entries."""

import pytest

from weakneg.config import load as config
from weakneg.config.report import ReportSettings
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.errors import UserError

CLIPS = (
    "title: Mine\ndataset: {name: audioset_vggish}\nmodel: {name: mlp, pooling: attention}\n"
    "classes: [Music]\n"
)
IMAGES = "title: Mine\ndataset: {name: digits}\nclasses: ['3']\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of lines added to a small one."""
    monkeypatch.chdir(tmp_path)

    def make(lines: str, start: str = CLIPS) -> Study:
        (tmp_path / "mine.yaml").write_text(start + lines)
        return config.load_study("mine.yaml")

    return make


def test_one_study_compares_choosing_negatives_with_making_positives(study):
    both = study(
        "strategies: [random, margin, {name: random_smote, strategy: random, positives: smote},"
        " {name: few, strategy: random, positives: {method: mixup, share: 0.5, alpha: 0.2}}]"
    )
    assert both.runs == {name: name for name in ("random", "margin", "random_smote", "few")}
    smote = RunSettings.of(both, "random_smote")
    assert smote.training.positives.model_dump() == {
        **{"method": "smote", "share": 1.0, "neighbours": 5},
    }
    assert RunSettings.model_validate_json(smote.text()) == smote, "as the command line reads it"
    assert "batches.synthetic" in smote.plugins
    few = RunSettings.of(both, "few").training.positives
    assert few.model_dump() == {"method": "mixup", "share": 0.5, "alpha": 0.2}
    assert ReportSettings.of(both).display_names["random_smote"] == "Random, smote"
    alone = study("strategies: [random]")
    assert RunSettings.of(both, "random").text() == RunSettings.of(alone, "random").text()


def test_what_the_training_of_the_study_says_is_for_all_entries(study):
    all_of_them = study(
        "strategies: [random, {name: again, strategy: random, positives: smote}]\n"
        "training: {positives: smote}"
    )
    assert all_of_them.runs == {"random": "random", "again": "random"}
    assert RunSettings.of(all_of_them, "random").training.positives.method == "smote"


def test_they_are_one_entry_of_a_study_of_budgets(study):
    grid = study(
        "strategies: [random, {name: random_smote, strategy: random, positives: smote}]\n"
        "sampling: {negatives_per_positive: [2, 500, all]}"
    )
    assert RunSettings.of(grid, "random_smote_budget_2").training.positives.method == "smote"
    of_class = grid.runs_of("Music")
    assert of_class["random_budget_500"] == "full"
    assert of_class["random_smote_budget_500"] == "random_smote_budget_500", "full has no smote"


@pytest.mark.parametrize(
    ("positives", "expected"),
    [
        ("smot", "'smot' is not a method; did you mean 'smote'?"),
        ("{share: 1}", "must be a method's name or {method: ..., options}, not {'share': 1}"),
        (
            "{method: mix}",
            ".method: 'mix' is not a method; did you mean 'mixup'? Allowed: mixup, sm",
        ),
        ("{method: mixup, neighbours: 3}", ".neighbours: 'neighbours' is not an option of mixup."),
        (
            "{method: smote, neighbours: 0}",
            ".neighbours: must be greater than or equal to 1, not 0",
        ),
        ("{method: smote, share: 0}", ".share: must be greater than 0, not 0"),
        ("2", "must be a method's name or {method: ..., options}, not 2"),
    ],
)
def test_a_mistake_is_one_line(study, positives, expected):
    for lines, at in (
        (f"strategies: [random]\ntraining: {{positives: {positives}}}", "training.positives"),
        (
            f"strategies: [random, {{name: a, strategy: random, positives: {positives}}}]",
            "strategies[1].positives",
        ),
    ):
        with pytest.raises(UserError) as caught:
            study(lines)
        separator = "" if expected.startswith(".") else ": "
        assert f"{at}{separator}{expected}" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "start", "expected"),
    [
        (
            "",
            IMAGES,
            "strategies[1].positives: smote needs bags of feature vectors, and digits has",
        ),
        ("training: {positive_weight: balanced}", CLIPS, "so does positive_weight: balanced: choo"),
        ("training: {batch_sampling: weighted}", CLIPS, "so does batch_sampling: weighted: choose"),
        ("training: {loss: nnpu}", CLIPS, "nnpu doubts the labels of single bags, and smote mixes"),
    ],
)
def test_what_does_not_go_with_them_is_one_line(study, lines, start, expected):
    entry = "{name: random_smote, strategy: random, positives: smote}"
    with pytest.raises(UserError) as caught:
        study(f"strategies: [random, {entry}]\n{lines}", start)
    assert expected in str(caught.value)


def test_an_entry_that_makes_positives_needs_a_name(study):
    with pytest.raises(UserError, match="needs a name, such as 'name: random_smote'"):
        study("strategies: [random, {strategy: random, positives: smote}]")
