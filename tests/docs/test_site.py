"""The site that `make site` builds: no dead link, every page, and nothing from the network."""

import re
import shutil
import subprocess
import sys

import pytest
from workspace import ROOT

from weakneg import strategies

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make site` does: warnings, such as one of a dead link, are errors."""
    [options] = re.findall(r"sphinx-build (.*) \. site$", (ROOT / "Makefile").read_text(), re.M)
    assert "--fail-on-warning" in options
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx.cmd.build", *options.split(), ".", folder]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_in_the_menu(site):
    menu = (site / "docs/index.html").read_text(encoding="utf-8")
    pages = [page.stem for page in (ROOT / "docs").glob("*.[mi][dp]*") if page.stem != "index"]
    assert {"method", "own-question", "configuration"} <= {*pages}
    for name in [*pages, *(f"strategies/{name}" for name in strategies.names())]:
        assert f'href="{name}.html"' in menu, name


def test_pages_read_as_plain_markdown_too():
    """A viewer of the repository would show a directive of the site as its source."""
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        assert "```{" not in page.read_text(encoding="utf-8"), page.name


def test_every_published_study_is_listed_with_its_title():
    listed = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    for page in (ROOT / "results/published").glob("*/README.md"):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"- [{title}](../{page.relative_to(ROOT).as_posix()})\n" in listed


def test_the_page_of_a_strategy_has_what_its_file_says(site):
    for name in strategies.names():
        page = (site / f"docs/strategies/{name}.html").read_text(encoding="utf-8")
        assert '<svg class="toy-pool" role="img" aria-label=' in page
        assert all(f">{option}</span>" in page for option in strategies.options(name))
        assert all(f">{part}<" in page for part in ("How it chooses", "Source")), name
    badge = (site / "docs/strategies/badge.html").read_text(encoding="utf-8")
    assert "Its choice from the" in badge
    assert "20 bags" in badge


def test_no_page_loads_anything_from_elsewhere(site):
    loaded = re.compile(
        r'<(?:script|img|iframe|source)[^>]* src="(?:https?:)?//|<link[^>]* href="(?:https?:)?//'
    )
    for page in site.rglob("*.html"):
        assert loaded.search(page.read_text(encoding="utf-8")) is None, page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_page_opens_from_disk_on_a_phone(site):
    """It asks the network for nothing, reports no error, and is no wider than the screen."""
    sync_api = pytest.importorskip("playwright.sync_api")
    said = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(120_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        for name in ("index", "strategies/badge", "configuration", "own-question"):
            page.goto((site / "docs" / f"{name}.html").as_uri())
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 390, name
        browser.close()
    assert [each for each in said if not each.startswith(("file:", "data:"))] == []
