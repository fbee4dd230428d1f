"""The list of recordings: what is wrong with it is one sentence with the line."""

import json

import pytest
from recording_lists import write_list

from weakneg.audio.recordings import Recording, read_recordings, write_recordings
from weakneg.errors import UserError


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a"}, "line 3: the id 'a' occurs twice"),
        ({"id": ""}, "line 3: the id is empty"),
        ({"id": "b", "start": "soon"}, "line 3: start must be seconds.*'soon'"),
        ({"id": "b", "start": "nan"}, "line 3: start must be seconds"),
        ({"id": "b", "start": "-1"}, "line 3: start must be seconds"),
        ({"id": "b", "end": "inf"}, "line 3: end must be seconds"),
        ({"id": "b", "start": "5", "end": "5"}, "line 3: the end, 5 s, is not after the start"),
    ],
)
def test_a_wrong_list_is_one_sentence_with_the_line(tmp_path, row, message):
    path = write_list(tmp_path / "list.csv", [{"id": "a"}, row])
    with pytest.raises(UserError, match=message):
        read_recordings(path)


def test_a_list_without_a_column_is_an_error(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,split\na,train\n")
    with pytest.raises(UserError, match="no column file"):
        read_recordings(path)


def test_a_list_may_have_a_byte_order_mark_and_very_long_events(tmp_path):
    events = tuple(("dog", float(n), n + 1.0) for n in range(20_000))
    row = {"id": "day", "labels": "a, b;c", "events": json.dumps(events)}
    path = write_list(tmp_path / "list.csv", [row])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_recordings(path) == [
        Recording("day", "train", "", None, None, ("a, b", "c"), events)
    ]


def test_a_list_comes_back_as_it_was_written(tmp_path):
    events = (("Bark, loud", 0.1, 1 / 3), ("Hum", 0.0, 2.0))
    recordings = [
        Recording("a", "train", "a b.wav", 1.5, None, ("Bark, loud", "Hum"), events, "night"),
        Recording("ü", "test", "", None, 2.25, ()),
    ]
    write_recordings(tmp_path / "list.csv", recordings)
    assert read_recordings(tmp_path / "list.csv", ["Bark, loud", "Hum"]) == recordings


def test_rows_of_data_sets_may_lack_what_they_do_not_know():
    row = {"id": "a", "split": "train", "file": "", "labels": ["Hum"]}
    assert Recording.of(row) == Recording("a", "train", "", None, None, ("Hum",), (), "")
    row |= {"start": 1.0, "end": 2.0, "events": [["Hum", 1, 2]], "group": "night"}
    events = (("Hum", 1.0, 2.0),)
    assert Recording.of(row) == Recording("a", "train", "", 1.0, 2.0, ("Hum",), events, "night")


@pytest.mark.parametrize("events", ["[1]", '[["Hum", 1]]', '[["Hum", "x", 2]]', "[", "1"])
def test_events_that_are_none_are_named_with_their_line(tmp_path, events):
    path = write_list(tmp_path / "list.csv", [{"id": "a", "events": events}])
    with pytest.raises(UserError, match="line 2: events cannot be read"):
        read_recordings(path)


def test_labels_that_are_no_classes_are_named_with_their_line(tmp_path):
    rows = [{"id": "a", "labels": "Hum"}, {"id": "b", "events": '[["Bark", 1, 2]]'}]
    path = write_list(tmp_path / "list.csv", rows)
    assert len(read_recordings(path)) == 2
    with pytest.raises(UserError, match="line 3: 'Bark' is not one of the classes"):
        read_recordings(path, ["Hum"])
