"""The report that Snakemake itself makes of finished studies: `snakemake --report`."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")
# Where nothing answers.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def report(finished, tmp_path_factory):
    """The open report of the embedded studies, made and opened without a network."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    file = tmp_path_factory.mktemp("report") / "report.html"
    made = finished.snakemake("--report", str(file), **NO_NETWORK)
    assert made.returncode == 0, made.stderr
    requests = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.locator("#app nav").first.wait_for()
        yield page
        browser.close()
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def found(workspace, pattern):
    """The files of a workspace that match, as Snakemake names them."""
    files = workspace.folder.glob(pattern)
    return {path.relative_to(workspace.folder).as_posix() for path in files}


def test_every_page_figure_and_run_is_listed_under_its_study_with_a_caption_that_names_it(
    report, finished
):
    categories = report.evaluate("categories")
    assert {*categories} == {"digits", "digits_hidden_small", "soundscapes"}
    captions = report.evaluate(
        "Object.fromEntries(Object.entries(results).map(([file, each]) => [file, each.caption]))"
    )
    for study, parts in categories.items():
        assert {part: {*files} for part, files in parts.items()} == {
            "Page": {f"results/{study}/report.html"},
            "Figures": found(finished, f"results/{study}/figures/*.png"),
            "Runs": found(finished, f"results/{study}/runs/*/*/run.json"),
        }
        for file in [file for files in parts.values() for file in files]:
            assert f"<em>{study}</em>" in captions[file], file


def test_runs_are_labelled_by_class_and_strategy(report, finished):
    menu = report.locator("#app nav").first
    for name in ("soundscapes", "Runs"):
        menu.get_by_text(name, exact=True).click()
    rows = [row.split() for row in menu.locator("tr").all_inner_texts()]
    runs = found(finished, "results/soundscapes/runs/*/*/run.json")
    assert rows[0] == ["CLASS", "STRATEGY"]
    assert sorted(rows[1:]) == sorted(run.split("/")[3:5] for run in runs)
