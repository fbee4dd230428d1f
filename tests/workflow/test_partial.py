"""A study of many classes whose labels are partly unknown, from bags to the page."""

import numpy as np
import pandas as pd
import pytest
from workspace import Workspace

STUDY = """\
title: Partial
dataset: {name: digits}
task: multilabel
bags: {bag_size: 3}
observed: one_positive
methods:
  - bce
  - {name: full_label, loss: bce, observed: all}
  - large_loss_rejection
training: {epochs: 3, validation_fraction: 0.25}
seeds: 1
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    study = workspace.folder / "partial.yaml"
    study.write_text(STUDY)
    workspace.run("--config", f"studies={study}")
    return workspace


def test_a_study_of_many_classes_has_tables_a_figure_and_a_page(workspace):
    results = workspace.folder / "results/partial"
    assert sorted(path.name for path in (results / "tables").iterdir()) == [
        *("partial.csv", "partial.md", "partial_epochs.csv", "pointing.csv", "pointing.md"),
    ]
    assert sorted(path.name for path in (results / "figures").iterdir()) == [
        *("partial.pdf", "partial.png", "partial.svg"),
    ]
    table = pd.read_csv(results / "tables/partial.csv")
    assert [*table["group"].unique()] == ["all", "G1", "G2", "G3", "G4", "G5"]
    table = table.set_index(["metric", "method", "group"]).sort_index()
    metrics = pd.read_csv(results / "metrics.csv").groupby("strategy")
    full, naive = (metrics["ap"].mean()[name] for name in ("full_label", "bce"))
    assert table.loc[("ap", "Full label", "all"), "mean"] == pytest.approx(full, abs=1e-5)
    row = table.loc[("ap", "LL-R", "all")]
    gain = metrics["ap"].mean()["large_loss_rejection"] - naive
    assert row["difference"] == pytest.approx(gain, abs=1e-5)
    assert row["positives_observed"] == pytest.approx(1 / 2.7, abs=0.03)
    epochs = pd.read_csv(results / "tables/partial_epochs.csv")
    treated = epochs[(epochs["measure"] == "treated") & (epochs["group"] == "all")]
    of_epoch = treated[treated["method"] == "LL-R"].set_index("epoch")["mean"]
    assert of_epoch[1] == 0
    assert (of_epoch[2:] > 0).all()
    assert not np.isnan(of_epoch).any()
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Naive AN" in page
    assert "Cannot be told from 1 seed" in page


def test_it_has_nothing_to_do_again(workspace):
    study = workspace.folder / "partial.yaml"
    assert workspace.planned("--config", f"studies={study}") == {}
