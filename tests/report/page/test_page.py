"""The page of a study: whole, deterministic, and safe whatever its classes are called."""

import html.parser
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import partly_labelled
import pytest
from drawn import make_study
from pages import make_large_page, make_page, make_page_of_methods, page_settings
from synthetic import HOSTILE, metrics_of, settings_of

from weakneg.analysis.most_selected import COLUMNS
from weakneg.errors import UserError
from weakneg.io.csv import write_frame
from weakneg.report.formatting import DASH
from weakneg.report.page.content import Page
from weakneg.report.page.index import index

EVIL = "</script><img src=x onerror=alert(1)>"
CLASSES = [EVIL, "quote \" and ' and &", "{{ braces }}", "x" * 200]


class Read(html.parser.HTMLParser):
    """The elements of a page, and the text of some, as a browser with JavaScript has them."""

    CDATA_CONTENT_ELEMENTS = ("script", "style", "noscript")

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, text):
        self.texts.append((self._open[-1] if self._open else "", text.strip()))

    def all(self, tag):
        return [attributes for each, attributes in self.elements if each == tag]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    strategies = ["full", "random", "badge", "margin", "entropy"]
    return make_page(folder, CLASSES, strategies, title=EVIL, note=HOSTILE[1])


def test_names_are_shown_as_text_and_never_become_elements(hostile):
    read = Read(hostile)
    assert all(each["src"].startswith("data:") for each in read.all("img"))
    assert len(read.all("script")) == 6
    options = [text for tag, text in read.texts if tag == "option"]
    assert set(CLASSES) <= {*options}
    assert EVIL in [text for tag, text in read.texts if tag == "h1"]
    data = next(text for tag, text in read.texts if tag == "script" and text.startswith('{"cells"'))
    assert {row["class"] for row in json.loads(data)["runs"]} == {*CLASSES}


