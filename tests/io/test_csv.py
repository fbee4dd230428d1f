"""CSV tables: what is written comes back; what cannot be read is one sentence with the line."""

import csv
import errno
import os

import pandas as pd
import pytest

from weakneg.errors import UserError
from weakneg.io.csv import (
    format_table,
    read_lines,
    read_table,
    table_writer,
    write_frame,
    write_table,
)

HEADER = ("name", "text")
ROWS = [("a", 'Bark, "loud"'), ("ü ねこ", "two\nlines"), ("", "")]


def test_what_is_written_comes_back(tmp_path):
    write_table(tmp_path / "new" / "a.csv", HEADER, ROWS)
    rows = [tuple(row.values()) for _, row in read_table(tmp_path / "new" / "a.csv", HEADER)]
    assert rows == ROWS


def test_a_table_is_written_with_these_bytes(tmp_path):
    rows = [("ü", 1, 0.1, None), ("a,b", 2, 1e-9, "")]
    write_table(tmp_path / "a.csv", ("a", "b", "c", "d"), rows)
    expected = 'a,b,c,d\nü,1,0.1,\n"a,b",2,1e-09,\n'
    assert (tmp_path / "a.csv").read_bytes() == expected.encode()
    assert format_table(("a", "b", "c", "d"), rows) == expected
    assert format_table(("a",), [(1,), (2,)], "\t") == "a\n1\n2\n"
    assert format_table(("a", "b"), [("x\ty", "")], "\t") == 'a\tb\n"x\ty"\t\n'


def test_a_table_of_pandas_is_written_like_the_others(tmp_path):
    frame = pd.DataFrame({"name": ["ü", "a,b"], "value": [0.25, 1 / 3]}, index=[7, 8])
    write_frame(tmp_path / "a.csv", frame)
    write_table(tmp_path / "b.csv", tuple(frame), frame.itertuples(index=False))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    write_frame(tmp_path / "a.csv", frame, "%.3f")
    assert (tmp_path / "a.csv").read_text() == 'name,value\nü,0.250\n"a,b",0.333\n'


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "a.csv").write_text("before")
    rows = (1 / number for number in (1, 0))
    with pytest.raises(ZeroDivisionError):
        write_table(tmp_path / "a.csv", ("a",), ([row] for row in rows))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_name_that_is_not_text_is_written_on_demand(tmp_path):
    with table_writer(tmp_path / "a.csv", HEADER, errors="backslashreplace") as writer:
        writer.writerow(("\udcff", ""))
    assert (tmp_path / "a.csv").read_text() == "name,text\n\\udcff,\n"


def test_tables_of_spreadsheets_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfname,other,text\r\n\r\na,x,1\r\n\r\nb,y,2\r\n")
    assert list(read_table(path, HEADER)) == [
        (f"{path}, line 3", {"name": "a", "other": "x", "text": "1"}),
        (f"{path}, line 5", {"name": "b", "other": "y", "text": "2"}),
    ]


def test_a_row_is_where_it_begins(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('name,text\na,"1\n2\n3"\nb,4\n')
    assert list(read_lines(path)) == [(1, list(HEADER)), (2, ["a", "1\n2\n3"]), (5, ["b", "4"])]


def test_values_may_be_very_long(tmp_path):
    write_table(tmp_path / "a.csv", HEADER, [("a", "x" * 1_000_000)])
    ((_, row),) = read_table(tmp_path / "a.csv", HEADER)
    assert len(row["text"]) == 1_000_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"a\.csv has no column name, it needs name, text: do this\."),
        (b"text\n1\n", r"a\.csv has no column name, it needs name, text: do this\."),
        (b"name,text\na,1\nb\n", r"a\.csv, line 3 has 1 values, the header has 2: do this\."),
        (b"name,text\na,1,2\n", r"a\.csv, line 2 has 3 values, the header has 2: do this\."),
        (b'name,text\na,"1\n', r"a\.csv cannot be read \(line 2: unexpected end.*\): do this\."),
        (b'name,text\na,"1"2\n', r"a\.csv cannot be read \(line 2: .*expected.*\): do this\."),
        (b"name,text\n\xff,1\n", r"a\.csv cannot be read \(.*utf-8.*\): do this\."),
        (None, r"a\.csv cannot be read \(No such file or directory\): do this\."),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        list(read_table(tmp_path / "a.csv", HEADER, "do this"))
    assert "\n" not in str(error.value)


def test_lines_give_errors_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(read_lines(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text('a\n"b')
    with pytest.raises(csv.Error, match="line 2: "):
        list(read_lines(tmp_path / "a.csv"))


def test_a_table_that_may_not_be_read_is_not_to_be_deleted(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("name\nx\n")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match=r"a\.csv cannot be read \(Permission denied") as error:
        list(read_table(path, ["name"]))
    assert "delete" not in str(error.value)


def refuse(*args, **options):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
