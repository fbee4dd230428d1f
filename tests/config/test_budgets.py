"""Studies of budgets: strategies crossed with the number of negatives per positive."""

import pytest

from weakneg.bags.split import n_chosen
from weakneg.config import load as config
from weakneg.config.report import FigureSettings, ReportSettings
from weakneg.config.stages import RunSettings
from weakneg.config.study import Study
from weakneg.config.subset import subset
from weakneg.errors import UserError
from weakneg.workspace.results import Results

STUDY = "title: Mine\ndataset: {name: digits}\nclasses: ['3']\n"
GRID = "strategies: [random, margin, entropy]\nsampling: {negatives_per_positive: [0.5, 2, all]}"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of lines added to a small one."""
    monkeypatch.chdir(tmp_path)

    def make(lines: str, start: str = STUDY) -> Study:
        (tmp_path / "mine.yaml").write_text(start + lines)
        return config.load_study("mine.yaml")

    return make


def test_every_strategy_has_a_run_for_each_budget_and_the_full_set_has_one(study):
    grid = study(GRID)
    assert grid.runs == {
        "full": "full",
        "random_budget_0_5": "random_budget_0_5",
        "random_budget_2": "random_budget_2",
        "margin_budget_0_5": "margin_budget_0_5",
        "margin_budget_2": "margin_budget_2",
        "entropy_budget_0_5": "margin_budget_0_5",
        "entropy_budget_2": "margin_budget_2",
    }
    assert study(GRID.replace("[random", "[full, random")).strategy_names == grid.strategy_names
    assert "full" not in study(GRID.replace(", all", "")).strategy_names


def test_a_run_of_the_grid_is_that_of_the_study_with_this_number(study):
    grid = study(GRID)
    for ratio in (0.5, 2):
        one = study(
            f"strategies: [full, random, margin]\nsampling: {{negatives_per_positive: {ratio}}}"
        )
        name = f"margin_budget_{ratio:g}".replace(".", "_")
        assert RunSettings.of(grid, name).text() == RunSettings.of(one, "margin").text()
    assert RunSettings.of(grid, "full").text() == RunSettings.of(one, "full").text()


def test_the_budgets_of_a_strategy_are_one_curve(study):
    settings = FigureSettings.of(study(GRID))
    assert settings.budgets["full"] is None
    assert settings.budgets["margin_budget_0_5"] == 0.5
    both = ("margin_budget_0_5", "margin_budget_2")
    assert {settings.display_names[name] for name in both} == {"Margin"}
    assert settings.looks[both[0]] == settings.looks[both[1]]
    plain = ReportSettings.of(study("strategies: [random, margin]"))
    assert "budgets" not in plain.model_dump()


def test_a_variant_keeps_its_name_and_its_loss_at_every_budget(study):
    grid = study(
        "strategies: [random, {name: random_focal, strategy: random, loss: focal},"
        " {name: trimmed_full, strategy: trimmed, then: full}]\n"
        "sampling: {negatives_per_positive: [1]}"
    )
    assert grid.strategy_names == ["random_budget_1", "random_focal_budget_1", "trimmed_full"]
    assert RunSettings.of(grid, "random_focal_budget_1").training.loss.name == "focal"
    shown = ReportSettings.of(grid).display_names
    assert shown["random_focal_budget_1"] == "Random, focal"


def test_a_study_of_budgets_has_tables_and_a_figure_of_its_own(study):
    results = Results(study(GRID))
    assert [path.removeprefix("results/mine/") for path in results.all] == [
        "metrics.csv",
        "tables/budget.csv",
        "tables/budget.md",
        "tables/budget.tex",
        *(f"figures/budget.{kind}" for kind in ("pdf", "png", "svg")),
        "report.html",
    ]


def test_a_restricted_grid_keeps_the_baseline_at_its_budgets(study):
    grid = study(GRID)
    one = subset(grid, None, ["margin_budget_2"], None)
    assert one.strategy_names == ["random_budget_2", "margin_budget_2"]
    assert one.baseline == "random_budget_2"
    of_strategy = subset(grid, None, ["margin", "full"], None)
    assert of_strategy.strategy_names == [
        *("full", "random_budget_0_5", "random_budget_2"),
        *("margin_budget_0_5", "margin_budget_2"),
    ]
    assert subset(grid, None, ["full"], None).strategy_names == ["full", "random_budget_0_5"]
    with pytest.raises(ValueError, match="'badge' is not a strategy of the study mine"):
        subset(grid, None, ["badge"], None)


VGGISH = "title: Mine\ndataset: {name: audioset_vggish}\nmodel: {name: mlp, pooling: attention}\n"


def test_a_budget_of_at_least_the_pool_is_the_run_of_the_full_set(study):
    grid = study(
        "classes: [Music, Pizzicato]\nstrategies: [random, {name: f, strategy: random, loss: focal}"
        "]\nsampling: {negatives_per_positive: [2, 5, 500, all]}\n"
        "training: {validation_fraction: 0.2}",
        VGGISH,
    )
    # As published in results/published/audioset_vggish: 4,995 positives, 12,733 in the pool.
    assert n_chosen(2, 4995, 12733) < 12733 == n_chosen(5, 4995, 12733)
    of_music = grid.runs_of("Music")
    assert of_music["random_budget_2"] == "random_budget_2"
    assert of_music["random_budget_5"] == of_music["random_budget_500"] == "full"
    assert of_music["f_budget_5"] == "f_budget_5", "the full set with this loss is not in the study"
    assert grid.runs_of("Pizzicato")["random_budget_5"] == "random_budget_5"
    assert grid.runs_of("Pizzicato")["random_budget_500"] == "full"
    pairs = Results(grid).run_pairs
    assert "random_budget_5=results/mine/runs/music/full" in pairs
    assert "random_budget_5=results/mine/runs/pizzicato/random_budget_5" in pairs


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ("[]", "must have a number besides all, not []"),
        ("[all]", "must have a number besides all, not ['all']"),
        ("all", "must be a number above 0 or a list of them, not 'all'"),
        ("0", "must be a number above 0, not 0"),
        ("true", "must be a number above 0, not True"),
        (".inf", "must be a number above 0, not inf"),
        ("[1, 0]", "[1]: must be a number above 0, or all, not 0"),
        ("[1, full]", "[1]: must be a number above 0, or all, not 'full'"),
        ("[1, 1.0]", "[1]: 1.0 is listed twice"),
    ],
)
def test_a_wrong_budget_is_one_line(study, ratios, expected):
    with pytest.raises(UserError) as caught:
        study(f"strategies: [random]\nsampling: {{negatives_per_positive: {ratios}}}")
    assert f"sampling.negatives_per_positive{': ' * (expected[:2] != '[1')}{expected}" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "losses: [bce, focal]",
            "negatives_per_positive: a list is not possible together with los",
        ),
        ("hidden_positives: 0.1", "a list is not possible together with hidden_positives: make tw"),
        ("training: {equal: steps}", "training.equal: with a list of budgets, the full set has no"),
        ("baseline: full", "baseline: 'full' is not a strategy of the study that has a budget."),
    ],
)
def test_what_does_not_go_with_a_list_is_one_line(study, lines, expected):
    with pytest.raises(UserError) as caught:
        study(f"{GRID}\n{lines}")
    assert expected in str(caught.value)
