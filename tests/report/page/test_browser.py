"""The page in a browser: headless Chromium, as `apt-get install chromium` provides it."""

import shutil

import pandas as pd
import pytest
from pages import make_page

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

STRATEGIES = ["full", "random", "badge", "margin", "entropy"]
CLASSES = ["</script><img src=x>", "quote \" and '", *"cdefghijklmn"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("page"), CLASSES, STRATEGIES)


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
    charts = page.locator("[data-chart]").count()
    page.wait_for_function(f"document.querySelectorAll('[data-chart] svg').length == {charts}")
    yield page
    page.close()
    assert [each for each in said if each != file.as_uri() and not each.startswith("data:")] == []


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
    page.wait_for_function("document.querySelectorAll('[data-chart] svg').length == 6")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_table_or_chart_is_cut_on_paper(page):
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins
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
