"""`python -m weakneg diff`: which metrics moved between two results, and by how much."""

import pandas as pd
import pytest
from workspace import ROOT

from weakneg.command_line import main

PUBLISHED = ROOT / "results/published/esc10"


@pytest.fixture
def changed(tmp_path):
    """A copy of published metrics, after an edit of its table."""

    def make(edit=lambda table: table, name="metrics.csv"):
        table = pd.read_csv(PUBLISHED / "metrics.csv", dtype={"class": str})
        path = tmp_path / name
        edit(table).to_csv(path, index=False)
        return path

    return make


def set_at(row: int, **values):
    def edit(table):
        for column, value in values.items():
            table.loc[row, column] = value
        return table

    return edit


def diff(capsys, *arguments) -> tuple[int, str]:
    status = main(["diff", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_the_same_metrics_are_no_difference_whatever_the_clock_and_the_machine(changed, capsys):
    def elsewhere(table):
        return table.assign(seconds=1.0, device="cuda: other", fingerprint="0").sample(frac=1)

    assert diff(capsys, PUBLISHED, PUBLISHED) == (0, "")
    before = changed()  # written as ours is read
    assert diff(capsys, before, changed(elsewhere, "other.csv")) == (0, "")


def test_what_moved_is_named_with_its_size(changed, capsys):
    table = pd.read_csv(PUBLISHED / "metrics.csv", dtype={"class": str})
    row = table.loc[7]
    edit = set_at(7, ap=row["ap"] + 0.02, epochs=row["epochs"] + 1)
    status, text = diff(capsys, changed(), changed(edit, "now.csv"))
    assert status == 1
    assert f"1 of {len(table)} rows changed" in text
    assert f"{row['class']}, {row['strategy']}, seed {row['seed']}: AP +0.0200, epochs +1" in text
    of_strategy = (table["strategy"] == row["strategy"]).sum()
    assert f"AP {0.02 / of_strategy:+.4f} (largest +0.0200)" in text


def test_a_tolerance_forgives_metrics_but_no_counts(changed, capsys):
    table = pd.read_csv(PUBLISHED / "metrics.csv")
    little = set_at(3, roc_auc=table.loc[3, "roc_auc"] - 0.001)
    before, now = changed(), changed(little, "now.csv")
    assert diff(capsys, before, now)[0] == 1
    assert diff(capsys, before, now, "--tolerance", "0.01") == (0, "")
    now = changed(set_at(3, budget=table.loc[3, "budget"] + 1), "now.csv")
    assert diff(capsys, before, now, "--tolerance", "10")[0] == 1


def test_a_metric_that_is_lost_is_a_difference(changed, capsys):
    status, text = diff(capsys, changed(), changed(set_at(3, ap=None), "now.csv"))
    assert status == 1
    assert "AP missing on one side" in text
    lost = changed(set_at(3, ap=None))
    assert diff(capsys, lost, lost) == (0, "")


def test_rows_and_studies_of_one_side_are_named(changed, capsys, tmp_path):
    before, now = changed(), changed(lambda table: table.drop([5]), "now.csv")
    status, text = diff(capsys, now, before)
    assert status == 1
    assert text.startswith(f"only in {before}: ")
    status, text = diff(capsys, ROOT / "results/published", PUBLISHED)
    assert status == 1
    assert f"cifar10: only in {ROOT / 'results/published'}" in text
    assert "esc10" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no metrics.csv in"),
        ("", "cannot be read"),
        ("a,b\n1,2\n", "no column 'class'"),
        ("a,b\n1,2\n1,2,3\n", "cannot be read"),
        (
            "class,strategy,seed,ap,roc_auc\nx,y,0,1,1\nx,y,0,1,1\n",
            "x, y, seed 0 occurs more than once",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_status_2(tmp_path, capsys, content, words):
    if content is not None:
        (tmp_path / "metrics.csv").write_text(content)
    status, text = diff(capsys, tmp_path, PUBLISHED)
    assert status == 2
    [line] = text.splitlines()
    assert line.startswith("error: ")
    assert words in line
