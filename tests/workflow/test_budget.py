"""A study of budgets, from bags to the figure."""

import pandas as pd
import pytest
from workspace import Workspace

STUDY = """\
extends: digits
title: Budgets
classes: ["3"]
strategies: [random, margin]
sampling: {negatives_per_positive: [0.5, 2, all]}
seeds: 1
training: {epochs: 2, batch_size: 16}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Finished, with one of the two budgets of margin."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    study = workspace.folder / "budgets.yaml"
    study.write_text(STUDY)
    workspace.run(*arguments(workspace))
    return workspace


def arguments(workspace):
    return "--config", f"studies={workspace.folder / 'budgets.yaml'}", f"strategies={WANTED}"


WANTED = "[full,margin_budget_2]"


def test_a_study_of_budgets_has_a_table_and_a_figure_of_its_own(workspace):
    results = workspace.folder / "results/budgets"
    assert sorted(path.name for path in (results / "tables").iterdir()) == [
        *("budget.csv", "budget.md", "budget.tex"),
    ]
    assert {path.suffix for path in (results / "figures").iterdir()} == {".pdf", ".png", ".svg"}
    metrics = pd.read_csv(results / "metrics.csv", index_col="strategy")
    assert [*metrics.index] == ["full", "random_budget_2", "margin_budget_2"]
    assert metrics.loc["full", "budget"] == metrics.loc["full", "n_pool"]
    margin = metrics.loc["margin_budget_2"]
    assert margin["budget"] == 2 * margin["n_positive"]
    table = pd.read_csv(results / "tables/budget.csv", index_col=["strategy", "metric"])
    row = table.loc[("Margin", "ap")]
    per_epoch = 3 * margin["n_positive"]
    assert (row["bags"], row["steps"]) == (2 * per_epoch, 2 * -(-per_epoch // 16))
    gain = margin["ap"] - metrics.loc["random_budget_2", "ap"]
    assert row["difference"] == pytest.approx(gain, abs=1e-5)


def test_it_has_nothing_to_do_again(workspace):
    assert workspace.planned(*arguments(workspace)) == {}
