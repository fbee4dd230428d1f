"""The page in a browser: headless Chromium, as `apt-get install chromium` provides it."""

import base64
import json
import shutil

import numpy as np
import pandas as pd
import partly_labelled
import pytest
from pages import make_page, make_page_of_methods

from weakneg.audio.clips import Clip
from weakneg.audio.decode import Sound
from weakneg.datasets.corrections import read_corrections
from weakneg.datasets.listened import HeardClip, read_heard
from weakneg.report.page.index import index
from weakneg.report.sounds import as_mp3, as_png

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

STRATEGIES = ["full", "random", "badge", "margin", "entropy"]
CLASSES = ["</script><img src=x>", "quote \" and '", *"cdefghijklmn"]


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The folder with the pages of all studies of these tests."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture(scope="module")
def file(studies):
    return make_page(studies / "strategies", CLASSES, STRATEGIES)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, file):
    """The open page; nothing is written to its console, and no request leaves the file."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(file.as_uri())
    drawn(page)
    yield page
    page.close()
    assert [each for each in said if each != file.as_uri() and not each.startswith("data:")] == []


def drawn(page):
    """Wait until all charts are drawn."""
    undrawn = page.locator("[data-chart]:not(:has(svg))")
    sync_api.expect(undrawn).to_have_count(0, timeout=60_000)


def column(page, name, header):
    """The texts of a column of a table, as they are shown."""
    table = page.locator(f"#{name} table:visible").first
    titles = table.locator("thead th").all_inner_texts()
    index = [title.strip() for title in titles].index(header) + 1
    cells = table.locator(f"tbody tr:visible > :nth-child({index})")
    return [text.split()[0] for text in cells.all_inner_texts() if text.strip()]


def test_tables_are_sorted_by_a_click_on_a_header_and_by_the_keyboard(page):
    header = page.locator("#cost thead button", has_text="AP")
    header.click()
    assert column(page, "cost", "AP") == sorted(column(page, "cost", "AP"), reverse=True)
    assert page.locator("#cost th[aria-sort=descending]").count() == 1
    header.press("Enter")
    assert column(page, "cost", "AP") == sorted(column(page, "cost", "AP"))


def test_a_filter_keeps_the_rows_that_have_all_words(page):
    page.locator("#table1 input:visible").fill("img src")
    assert page.locator("#table1 tbody tr:visible").count() == 1


def test_the_choice_of_a_class_reaches_charts_and_what_is_downloaded(page):
    points = page.locator("[data-chart=seeds] svg path[aria-label]")
    assert points.count() > 0
    for name in CLASSES[:2]:
        page.select_option("#choose-chosen_class", label=name)
        page.wait_for_timeout(300)
        labels = [points.nth(n).get_attribute("aria-label") for n in range(points.count())]
        assert any(f"Class: {name}" in label for label in labels)
        with page.expect_download() as download:
            page.locator("figure:has([data-chart=seeds]) button").click()
        table = pd.read_csv(download.value.path())
        assert table["class"].unique().tolist() == [name]
        assert len(table) == 4 * 2  # distinct strategies x seeds


def test_the_metric_is_that_of_all_charts_and_tables(page):
    before = page.locator("[data-chart=wins] svg").inner_html()
    page.select_option("#choose-metric", "roc_auc")
    page.wait_for_timeout(300)
    assert page.locator("#table1 caption:visible").all_inner_texts() == ["ROC-AUC"]
    assert page.locator("[data-chart=wins] svg").inner_html() != before


def test_a_table_is_downloaded_with_all_digits(page):
    with page.expect_download() as download:
        page.locator("#cost button[data-csv]").click()
    table = pd.read_csv(download.value.path())
    assert download.value.suggested_filename == "cost.csv"
    assert len(str(table["AP"].iloc[0])) > 8


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_table_or_chart_is_cut_on_paper(page):
    page.emulate_media(media="print")
    # A4 without its margins; charts keep the size that they had on the screen.
    page.evaluate("document.documentElement.style.width = '688px'")
    page.evaluate(  # a long table
        "for (const row of document.querySelectorAll('#table1 tbody tr'))"
        " for (let n = 0; n < 5; n++) row.after(row.cloneNode(true))"
    )
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll, [data-chart], figure')]"
        ".filter((each) => each.scrollHeight > each.clientHeight + 1 &&"
        " getComputedStyle(each).overflowY !== 'visible').length"
    )
    assert cut == 0
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('table, svg, img')]"
        ".map((each) => each.getBoundingClientRect().right))"
    )
    assert right <= 690


def make_page_of_clips(folder, classes):
    """Write the page of a study of clips, some of whose sound is in it."""
    folder.mkdir()
    rows = [
        {
            "class": name,
            "rank": rank,
            "split": "test",
            "id": f"{clip}.wav",
            "start": 2.5,
            "link": "",
        }
        | {
            "probability": 0.5,
            "in_top": 1.0,
            "other_labels": "",
            "related_labels": "",
            "heard": None,
        }
        for name in classes
        for rank, clip in enumerate(["<a>", "b, c", "d"], start=1)
    ]
    clip = Clip(
        0.0, 1.0, Sound(np.sin(np.arange(16000) / 5).astype("f4"), 0, 1, 0), np.eye(64, 100)
    )
    sounds = {"<a>.wav": {"sound": as_mp3(clip, 16000), "picture": as_png(clip)}}
    sounds = {n: {k: base64.b64encode(v).decode() for k, v in s.items()} for n, s in sounds.items()}
    (folder / "sounds.json").write_text(json.dumps(sounds))
    chosen = [
        {key: row[key] for key in ("class", "rank", "id", "start", "link", "other_labels")}
        | {"strategy": strategy, "bag": row["rank"], "times": 9, "selections": 10}
        for row in rows
        for strategy in ("random", "badge")
    ]
    tables = {"suspects": pd.DataFrame(rows), "most_selected": pd.DataFrame(chosen)}
    return make_page(
        folder, classes, ["random", "badge"], tables=tables, sounds=folder / "sounds.json"
    )


@pytest.fixture(scope="module")
def of_clips(studies):
    return make_page_of_clips(studies / "clips", CLASSES[:2])


@pytest.fixture
def clips(browser, of_clips):
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(of_clips.as_uri())
    drawn(page)
    yield page
    page.close()


def test_a_clip_is_played_with_its_spectrogram(clips):
    assert clips.locator("#suspects [data-play]:visible").count() == 1
    clips.locator("#suspects [data-play]:visible").click()
    assert clips.locator("#player strong").inner_text() == "<a>.wav"
    clips.wait_for_function("document.querySelector('#player audio').duration > 0.9")
    clips.wait_for_function("document.querySelector('#player img').naturalWidth == 64")
    clips.locator("#player button").click()
    assert not clips.locator("#player").is_visible()


def test_clips_of_another_class_come_with_its_choice_sorted_as_those_before(clips, tmp_path):
    clips.locator("#suspects thead button", has_text="Rank").click()
    clips.locator("[data-mark][data-id='d.wav']:visible").select_option("no")
    clips.locator("#suspects select[data-same-as]").select_option(CLASSES[1])
    assert column(clips, "suspects", "Rank") == ["3", "2", "1"]
    mark = clips.locator("[data-mark][data-id='d.wav']:visible")
    assert mark.input_value() == ""
    mark.select_option("yes")
    with clips.expect_download() as download:
        clips.locator("[data-save-marks]").click()
    download.value.save_as(tmp_path / "heard.csv")
    assert read_heard(tmp_path / "heard.csv") == [
        HeardClip("d.wav", 2.5, frozenset([CLASSES[1]])),
    ]
    clips.locator("#suspects [data-play]:visible").click()
    assert clips.locator("#player strong").inner_text() == "<a>.wav"


def test_marks_outlive_a_reload_and_are_a_list_that_the_workflow_reads(clips, tmp_path):
    for clip, mark in {"<a>.wav": "yes", "b, c.wav": "no", "d.wav": "unsure"}.items():
        clips.locator(f"[data-mark][data-id='{clip}']:visible").select_option(mark)
    clips.reload()
    drawn(clips)
    with clips.expect_download() as download:
        clips.locator("[data-save-marks]").click()
    download.value.save_as(tmp_path / download.value.suggested_filename)
    file = tmp_path / "heard_script_img_src_x.csv"
    assert read_heard(file) == [
        HeardClip("<a>.wav", 2.5, frozenset([CLASSES[0]])),
        HeardClip("b, c.wav", 2.5, frozenset()),
    ]
    assert [(each.id, each.class_name, each.answer) for each in read_corrections(str(file))] == [
        ("<a>.wav", CLASSES[0], "yes"),
        ("b, c.wav", CLASSES[0], "no"),
        ("d.wav", CLASSES[0], "unsure"),
    ]


def test_two_studies_without_anything_in_common_are_said_to_be_so(browser, tmp_path):
    for name, classes in {"a": "de", "b": "ef", "c": "fg"}.items():
        make_page(tmp_path / name, classes, ["random", "badge"])
    index(tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    note = page.get_by_text("no class and strategy in common")
    assert not note.is_visible()
    page.select_option("#choose-study_b", "c")
    assert note.is_visible()
    page.select_option("#choose-study_a", "b")
    assert not note.is_visible()
    page.close()


SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({ value }) => value)))
  .observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="module")
def pages(studies, file, of_clips):
    """A page of every kind, with all kinds of charts."""
    names = ["full", *(f"{s}_budget_{n}" for s in ("random", "margin") for n in (1, 5))]
    of_budgets = {
        "baseline": "random_budget_1",
        "budgets": {name: float(name[-1]) if name != "full" else None for name in names},
        "display_names": {name: name.split("_")[0].title() for name in names},
    }
    budgets = make_page(studies / "budgets", "abc", names, **of_budgets)
    toy = partly_labelled.toy(3, upper_bound="full_label")
    methods = make_page_of_methods(studies / "methods", *toy)
    index(studies)
    return [file, of_clips, budgets, methods, studies / "index.html"]


def test_no_page_has_an_error(browser, pages, tmp_path):
    page = browser.new_page()
    page.set_default_timeout(60_000)
    said = []
    page.on("pageerror", lambda error: said.append((page.url, str(error))))
    of_one_class = make_page_of_clips(tmp_path / "one class", CLASSES[:1])
    for file in (*pages, of_one_class):
        page.goto(file.as_uri())
        drawn(page)
    page.close()
    assert said == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_while_a_page_loads_and_its_charts_are_drawn(browser, pages, width):
    # So high that what is below the first screen is looked at, too.
    page = browser.new_page(viewport={"width": width, "height": 6000})
    page.add_init_script(SHIFTS)
    shifts = {}
    for file in pages:
        page.goto(file.as_uri())
        drawn(page)
        page.wait_for_timeout(300)
        shifts[str(file)] = page.evaluate("shifts")
    page.close()
    # On a busy machine, the header of a table may be shown before its row is read: .00008.
    # A chart that grows by 10 pixels moves what is below it by more than .001.
    moved = {file: [value for value in values if value > 0.001] for file, values in shifts.items()}
    assert moved == {file: [] for file in shifts}


def test_one_strategy_of_the_curves_is_shown_alone(page):
    def faint():
        lines = page.locator("[data-chart=curves] svg path[opacity]")
        return lines.evaluate_all(
            "lines => lines.filter((line) => line.getAttribute('opacity') < 0.1).length"
        )

    assert faint() == 0
    page.select_option("#choose-picked", "BADGE")
    page.wait_for_timeout(300)
    assert faint() > 0


LISTS = {"suspects": 3, "chosen": 2 * 3}  # section -> clips of a class that it lists


def listed(page, name):
    """Class -> number of clips of it that can be read in a section."""
    rows = page.locator(f"#{name} tbody tr:visible").evaluate_all(
        "rows => rows.map((row) => row.closest('table').caption.innerText)"
    )
    captions = [each.rpartition(":")[0] for each in rows]
    return {caption: captions.count(caption) for caption in captions}


def test_without_javascript_clips_of_all_classes_are_listed_and_nothing_waits_for_it(
    browser, of_clips
):
    page = browser.new_page(java_script_enabled=False)
    page.goto(of_clips.as_uri())
    for name, n_clips in LISTS.items():
        assert listed(page, name) == dict.fromkeys(CLASSES[:2], n_clips)
    assert page.locator("select:visible, input:visible, [data-play]:visible").count() == 0
    page.close()


def test_paper_has_the_clips_of_all_classes_and_the_screen_those_of_the_chosen_one(clips):
    clips.select_option("#choose-chosen_class", CLASSES[1])
    on_screen = {name: {CLASSES[1]: 3} for name in LISTS}
    assert {name: listed(clips, name) for name in LISTS} == on_screen
    clips.evaluate(
        "addEventListener('beforeprint', () => document.body.dataset.printed ="
        " [...document.querySelectorAll('.scroll[data-class]:not([hidden]) tbody tr')]"
        ".filter((row) => row.checkVisibility()).length)"
    )
    clips.pdf()
    assert clips.locator("body").get_attribute("data-printed") == str(2 * sum(LISTS.values()))
    assert {name: listed(clips, name) for name in LISTS} == on_screen
