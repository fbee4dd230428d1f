"""The site: `make site` builds it into site/, which needs no network and no server.

The sources are the repository's own Markdown pages, where they are, so that their links work in a
clone, in a viewer of the repository and in the site alike.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs/site"), str(ROOT / "workflow")]

from strategy_pages import write_pages  # noqa: E402

project = "weakneg"
author = "The weakneg authors"
root_doc = "docs/index"
include_patterns = [
    *("docs/**", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tests/benchmarks/README.md"),
    *("results/published/*/README.md", "results/published/*/tables/*.md"),
]
exclude_patterns = ["docs/site"]
# Without these, the search for pages walks through everything that lies about in a clone.
exclude_patterns += [".*", "site", "resources", "results/[!p]*", "workflow", "redrawn"]
extensions = ["myst_nb"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # tests/docs/test_notebooks.py runs the notebooks
# Tables of results have headings of their own, and notebooks say which version of Python they ran.
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
highlight_language = "text"
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"

html_theme = "furo"
html_title = "weakneg"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_additional_pages = {"index": "start.html"}
templates_path = ["."]
html_copy_source = False
html_show_sphinx = html_show_copyright = False

# The menu: heading -> pages of docs/.
MENU = {
    "Start": ["method", "quick-start", "paper"],
    "Experiments": ["studies", "strategies", "losses", "configuration"],
    "Your own data": [
        *("own-recordings", "own-features", "missing-labels", "tutorial-listening"),
        *("partial-labels", "use-a-model"),
    ],
    "Run": ["results", "edits", "cluster", "psla"],
    "Go further": [
        *("extending", "own-question", "../tests/benchmarks/README", "../CONTRIBUTING"),
        *("../CHANGELOG", "cite"),
    ],
}


def _menu(pages: Iterable[str], option: str = "") -> str:
    """What puts pages into the menu, below the page that this is appended to."""
    return "\n".join(["\n```{toctree}", ":hidden:", option, "", *pages, "```\n"])


def _linked(app: Sphinx, page: str, source: list[str]) -> None:
    """Add what only the site has: the menu, and links from strategies to their pages."""
    if page == root_doc:
        source[0] += "".join(_menu(MENU[name], f":caption: {name}") for name in MENU)
    if page == "docs/paper":
        source[0] += _menu(["../results/published/*/README"], ":glob:")
    if page == "docs/strategies":
        source[0] = re.sub(
            r"`(\w+)`",
            lambda found: (
                f"[{found[0]}](strategies/{found[1]}.md)"
                if found[1] in app.config.strategies
                else found[0]
            ),
            source[0],
        )
        source[0] += _menu(f"strategies/{name}" for name in app.config.strategies)
    if page == "README" or "/tables/" in page:  # pages that are read, but not in the menu
        source[0] = f"---\norphan: true\n---\n\n{source[0]}"


def setup(app: Sphinx) -> None:
    """Write the generated pages, and connect what changes pages."""
    names = write_pages(ROOT / "docs/strategies.md", ROOT / "docs/strategies")
    app.add_config_value("strategies", names, "env")
    app.connect("source-read", _linked)
