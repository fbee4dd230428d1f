"""What the report reads of a study of many classes."""

import pytest

from weakneg.config import load as config
from weakneg.config.report import FigureSettings, ReportSettings
from weakneg.config.subset import subset

START = "title: Mine\ndataset: {name: digits}\ntask: multilabel\nbags: {bag_size: 3}\n"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(lines):
        (tmp_path / "mine.yaml").write_text(START + lines)
        return config.load_study("mine.yaml")

    return make


METHODS = """\
methods:
  - bce
  - large_loss_rejection
  - {name: large_loss_rejection_batch, loss: large_loss_rejection, over: batch}
  - {name: my_own, loss: focal, gamma: 1.0}
  - {name: full_label, loss: bce, observed: all}
"""


def test_methods_have_names_and_labels_and_the_one_that_sees_all_of_them_is_the_upper_bound(study):
    found = ReportSettings.of(study(f"{METHODS}observed: one_positive\n"))
    assert found.methods == {
        "bce": ["Naive AN", "1 positive"],
        "large_loss_rejection": ["LL-R", "1 positive"],
        "large_loss_rejection_batch": ["LL-R, batch", "1 positive"],
        "my_own": ["My own", "1 positive"],
        "full_label": ["Full label", "all"],
    }
    assert found.upper_bound == "full_label"
    assert found.display_names["bce"] == "Naive AN"


def test_a_method_with_several_labels_is_no_upper_bound_and_names_say_what_each_sees(study):
    crossed = study("methods: [bce, focal]\nobserved: [{positives: 2}, {share: 0.1}, all]\n")
    found = ReportSettings.of(crossed)
    assert found.upper_bound is None
    assert [*found.display_names.values()][:3] == [
        *("Naive AN, 2 positives", "Naive AN, 10%", "Naive AN, all"),
    ]
    assert found.methods["focal_observed_share_10"] == ["Focal", "10%"]
    assert ReportSettings.model_validate_json(found.text()) == found
    assert FigureSettings.of(crossed).looks == {}


def test_where_all_labels_are_seen_nothing_is_assumed(study):
    found = ReportSettings.of(study("methods: [bce, focal]\n"))
    assert found.methods == {"bce": ["BCE", "all"], "focal": ["Focal", "all"]}
    assert found.upper_bound is None


def test_a_part_of_the_methods_can_be_reported(study):
    part = subset(study(f"{METHODS}observed: one_positive\n"), None, ["full_label"], None)
    found = ReportSettings.of(part)
    assert [*found.methods] == ["bce", "full_label"]
    assert found.upper_bound == "full_label"


def test_other_studies_have_no_methods(study):
    assert "methods" not in ReportSettings.of(config.load_study("digits")).model_dump()
