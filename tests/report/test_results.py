"""Results as people read them to draw figures of their own."""

import re
from pathlib import Path

import matplotlib
import pytest
from drawn import texts

from weakneg.errors import UserError
from weakneg.report import figures
from weakneg.report.results import read_results

ROOT = Path(__file__).resolve().parents[2]
CIFAR = ROOT / "results" / "published" / "cifar10"


def test_the_example_of_the_page_works_without_the_house_style_around_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    [example] = re.findall(
        r"```python\n(from weakneg.report.figures import.*?)```", page, re.DOTALL
    )
    before = dict(matplotlib.rcParams)
    names: dict = {}
    exec(example.replace("results/digits", str(CIFAR)), names)
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "win_count.pdf").read_bytes().startswith(b"%PDF")
    assert "CIFAR-10" in " ".join(texts(names["figure"]))
    assert {*names["metrics"]["strategy"]} == {"random", "badge", "margin"}


def test_results_are_those_of_the_study_that_provenance_names():
    metrics, study = read_results(CIFAR, classes=["cat", 5])
    assert (study.name, study.classes) == ("cifar10", ["cat", "dog"])
    assert [*metrics["class"].unique()] == ["cat", "dog"]
    with pytest.raises(UserError, match="'whale' is not a class of the study cifar10"):
        read_results(CIFAR, classes=["whale"])


def test_what_a_figure_draws_are_its_parameters():
    assert figures.inputs("win_count") == ("metrics",)
    assert figures.inputs("learning_curves") == ("metrics", "runs")
    assert figures.inputs("sound") == ("recordings", "train_store", "test_store", "problems")
