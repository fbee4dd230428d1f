"""The index of all studies: what each answers, and two of them against each other."""

import json
import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from weakneg.analysis.metrics import METRICS
from weakneg.errors import UserError
from weakneg.io.files import replace_when_whole
from weakneg.report.page import charts
from weakneg.report.page.render import render
from weakneg.stages import command

_PART = re.compile(r'<script type="application/json" id="(\w+)">(.*?)</script>')


@command
def index(results: Path = Path("results")) -> None:
    """Write index.html, with every study that has a page and what it answers.

    Parameters
    ----------
    results : Path
        Folder with a folder for each study, in which report.html is its page.

    Raises
    ------
    UserError
        When no study has a page, or a page is damaged.
    """
    pages = {path.parent.name: _parts(path) for path in sorted(results.glob("*/report.html"))}
    if not pages:
        raise UserError(f"{results} has no page of a study: finish one first.")
    cells = [
        {key: row[key] for key in ("class", "strategy", "metric", "mean")} | {"study": folder}
        for folder, parts in pages.items()
        for row in parts["data"].get("cells", [])
    ]
    pairs = _with_common_results(cells)
    compared = sorted({folder for pair in pairs for folder in pair})
    looks: dict[str, tuple[str, str]] = {}
    for folder in compared:
        for name, look in pages[folder]["summary"]["looks"].items():
            looks.setdefault(name, look)
    first, second = pairs[0] if pairs else ("", "")
    text = render(
        "index.html",
        studies={folder: parts["summary"] for folder, parts in pages.items()},
        compared={folder: f"{pages[folder]['summary']['title']} ({folder})" for folder in compared},
        first=first,
        second=second,
        metrics=METRICS,
        looks=looks,
        summary={"name": ""},
        specifications={"against": charts.against(looks, first, second)} if pairs else {},
        data={"cells": [row for row in cells if row["study"] in compared]} if pairs else {},
    )
    with replace_when_whole(results / "index.html") as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    print(results / "index.html")


def _with_common_results(cells: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The pairs of studies that have a class and a strategy in common."""
    found: dict[str, set[tuple[str, str]]] = {}
    for row in cells:
        found.setdefault(row["study"], set()).add((row["class"], row["strategy"]))
    return [pair for pair in combinations(found, 2) if found[pair[0]] & found[pair[1]]]


def _parts(page: Path) -> dict[str, Any]:
    """The data in a page by name."""
    found = dict(_PART.findall(page.read_text(encoding="utf-8")))
    try:
        return {name: json.loads(found[name]) for name in ("summary", "data")}
    except (KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{page} is not the page of a study: delete it and run again.") from error
