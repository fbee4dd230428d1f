"""Published studies made again from their metrics."""

import json
import shutil

from drawn import make_study
from pages import budget_table

from weakneg.config.load import load_study
from weakneg.config.report import FigureSettings
from weakneg.io.csv import write_frame
from weakneg.report.redraw import redraw


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
