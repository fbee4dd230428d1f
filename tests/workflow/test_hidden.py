"""A study that hides positives, from bags to the figure."""

import pandas as pd
import pytest
from workspace import Workspace

STUDY = """\
extends: digits
title: Hidden
classes: ["3"]
strategies: [random, margin, entropy]
losses: [bce, large_loss_correction]
hidden_positives: [0, 0.4]
seeds: 1
training: {epochs: 3}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Finished, with two of the four losses and shares of each strategy."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    study = workspace.folder / "hidden.yaml"
    study.write_text(STUDY)
    workspace.run("--config", f"studies={study}", f"strategies={WANTED}")
    return workspace


WANTED = (
    "[margin_hidden_40,entropy_hidden_40,random_hidden_40,random_large_loss_correction_hidden_40]"
)


def test_a_study_that_hides_positives_has_tables_and_a_figure_of_its_own(workspace):
    results = workspace.folder / "results/hidden"
    assert sorted(path.name for path in (results / "tables").iterdir()) == [
        "hidden.csv",
        "hidden.md",
        "hidden.tex",
        "hidden_epochs.csv",
    ]
    assert {path.suffix for path in (results / "figures").iterdir()} == {".pdf", ".png", ".svg"}
    text = (results / "tables/hidden.md").read_text()
    assert "| Entropy  | BCE   |" in text, "it shares the run of margin, and is shown as well"
    metrics = pd.read_csv(results / "metrics.csv", index_col="strategy")
    # 40% fewer positives to train on.
    ratio = metrics.loc["random_hidden_40", "n_positive"] / metrics.loc["random", "n_positive"]
    assert ratio == pytest.approx(0.6, abs=0.03)
    table = pd.read_csv(results / "tables/hidden_epochs.csv")
    assert set(table["hidden"]) == {0, 0.4}


def test_it_has_nothing_to_do_again(workspace):
    study = workspace.folder / "hidden.yaml"
    assert workspace.planned("--config", f"studies={study}", f"strategies={WANTED}") == {}
