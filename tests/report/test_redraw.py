"""Published studies made again from their metrics."""

import json
import shutil
from pathlib import Path

import partly_labelled
import pytest
from drawn import make_study
from pages import budget_table
from workspace import ROOT

from weakneg.config.load import load_study
from weakneg.config.report import FigureSettings
from weakneg.io.csv import write_frame
from weakneg.report import figures
from weakneg.report.redraw import redraw

PUBLISHED = sorted(path.parent for path in ROOT.glob("results/published/*/README.md"))


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.name)
def test_the_command_in_the_readme_of_a_published_study_makes_its_page(
    published, tmp_path, monkeypatch
):
    folder = published.relative_to(ROOT).as_posix()
    command = f"python -m weakneg redraw --published {folder} --target redrawn/{published.name}"
    assert f"\n\n    {command}\n" in (published / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(figures, "for_kind", lambda _: [])  # those that were published will do
    redraw(published, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="answer"' in page
    assert ('id="figures"' in page) == any(published.glob("figures/*.svg"))
    assert len(page.encode()) < 10_000_000


def test_a_study_of_budgets_has_its_page_again(tmp_path):
    study, published = load_study("cifar10_budget"), tmp_path / "published"
    names = ["full", *study.entry("random"), *study.entry("margin")]
    metrics, _, _ = make_study(tmp_path / "runs", ["airplane"], names, 2)
    published.mkdir()
    shutil.copy(metrics, published / "metrics.csv")
    (published / "provenance.json").write_text(json.dumps({"study": study.name, "commit": "abc"}))
    reported = FigureSettings.of(study).model_dump()
    reported |= {"classes": ["airplane"], "strategies": names}
    write_frame(published / "tables" / "budget.csv", budget_table(metrics, reported))
    redraw(published, tmp_path / "again")
    page = (tmp_path / "again" / "report.html").read_text(encoding="utf-8")
    assert "Cannot be told from 1 class" in page
    assert "<code>budget</code>" in page, "the figure"
    assert (tmp_path / "again" / "tables" / "budget.md").exists()


def test_a_study_of_many_classes_has_its_page_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = "title: Mine\ndataset: {name: digits}\ntask: multilabel\nbags: {bag_size: 3}\n"
    lines += "observed: one_positive\nmethods: [bce, focal]\n"
    Path("mine.yaml").write_text(lines)
    study, published = load_study("mine.yaml"), tmp_path / "published"
    reported = FigureSettings.of(study).model_dump()
    metrics, records, _ = partly_labelled.toy(10, ways=reported["methods"])
    names = dict(zip(metrics["class"].unique(), study.classes, strict=True))
    metrics["class"] = metrics["class"].map(names)
    results, epochs = partly_labelled.tables(metrics, records, reported)
    write_frame(published / "metrics.csv", metrics)
    write_frame(published / "tables" / "partial.csv", results)
    write_frame(published / "tables" / "partial_epochs.csv", epochs)
    (published / "provenance.json").write_text(json.dumps({"study": "mine.yaml", "commit": "abc"}))
    redraw(published, tmp_path / "again")
    text = (tmp_path / "again" / "tables" / "partial.md").read_text(encoding="utf-8")
    assert "| Focal    |" in text
    page = (tmp_path / "again" / "report.html").read_text(encoding="utf-8")
    assert "<code>partial</code>" in page, "the figure"
