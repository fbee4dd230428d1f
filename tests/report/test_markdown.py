"""Markdown: text that has no markup, and tables that line up."""

import re

import pytest
from synthetic import HOSTILE

from weakneg.report.markdown import TEXT, escape, markdown_table


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_no_markup(text):
    escaped = escape(text)
    # Every sign that Markdown may take for markup has a backslash of its own before it.
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", escaped.replace("&#124;", ""))
    assert not set(bare) & set("\\`*_{}[]()<>#+!~&:@$|.")
    assert escaped.isprintable()
    assert "|" not in escaped
    shown = re.sub(r"\\(.)", r"\1", escaped.replace("&#124;", "|"))
    assert shown == " ".join("".join(c if c.isprintable() else " " for c in text).split())


def test_columns_line_up_as_plain_text():
    assert markdown_table(["Strategy", "AP", "n"], [["Random", ".5", "1,234"], ["A", "", "7"]]) == (
        "| Strategy | AP |     n |\n"
        "|----------|---:|------:|\n"
        "| Random   | .5 | 1,234 |\n"
        "| A        |    |     7 |"
    )
    assert markdown_table(["", "b"], [["long", "c"]], TEXT, TEXT) == (
        "|      | b |\n| ---- | - |\n| long | c |"
    )


def test_a_column_under_more_dashes_is_as_wide_as_each_cell():
    text = markdown_table(
        ["a", "number", "b"], [["x", "1", "a long message"]], "---", "---:", "---"
    )
    assert text == "| a | number | b |\n|---|---:|---|\n| x | 1 | a long message |"


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        markdown_table(["a", "b"], [["x"]])
