"""Tables and text in Markdown.

The library tabulate would make each column two characters wider than its header, and widths would
depend on whether wcwidth is installed.
"""

import re
from collections.abc import Iterable, Sequence

NAME, NUMBER, TEXT = "-", "-:", " - "


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *rules: str) -> str:
    """A Markdown table, without a newline at the end.

    Parameters
    ----------
    header : sequence of str
        Titles of the columns.
    rows : iterable of sequences of str
        The cells of each row, one per title.
    *rules : str
        The line between title and cells of each column: dashes, and a colon at the end if the cells
        are aligned to the right. A single dash is repeated, and the cells are padded, so that the
        columns also line up as plain text. By default the first column is `NAME` and the others
        `NUMBER`.

    Returns
    -------
    str
        The lines of the table.
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
    """Escape a text so that Markdown shows it as it is, on one line, without markup or links.

    A bar becomes an entity, since it ends a cell of a table even after an escaped backslash.
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+!~&:@$.])", r"\\\1", " ".join(printable.split()))
    return escaped.replace("|", "&#124;")
