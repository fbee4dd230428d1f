"""Tables in LaTeX: whatever classes are called, they compile, and say what the Markdown says."""

import re
import shutil
import subprocess

import pytest
from synthetic import HOSTILE, metrics_of, settings_of

from weakneg.report.latex import inline, latex
from weakneg.report.markdown import escape, markdown_table
from weakneg.report.tables import write_tables

TEX = next(filter(None, map(shutil.which, ("lualatex", "xelatex", "pdflatex"))), None)
SHOWN = {  # LaTeX -> what it prints
    **{f"\\{sign}": sign for sign in "{}$&#%_"},
    **{r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"},
    **{r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", r"\dots{}": "…"},
    **{"$-$": "\N{MINUS SIGN}", r"$\pm$": "±", "--": "\N{EN DASH}"},
}


def shown(text: str) -> str:
    """What LaTeX prints; fails on signs that it would not print."""
    tokens = re.findall("|".join(map(re.escape, SHOWN)) + "|.", text, re.DOTALL)
    assert not {*tokens} & {*"{}$&#%_~^<>|\\"}
    return "".join(SHOWN.get(token, token) for token in tokens)


@pytest.mark.parametrize("name", [*HOSTILE, "50% & more_of {it} ~ #1 ^2 $x$ \\end{table}"])
def test_a_name_is_printed_as_it_is(name):
    printable = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    assert shown(inline(escape(name))) == printable


@pytest.fixture
def tables(tmp_path):
    """The tables of a study with hostile names, one with the bracket of an option."""
    classes = ["[a] & b", "50% c_d", "\\e{", "*f*"]
    values = {
        (c, s): [0.5 + i / 100, 0.6] for c in classes for i, s in enumerate(("random", "x_y"))
    }
    metrics_of(values).to_csv(tmp_path / "metrics.csv", index=False)
    settings = settings_of(classes, ["random", "x_y"], title="T & U", note="Of 5% only.")
    write_tables(tmp_path / "metrics.csv", settings, tmp_path / "tables")
    return tmp_path / "tables"


def test_each_row_has_the_cells_of_the_table_in_markdown(tables):
    for name in ("table1", "win_counts", "cost"):
        text = (tables / f"{name}.tex").read_text()
        markdown = (tables / f"{name}.md").read_text()
        found = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
        assert len(found) == len(re.findall(r"^\|-", markdown, re.MULTILINE))
        for columns, body in found:
            rows = [line for line in body.splitlines() if line.endswith(r"\\")]
            assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}
            assert not any(row.startswith("[") for row in rows)
            assert [body.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [
                1
            ] * 3
        plain = re.sub(r"\\[\\{}]", "", text)
        assert plain.count("{") == plain.count("}")
        assert (
            text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\caption{")
        )
        assert r"\par\smallskip Of 5\% only." in text
    assert r"\textbf{" in (tables / "table1.tex").read_text(), "the best stays bold"


def test_a_caption_is_what_precedes_a_table():
    table = markdown_table(["a", "b"], [["c", "1"]])
    text = latex(f"# Title\n\nWords.\n\n{table}\n\n{table}\n\n## More\n\n{table}\n\nNote.\n")
    first, second = re.split(r"\\end\{table\}\n", text)[:2]
    assert r"\caption{Title. Words.}" in first
    assert first.count(r"\begin{tabular}{lr}") == 2
    assert r"\caption{More.}" in second
    assert r"\par\smallskip Note." in second
    assert latex("Nothing to count.\n").splitlines()[-1] == "% Nothing to count."


def test_tables_that_do_not_fit_on_a_page_have_several():
    table = markdown_table(["a", "b"], [["c", "1"]] * 20)
    text = latex("# Title\n\nWords.\n\n" + "\n\n".join([table] * 5) + "\n\nNote.\n")
    floats = text.split(r"\end{table}")[:-1]
    assert [each.count(r"\begin{tabular}") for each in floats] == [2, 2, 1]
    assert [re.findall(r"\\caption{(.*)}", each) for each in floats] == [
        ["Title. Words."],
        ["Title. Continued."],
        ["Title. Continued."],
    ]
    assert ["Note." in each for each in floats] == [False, False, True]


@pytest.mark.skipif(TEX is None, reason="needs LaTeX")
def test_they_compile_and_fit_on_the_page(tables):
    wide = markdown_table([f"Strategy {n}" for n in range(20)], [["*.123* ± .456"] * 20] * 60)
    (tables / "wide.tex").write_text(latex(f"# Wide\n\n{wide}\n\n{wide}"))
    names = sorted(path.stem for path in tables.glob("*.tex"))
    inputs = "\n".join(rf"\input{{{name}}}" for name in names)
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tables / "paper.tex").write_text(rf"{head}{inputs}\end{{document}}")
    result = subprocess.run(
        [TEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tables,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert (tables / "paper.pdf").exists()
    assert "Overfull" not in result.stdout
    assert "Float too large" not in result.stdout
