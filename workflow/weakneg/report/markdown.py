"""Markdown."""

import re
from collections.abc import Sequence


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    table = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], f"|{rule}|", *lines[1:], ""])


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no markup, HTML, entity or link.

    A bar becomes an entity, since tables end a cell at it even behind a backslash that is escaped.
    """
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+!~&:@$.])", r"\\\1", " ".join(printable.split()))
    return escaped.replace("|", "&#124;")


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |"
        for row in (header, rule, *rows)
    )
