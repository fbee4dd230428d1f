"""How long the page of a study takes to open in headless Chromium.

    python tests/benchmarks/page_opening.py [--rounds 5] [PAGE ...]

By default the page of a small study (2 classes x 3 strategies x 2 seeds) and that of a large one
(40 x 20 x 3), both of invented results. They are opened in turns, each in a new window. Times are
those of the browser's own clock, from the start of the navigation: until something is painted,
until the page is loaded, and until all charts are drawn. Prints the median of each, and its ratio
to that of the first page.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "tests/support")]

from pages import make_large_page, make_page  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

TIMES = """() => new Promise((resolve) => {
  const drawn = () => {
    const charts = [...document.querySelectorAll("[data-chart]")];
    if (!charts.every((chart) => chart.querySelector("svg"))) return setTimeout(drawn, 5);
    const [navigation] = performance.getEntriesByType("navigation");
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    resolve([paint.startTime, navigation.loadEventEnd, performance.now()]);
  };
  drawn();
})"""


def opened(browser: Browser, page: Path) -> list[float]:
    """Milliseconds until the first paint, the load event and the last chart."""
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    window.goto(page.as_uri())
    times = window.evaluate(TIMES)
    window.close()
    return times


def main(pages: list[Path], rounds: int) -> None:
    times: dict[Path, list[list[float]]] = {page: [] for page in pages}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened(browser, pages[0])  # the browser itself has started
        for _ in range(rounds):
            for page in pages:
                times[page].append(opened(browser, page))
        browser.close()
    medians = {page: [*map(statistics.median, zip(*times[page], strict=True))] for page in pages}
    print(f"{'page':40} {'MB':>5} {'painted':>15} {'loaded':>15} {'charts drawn':>15}")
    for page, found in medians.items():
        cells = (
            f"{ms:6,.0f} ms ({ms / first:.1f})"
            for ms, first in zip(found, medians[pages[0]], strict=True)
        )
        size = page.stat().st_size / 1e6
        print(f"{page.parent.name:40} {size:5.1f} {' '.join(f'{cell:>15}' for cell in cells)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", metavar="PAGE", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        made = given.pages or [
            make_page(Path(temporary, "small"), ["a", "b"], ["full", "random", "badge"]),
            make_large_page(Path(temporary, "large")),
        ]
        main([page.resolve() for page in made], given.rounds)
