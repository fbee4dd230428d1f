"""Markdown.

Not by the library tabulate, which makes each column two wider than its header and lets widths
depend on whether wcwidth is installed.
"""

import re
from collections.abc import Iterable, Sequence

NAME, NUMBER, TEXT = "-", "-:", " - "


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *rules: str) -> str:
    """A Markdown table, without a new line at its end.

    Parameters
    ----------
    header : list of str
        The columns' titles.
    rows : list of lists of str
        As many cells in each as there are titles.
    *rules : str
        What stands between a title and its cells: dashes, and a colon where cells are aligned to
        the right. A single dash grows, and all cells of its column with it, so that the columns
        also line up as plain text. By default the first column is `NAME` and the others `NUMBER`.
    """
    columns = []
    for rule, *cells in zip(
        rules or (NAME, *[NUMBER] * (len(header) - 1)), header, *rows, strict=True
    ):
        if rule.count("-") == 1:
            width = max(map(len, cells))
            align = str.rjust if rule.endswith(":") else str.ljust
            cells = [align(cell, width) for cell in cells]
            rule = rule.replace("-", "-" * (width + 3 - len(rule)))
        title, *below = (f" {cell} " for cell in cells)
        columns.append([title, rule, *below])
    return "\n".join(f"|{'|'.join(line)}|" for line in zip(*columns, strict=True))


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, HTML, entity or link.

    A bar becomes an entity, since tables end a cell at it even behind a backslash that is escaped.
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+!~&:@$.])", r"\\\1", " ".join(printable.split()))
    return escaped.replace("|", "&#124;")
