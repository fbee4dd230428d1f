"""The runs of a study: those that are missing or damaged are named."""

import json

import pytest
from selections import one_line

from weakneg.errors import UserError
from weakneg.report.audit import audit_selections


def test_a_run_that_is_not_named_is_missed(made):
    made.settings["strategies"].append("svm_margin")
    made.settings["runs"]["svm_margin"] = "margin_of_another_kind"
    pairs = [pair for pair in made.pairs if pair[0] != "svm_margin"]
    with pytest.raises(
        UserError, match=r"^Study made: no run .* class 'a' and strategy 'svm_margin'"
    ):
        audit_selections(
            pairs, made.manifests, made.settings, "digits", "none", made.folder / "tables"
        )


def test_a_record_without_settings_is_named(made):
    path = made.folder_of("a", "badge") / "run.json"
    run = json.loads(path.read_text())
    del run["settings"]["training"]
    path.write_text(json.dumps(run))
    one_line(made, rf"^{path} has no key 'training'; train this run again\.$")
