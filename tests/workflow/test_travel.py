"""Results that are copied to another clone are up to date there; published metrics are enough."""

import shutil
import subprocess
import sys

import pytest
from workspace import ROOT, Workspace

from weakneg.command_line import main


@pytest.fixture
def clone(tmp_path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize("option", ["-r", "-a"])
def test_copied_results_are_up_to_date_and_still_know_what_made_them(finished, clone, option):
    subprocess.run(["cp", option, finished.folder / "results", clone.folder], check=True)
    if option == "-r":  # gives the files new times; rsync -a keeps those that they have, as cp -a
        command = [sys.executable, "-m", "weakneg", "settle"]
        subprocess.run(
            command, cwd=clone.folder, env={"PYTHONPATH": str(ROOT / "workflow")}, check=True
        )
    assert clone.planned() == {}
    clone.edit("workflow/weakneg/strategies/kl_probability.py", "pool, -divergence", "pool, 0")
    jobs = clone.planned()
    assert (jobs["train_run"], jobs["score_run"], jobs["collect_metrics"]) == (2, 2, 1)
    assert "build_features" not in jobs


def test_results_without_their_records_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["settle"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "copy the whole folder results" in line


def test_published_metrics_are_enough_for_tables_and_figures(tmp_path):
    published = ROOT / "results/published/esc10"
    overlap, turnover = (f"tables/selection_{part}.csv" for part in ("overlap", "turnover"))
    (tmp_path / "published/tables").mkdir(parents=True)
    for name in ("metrics.csv", "provenance.json", overlap, turnover):
        shutil.copy(published / name, tmp_path / "published" / name)
    arguments = ["--published", tmp_path / "published", "--target", tmp_path / "drawn"]
    assert main(["redraw", *map(str, arguments)]) == 0
    drawn = {path.name for path in (tmp_path / "drawn").glob("*/*")}
    assert {
        "table1.md",
        "win_count.svg",
        "critical_difference.pdf",
        "class_size.png",
        "selection.png",
    } <= drawn
    for name in ("table1.csv", "win_counts.csv"):
        table = (tmp_path / "drawn/tables" / name).read_bytes()
        assert table == (published / "tables" / name).read_bytes()
    page = (tmp_path / "drawn/report.html").read_text(encoding="utf-8")
    assert "No difference from Random can be told" in page
    assert page.count('<figure class="plate">') == len(list((tmp_path / "drawn").glob("*/*.svg")))