def test_a_page_loads_nothing_and_runs_no_script_but_its_own(hostile):
    read = Read(hostile)
    for _, attributes in read.elements:
        for key in ("src", "href"):
            assert re.match(r"data:|#|$", attributes.get(key) or "")
    policy = next(each for each in read.all("meta") if "http-equiv" in each)["content"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-eval'" not in policy
    assert not re.search(r"script-src[^;]*unsafe-inline", policy)


def test_the_same_results_make_the_same_bytes(hostile, tmp_path):
    strategies = ["full", "random", "badge", "margin", "entropy"]
    again = make_page(tmp_path, CLASSES, strategies, title=EVIL, note=HOSTILE[1])
    assert again.read_bytes() == hostile.read_bytes()


def test_a_page_has_landmarks_headings_in_order_and_headers_for_every_table(hostile):
    read = Read(hostile)
    assert all(len(read.all(tag)) == 1 for tag in ("main", "nav", "header", "footer", "h1"))
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    assert len(read.all("caption")) == len(read.all("table")) > 0
    assert {each.get("scope") for each in read.all("th")} == {"col", "row"}
    assert all(each["alt"] for each in read.all("img"))
    ids = [each["id"] for _, each in read.elements if "id" in each]
    assert len(ids) == len({*ids})
    assert {each["href"].removeprefix("#") for each in read.all("a")} <= {*ids}


def test_what_differs_from_the_paper_comes_first(hostile):
    text = hostile.read_text(encoding="utf-8")
    table = text[text.index('id="configuration"') :]
    assert table.index("training.epochs") < table.index("dataset.name")
    assert re.search(r"<strong>4</strong>.*?>15<", table[: table.index("dataset.name")], re.DOTALL)


@pytest.mark.parametrize("strategies", [["random"], ["random", "full"], ["random", "badge"]])
def test_small_studies_have_pages_too(tmp_path, strategies):
    text = make_page(tmp_path, ["a"], strategies, n_seeds=1).read_text(encoding="utf-8")
    assert 'data-chart="seeds"' in text
    assert 'data-chart="curves"' in text
    assert ('data-chart="overall"' in text) == (len(strategies) > 1)


@pytest.mark.parametrize("n_whole", [0, 1, 2])
def test_where_the_budget_is_the_whole_pool_nothing_is_said_to_be_compared(tmp_path, n_whole):
    def make(*sizes):
        metrics, *rest = make_study(*sizes)
        table = pd.read_csv(metrics)
        table.loc[table["class"].isin([*"ab"[:n_whole]]), "n_pool"] = table["budget"]
        write_frame(metrics, table)
        return metrics, *rest

    text = make_page(tmp_path, "ab", ["random", "badge"], make=make).read_text(encoding="utf-8")
    named = re.search("The budget is the whole pool of ([a-z, ]+): there, every strategy", text)
    assert (named and named[1]) == [None, "a", "a, b"][n_whole]
    headline = "Nothing is compared: every strategy trains on all negatives"
    assert (headline in text) == (n_whole == 2)
    assert ("Cannot be told from 2 classes" in text) == (n_whole < 2)


def test_the_full_set_is_not_said_to_lack_a_choice(tmp_path):
    """Its budget is the pool by definition."""

    def make(*sizes):
        metrics, *rest = make_study(*sizes)
        table = pd.read_csv(metrics)
        write_frame(metrics, table.assign(budget=table["n_pool"]))
        return metrics, *rest

    page = make_page(tmp_path, "ab", ["full"], make=make, baseline="full")
    assert "The budget is the whole pool" not in page.read_text(encoding="utf-8")


def test_intervals_of_two_seeds_do_not_squeeze_the_differences(tmp_path):
    values = {("a", "random"): [0.1, 0.9], ("a", "badge"): [0.2, 0.3], ("a", "margin"): [0.3, 0.2]}

    def make(root, *sizes):
        _, *rest = make_study(root, *sizes)
        write_frame(root / "metrics.csv", metrics_of(values))
        return root / "metrics.csv", *rest

    text = make_page(tmp_path, "a", ["random", "badge", "margin"], make=make).read_text("utf-8")
    assert "± &gt; .5" in text or "± > .5" in text
    assert "with its 95% interval over seeds; long ones are cut off" in text
    charts = json.loads(re.search('id="charts">(.*?)</script>', text)[1])
    domain = r'"domain": \[-([\d.]+), ([\d.]+)\]'
    ends = re.findall(domain, json.dumps(charts["class_differences"]))
    assert ends
    assert all(0.25 < float(end) < 1.1 for both in ends for end in both)


def test_a_table_with_nothing_in_it_has_no_section(tmp_path):
    """As the most selected bags of a study of random choice only, and suspects where none are."""
    empty = {
        "most_selected": pd.DataFrame(columns=COLUMNS),
        "suspects": pd.DataFrame(columns=["id"]),
    }
    text = make_page(tmp_path, ["a"], ["random"], tables=empty).read_text(encoding="utf-8")
    assert 'id="chosen"' not in text
    assert 'id="suspects"' not in text


BUDGETS = {
    "full": None,
    **{f"{s}_budget_{n}": float(n) for s in ("random", "margin", "entropy") for n in (1, 5)},
}
OF_BUDGETS = {
    "baseline": "random_budget_1",
    "budgets": BUDGETS,
    "runs": {name: name.replace("entropy", "margin") for name in BUDGETS},
    "display_names": {name: name.split("_")[0].title() for name in BUDGETS},
}


@pytest.mark.parametrize(("n_classes", "n_seeds"), [(7, 2), (2, 1), (1, 1)])
def test_the_page_of_budgets_has_their_curves_and_costs_and_no_comparison_of_runs(
    tmp_path, n_classes, n_seeds
):
    file = make_page(
        tmp_path / "mine", "abcdefg"[:n_classes], [*BUDGETS], n_seeds=n_seeds, **OF_BUDGETS
    )
    text, read = file.read_text(encoding="utf-8"), Read(file)
    assert re.findall('data-chart="(.*?)"', text) == ["budget"]
    parts = dict(re.findall('<script type="application/json" id="(\\w+)">(.*?)</script>', text))
    rows = [row for row in json.loads(parts["data"])["budget"] if row["metric"] == "ap"]
    assert {(row["strategy"], row["budget"]) for row in rows} == {
        ("Full", None),
        *((strategy, n) for strategy in ("Random", "Margin = Entropy") for n in (1, 5)),
    }
    assert {*json.loads(parts["summary"])["looks"]} == {"Random", "Margin = Entropy", "Full"}
    titles = [text for tag, text in read.texts if tag == "caption"]
    assert titles[:2] == ["AP", "ROC-AUC"]
    assert text.count("always choose the same bags") == 1
    assert {each["href"].removeprefix("#") for each in read.all("a")} <= {
        each["id"] for _, each in read.elements if "id" in each
    }
    index(tmp_path)
    assert json.loads(parts["summary"])["headline"] in (tmp_path / "index.html").read_text()


def test_a_missing_table_is_named(tmp_path):
    file = make_page(tmp_path, ["a"], [*BUDGETS], **OF_BUDGETS)
    settings = page_settings(settings_of(["a"], [*BUDGETS], **OF_BUDGETS))
    page = Page(file.parent / "runs" / "metrics.csv", {}, settings)
    with pytest.raises(UserError, match=r"needs its table budget\.csv: finish the study first"):
        _ = page.answer


def test_the_page_of_40_classes_and_20_strategies_is_below_10_MB(tmp_path):
    file = make_large_page(tmp_path, figures=["differences"])  # the largest by far
    text = file.read_text(encoding="utf-8")
    others = 2_100_000  # the other figures of such a study
    assert len(text.encode()) + others < 10_000_000
    # Elements cost more time than bytes do: most of a large page is text until it is asked for.
    read = Read(file)
    assert len(read.elements) < 10_000
    assert sum("data-class" in each for each in read.all("noscript")) == 2 * 39
    assert text.count("<select data-mark") == 40 * 20


@pytest.mark.parametrize("n_seeds", [2, 1])
def test_the_page_of_methods_has_their_results_labels_and_classes(tmp_path, n_seeds):
    metrics, records, settings = partly_labelled.toy(
        11, n_seeds=n_seeds, upper_bound="full_label", note=EVIL
    )
    metrics = metrics.replace({"class": {"c001": EVIL}})
    settings["classes"][1] = EVIL
    metrics.loc[metrics["class"] == EVIL, ["ap", "roc_auc"]] = np.nan
    file = make_page_of_methods(tmp_path / "mine", metrics, records, settings)
    text, read = file.read_text(encoding="utf-8"), Read(file)
    assert EVIL not in text
    assert re.findall('data-chart="(.*?)"', text) == ["partial", "labels"]
    parts = dict(re.findall('<script type="application/json" id="(\\w+)">(.*?)</script>', text))
    data = json.loads(parts["data"])
    assert {row["group"] for row in data["partial"]} == {"all", "G1", "G2", "G3", "G4", "G5"}
    assert {row["measure"] for row in data["labels"]} >= {"loss_hidden_positive", "precision"}
    said = " ".join(text for _, text in read.texts)
    assert "1 of 11 classes is left out" in said
    titles = [text for tag, text in read.texts if tag == "caption"]
    assert titles[:2] == ["Mean AP over classes.", "Mean ROC-AUC over classes."]
    assert {"Mean loss after the last epoch.", "AP, mean over seeds."} <= {*titles}
    ids = [each["id"] for _, each in read.elements if "id" in each]
    assert len(ids) == len({*ids})
    assert {each["href"].removeprefix("#") for each in read.all("a")} <= {*ids}
    index(tmp_path)
    assert json.loads(parts["summary"])["headline"] in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("n_seeds", [2, 1])
def test_the_page_of_methods_shows_the_pointing_game_where_it_was_played(tmp_path, n_seeds):
    toy = partly_labelled.toy(3, n_seeds=n_seeds, upper_bound="full_label")
    assert 'id="pointing"' not in make_page_of_methods(tmp_path / "not", *toy).read_text()
    played = partly_labelled.pointed(toy[2]["strategies"], [EVIL, "007"], n_seeds)
    file = make_page_of_methods(tmp_path / "played", *toy, pointing=played)
    text, read = file.read_text(encoding="utf-8"), Read(file)
    assert "#pointing" in [each["href"] for each in read.all("a")]
    assert f"Bags: {EVIL} 10, 007 11." in " ".join(said for _, said in read.texts)
    part = text[text.index('<section id="pointing"') :]
    rows = re.findall("<tr>(.*?)</tr>", part[: part.index("</section>")], re.DOTALL)[1:]
    cells = [" ".join(re.sub("<.*?>", " ", row).split()) for row in rows]
    names = ["Naive AN", "LL-R", "Full label upper bound", "Chance"]
    assert [re.sub(r" [\d.].*", "", cell) for cell in cells] == names
    shares = [0.52, 0.62, 0.72] if n_seeds == 1 else [0.53, 0.63, 0.73]
    for share, cell in zip([*shares, 0.45], cells, strict=True):
        assert f" {100 * share:.1f}% " in cell
        assert ("±" in cell) == (n_seeds == 2 and "Chance" not in cell)
    assert cells[-1].endswith(".350")


def test_the_page_of_methods_shows_event_detection_where_it_was_measured(tmp_path):
    toy = partly_labelled.toy(3, upper_bound="full_label")
    assert 'id="events"' not in make_page_of_methods(tmp_path / "not", *toy).read_text()
    events = partly_labelled.detected(toy[2]["strategies"])
    file = make_page_of_methods(tmp_path / "measured", *toy, events=events)
    text, read = file.read_text(encoding="utf-8"), Read(file)
    assert "#events" in [each["href"] for each in read.all("a")]
    part = text[text.index('<section id="events"') :]
    rows = re.findall("<tr>(.*?)</tr>", part[: part.index("</section>")], re.DOTALL)[1:]
    cells = [" ".join(re.sub("<.*?>", " ", row).split()) for row in rows]
    # Seeds differ by .02: t = 12.7 for one degree of freedom.
    assert cells == [
        "Naive AN .510 ± .127 .200 ± .000 .300 ± .000 .250 ± .000 .350 ± .000",
        "LL-R .610 ± .127 .300 ± .000 .400 ± .000 .350 ± .000 .450 ± .000",
        "Full label upper bound .710 ± .127 .400 ± .000 .500 ± .000 .450 ± .000 .550 ± .000",
        f"The same everywhere .159 {DASH} {DASH} {DASH} {DASH}",
    ]


def test_the_page_of_a_single_method_has_no_comparison(tmp_path):
    toy = partly_labelled.toy(3, ways={"bce": ("BCE", "all")})
    text = make_page_of_methods(tmp_path, *toy).read_text(encoding="utf-8")
    assert "Nothing to compare" in text
    assert "Memorised" not in text


def test_a_page_is_written_without_libraries_that_take_long_to_import():
    """Every page and every `redraw` would wait for them."""
    code = (
        "import sys, weakneg.report.page.write, weakneg.report.redraw\n"
        "assert not {'torch', 'sklearn', 'scipy.stats'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
