"""The figure of budgets."""

from io import StringIO

import pandas as pd
import pytest
from drawn import fits, texts

from weakneg.analysis.study import Study
from weakneg.report.figures import budget

BUDGETS = {"full": None, "random_budget_1": 1.0, "random_budget_4": 4.0, "mine_budget_1": 1.0}
SETTINGS = {
    "name": "mine",
    "title": "Mine",
    "classes": ["a", "b"],
    "strategies": list(BUDGETS),
    "runs": {name: name for name in BUDGETS},
    "kind": "images",
    "baseline": "random_budget_1",
    "upper_bound": "full",
    "display_names": {name: name.split("_")[0].title() for name in BUDGETS},
    "budgets": BUDGETS,
}


def table(seeds: int) -> pd.DataFrame:
    rows = [
        {
            "strategy": SETTINGS["display_names"][name],
            "budget": ratio,
            "metric": metric,
            "classes": 2,
            "seeds": seeds,
            "bags": 100 * (1 + (ratio or 9)),
            "whole_pool": 2 if ratio == 4 else 0,
            "mean": 0.5,
            "low": 0.4 if seeds > 1 else None,
            "high": 1.7 if seeds > 1 else None,
            "difference": 0.1,
            "difference_low": 0.05,
            "difference_high": 0.2,
        }
        for metric in ("ap", "roc_auc")
        for name, ratio in BUDGETS.items()
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def draw():
    def drawn(results: pd.DataFrame):
        return budget.draw(pd.read_csv(StringIO(results.to_csv())), Study.of(SETTINGS))

    return drawn


@pytest.mark.parametrize("seeds", [1, 3])
def test_it_shows_every_strategy_the_level_and_the_budgets(draw, seeds):
    figure = draw(table(seeds))
    assert fits(figure)
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Full", "Random", "Mine"]
    above = figure.axes[0]
    assert [text.get_text() for text in above.texts] == ["1", "4"]
    assert above.get_ylim()[1] < 1.1, "however wide the intervals are"
    differences = figure.axes[2]
    assert [tick.get_text() for tick in differences.get_xticklabels()] == ["1", "4"]
    shown = " ".join(" ".join(texts(figure)).split())
    assert "from 4 on, budgets are the whole pool" in shown


def test_without_a_budget_it_says_why_it_is_empty(draw):
    figure = draw(table(1).query("strategy == 'Full'"))
    assert any("No strategy with a budget is left" in text for text in texts(figure))
