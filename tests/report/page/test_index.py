"""The index of all studies."""

import json
import re
import shutil

import pytest
from pages import make_page

from weakneg.errors import UserError
from weakneg.report.page.index import index


def test_it_leads_to_every_study_and_compares_what_they_share(tmp_path, capsys):
    for name, strategies in {
        "one": ["random", "badge"],
        "two & more": ["random", "margin"],
    }.items():
        make_page(tmp_path / name, ["a", "<b>"], strategies, title=f"Study {name}")
    index(tmp_path)
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall('href="(.*?)/report.html">(.*?)</a>', text) == [
        ("one", "Study one"),
        ("two%20%26%20more", "Study two &amp; more"),
    ]
    assert text.count("Cannot be told from 2 classes") == 2
    data = json.loads(re.search('id="data">(.*?)</script>', text)[1])
    assert {(row["study"], row["class"]) for row in data["cells"]} == {
        (study, name) for study in ("one", "two & more") for name in ("a", "<b>")
    }


def test_only_studies_with_results_in_common_are_compared(tmp_path):
    for name, classes in {"a": "de", "b": "fg", "c": "gh"}.items():
        make_page(tmp_path / name, classes, ["random", "badge"], title=name.upper())
    index(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    choices = re.findall(r'<select.*?id="choose-study_(\w)">(.*?)</select>', text, re.DOTALL)
    assert {
        which: re.findall(r'value="(\w+)"( selected)?', options) for which, options in choices
    } == {"a": [("b", " selected"), ("c", "")], "b": [("b", ""), ("c", " selected")]}
    shutil.rmtree(tmp_path / "c")
    index(tmp_path)
    assert "Two studies" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_single_study_is_compared_with_nothing(tmp_path):
    make_page(tmp_path / "one", ["a"], ["random", "badge"])
    index(tmp_path)
    assert "Two studies" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_folder_without_pages_and_a_damaged_page_are_named(tmp_path):
    with pytest.raises(UserError, match="no page of a study: finish one first"):
        index(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "report.html").write_text("cut off")
    with pytest.raises(UserError, match=r"one/report\.html is not the page of a study"):
        index(tmp_path)
