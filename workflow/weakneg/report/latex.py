"""The tables of a text in LaTeX, for papers."""

import re
from pathlib import Path

from weakneg.io.files import replace_when_whole

_HEAD = (
    "% Needs \\usepackage{booktabs,graphicx}; names in other scripts need XeLaTeX or LuaLaTeX."
    "\n% Tables that are wider than the line are shrunk: for a page on its side, replace table by"
    "\n% sidewaystable, of \\usepackage{rotating}."
)
_MOST_ROWS = 50  # on a page
_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
    **{"\N{MINUS SIGN}": "$-$", "±": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$"},
    **{"\N{EN DASH}": "--", "\N{EM DASH}": "---", "…": r"\dots{}"},
}
_INLINE = re.compile(r"\\([!-/:-@\[-`{-~])|(&#124;)|\*\*((?:\\.|[^*\\])+)\*\*|(.)", re.DOTALL)


def write_text(path: Path, text: str) -> None:
    """Write a text, and its tables in LaTeX beside it.

    Parameters
    ----------
    path : Path
        The Markdown file; the other has the suffix .tex.
    text : str
        Markdown, with tables made by `weakneg.report.markdown.markdown_table`.
    """
    for file, content in {path: text, path.with_suffix(".tex"): latex(text)}.items():
        with replace_when_whole(file) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")


def latex(text: str) -> str:
    """The tables of a text in LaTeX (booktabs).

    Parameters
    ----------
    text : str
        As in `write_text`.

    Returns
    -------
    str
        A `table` for each caption, which is what precedes a table in the text; tables that follow
        without text between them share one, as long as they fit on a page. What follows the last
        table stands below it.
    """
    floats: list[tuple[list[str], list[str]]] = []  # captions and tables
    words: list[str] = []
    for block in text.strip().split("\n\n"):
        if not block.startswith("|"):
            words.append(inline(f"{block.lstrip('# ')}." if block.startswith("#") else block))
        elif words or not floats:
            floats.append((words, [_tabular(block)]))
            words = []
        else:
            captions, tables = floats[-1]
            if sum(each.count("\n") for each in tables) + block.count("\n") > _MOST_ROWS:
                floats.append(([*captions[:1], "Continued."], [_tabular(block)]))
            else:
                tables.append(_tabular(block))
    if not floats:
        return "\n".join([_HEAD, *(f"% {line}" for each in words for line in each.splitlines())])
    parts = [_HEAD]
    for i, (captions, tables) in enumerate(floats):
        below = words if i == len(floats) - 1 else []
        parts.append(
            "\n".join(
                [
                    "\\begin{table}[htbp]\n\\centering\\small",
                    *([f"\\caption{{{' '.join(captions)}}}\\smallskip"] if captions else []),
                    "\n\\par\\medskip\n".join(tables),
                    *(f"\\par\\smallskip {each}" for each in below),
                    "\\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _tabular(block: str) -> str:
    header, rule, *rows = (line.strip("|").split("|") for line in block.splitlines())
    columns = "".join("r" if each.endswith(":") else "l" for each in rule)
    lines = [
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{_row(header)}\n\\midrule",
        *map(_row, rows),
        "\\bottomrule\n\\end{tabular}}",
    ]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    # A bracket after the end of the row above would be its option.
    texts = [inline(cell.strip()) for cell in cells]
    guard = "{}" if texts[0].startswith(("[", "*")) else ""
    return f"{guard}{' & '.join(texts)} \\\\"


def inline(text: str) -> str:
    """A text with the markup of `weakneg.report.markdown` in LaTeX.

    Parameters
    ----------
    text : str
        Markdown: escaped signs and bold parts; all else stands for itself.

    Returns
    -------
    str
        LaTeX in which no sign has a special meaning.
    """

    def written(match: re.Match[str]) -> str:
        escaped, bar, bold, plain = match.groups()
        if bold:
            return f"\\textbf{{{inline(bold)}}}"
        sign = "|" if bar else escaped or plain
        return _SPECIAL.get(sign, sign)

    return _INLINE.sub(written, text)
