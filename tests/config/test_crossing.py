"""Strategies crossed with losses and shares of hidden positives."""

import pytest

from weakneg.config import load as config
from weakneg.config.report import ReportSettings
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.config.subset import subset
from weakneg.errors import UserError

STUDY = "title: Mine\ndataset: {name: digits}\nclasses: ['3']\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of lines added to a small one."""
    monkeypatch.chdir(tmp_path)

    def make(lines: str) -> Study:
        (tmp_path / "mine.yaml").write_text(STUDY + lines)
        return config.load_study("mine.yaml")

    return make


GRID = """
strategies: [random, {name: known, strategy: badge, loss_label: known}]
losses: [bce, {name: large_loss_rejection, share_per_epoch: 0.02}]
hidden_positives: [0, 0.125]
"""


def test_a_grid_has_a_run_for_each_combination_under_a_name_of_its_own(study):
    grid = study(GRID)
    assert grid.strategy_names == [
        "random",
        "random_large_loss_rejection",
        "known",
        "known_large_loss_rejection",
        "random_hidden_12_5",
        "random_large_loss_rejection_hidden_12_5",
        "known_hidden_12_5",
        "known_large_loss_rejection_hidden_12_5",
    ]
    assert grid.runs == {name: name for name in grid.strategy_names}
    run = RunSettings.of(grid, "known_large_loss_rejection_hidden_12_5")
    assert (run.strategy, run.options["loss_label"]) == ("badge", "known")
    assert run.training.loss.name == "large_loss_rejection"
    assert run.training.loss.model_extra["share_per_epoch"] == 0.02
    assert run.hidden_positives == 0.125
    assert "losses.large_loss_rejection" in run.plugins
    places = ReportSettings.of(grid).hidden
    assert places["known_hidden_12_5"] == ["known", "BCE", 0.125]


def test_the_plain_runs_of_a_grid_are_those_of_the_study_without_it(study):
    grid = study(GRID)
    plain = study("strategies: [random, {name: known, strategy: badge, loss_label: known}]")
    for name in plain.strategy_names:
        assert RunSettings.of(grid, name).text() == RunSettings.of(plain, name).text()
    assert "loss" not in RunSettings.of(plain, "random").training.model_dump()
    assert not ReportSettings.of(plain).hidden


def test_an_entry_with_its_own_loss_is_not_crossed(study):
    one = "{name: doubting, strategy: margin, loss: nnpu}"
    grid = study(f"strategies: [random, {one}]\nlosses: [bce, focal]")
    assert grid.strategy_names == ["random", "random_focal", "doubting"]
    assert RunSettings.of(grid, "doubting").training.loss.name == "nnpu"


def test_the_usual_loss_of_the_study_needs_no_name(study):
    grid = study("training: {loss: focal}\nstrategies: [random]\nlosses: [focal, bce]")
    assert grid.strategy_names == ["random", "random_bce"]
    assert RunSettings.of(grid, "random").training.loss.name == "focal"
    assert RunSettings.of(grid, "random_bce").training.loss.name == "bce"


def test_strategies_that_choose_the_same_bags_share_the_runs_of_a_grid(study):
    grid = study("strategies: [random, margin, entropy]\nlosses: [bce, focal]")
    assert grid.runs["margin"] == grid.runs["entropy"]
    assert grid.runs["margin_focal"] == grid.runs["entropy_focal"]
    assert grid.runs["margin_focal"] != grid.runs["margin"]


def test_an_entry_is_shown_by_its_strategy_and_its_loss(study):
    grid = study(
        "strategies: [random, {name: random_nnpu, strategy: random, loss: nnpu},"
        " {name: known_prior, strategy: random, loss: {name: nnpu, prior: 0.1}},"
        " {name: badge_sure, strategy: badge, loss_label: known, loss: nnpu}]\n"
        "hidden_positives: [0, 0.4]"
    )
    places = ReportSettings.of(grid).hidden
    assert places["random_nnpu"] == ["Random", "nnPU", 0.0]
    assert places["random_nnpu_hidden_40"] == ["Random", "nnPU", 0.4]
    assert places["known_prior_hidden_40"] == ["known_prior", "nnPU", 0.4], (
        "no place is taken twice"
    )
    assert places["badge_sure"] == ["BADGE, sure", "nnPU", 0.0], "its options are not the defaults"


def test_the_usual_loss_of_an_entry_is_no_other_run(study):
    same = study("strategies: [random, {name: again, strategy: random, loss: bce}]")
    assert same.runs == {"random": "random", "again": "random"}


def test_a_grid_can_be_restricted_by_name(study):
    smaller = subset(study(GRID), None, ["known_hidden_12_5"], None)
    assert smaller.strategy_names == ["random", "known_hidden_12_5"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("losses: [bce, bce]", "losses[1]: 'bce' is listed twice"),
        ("losses: [focall]", "losses[0]: 'focall' is not a loss; did you mean 'focal'?"),
        (
            "losses: [{name: focal, gama: 1}]",
            "losses[0].gama: 'gama' is not an option of focal; did you mean 'gamma'?",
        ),
        ("losses: []", "losses: must not be empty"),
        ("hidden_positives: [0.1, 0.1]", "hidden_positives[1]: 0.1 is listed twice"),
        ("hidden_positives: [0]", "hidden_positives: hides nothing: name a share above 0"),
        ("training: {loss: {name: focal, gamma: .inf}}", "loss.gamma: must be of type float"),
        ("training: {loss: {name: focal, gamma: -1}}", "loss.gamma: must be at least 0, not -1.0"),
        ("hidden_positives: [1]", "hidden_positives[0]: must be less than 1, not 1"),
        ("hidden_positives: [0.1]", "baseline: 'random' is not among the strategies"),
        ("training: {loss: {gamma: 2}}", "training.loss: must be a loss's name or {name:"),
    ],
)
def test_a_mistake_is_one_line(study, lines, expected):
    with pytest.raises(UserError) as caught:
        study(f"strategies: [random]\n{lines}")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_value_is_a_list_of_one(study):
    grid = study(
        "strategies: [random]\nbaseline: random_hidden_10\nlosses: focal\n"
        "training: {loss: focal}\nhidden_positives: 0.1"
    )
    assert grid.strategy_names == ["random_hidden_10"]


def test_a_loss_that_doubts_refuses_mixed_bags(study, tmp_path):
    lines = "title: A\ndataset: {name: soundscapes}\nmodel: {name: cnn}\naudio: {waveform: true}\n"
    (tmp_path / "sound.yaml").write_text(
        f"{lines}augmentation: {{mixup_rate: 0.5, frequency_mask: 8}}\n"
        "strategies: [random]\nlosses: [bce, focal, nnpu]\n"
    )
    with pytest.raises(UserError, match="nnpu doubts the labels of single bags, and mixup mixes"):
        config.load_study("sound.yaml")
    text = (tmp_path / "sound.yaml").read_text().replace("losses: ", "hidden_positives: 0.1\n#")
    (tmp_path / "sound.yaml").write_text(text)
    with pytest.raises(UserError, match="hidden_positives: hides single bags, and mixup mixes"):
        config.load_study("sound.yaml")
