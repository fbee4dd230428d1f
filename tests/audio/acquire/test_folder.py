"""Sound in a folder: the file that the list names, or the one called like the id."""

from pathlib import Path

import pytest
from recording_lists import statuses
from servers import wav

from weakneg.errors import UserError


def test_files_are_those_that_the_list_names(in_folder):
    (in_folder.data / "sub dir").mkdir()
    (in_folder.data / "sub dir" / "-ü.WAV").write_bytes(wav())
    rows = in_folder(
        [
            {"id": "a", "file": "sub dir/-ü.WAV", "start": "1.5", "end": "12345.678"},
            {"id": "b", "file": "sub dir/none.wav"},
            {"id": "c", "file": "sub dir"},
            {"id": "d", "file": "long" * 100},
            {"id": "e", "file": "a\0.wav"},
        ]
    )
    assert statuses(rows) == {"a": "ok"} | dict.fromkeys("bcde", "missing")
    assert Path(rows[0]["path"]) == in_folder.data / "sub dir" / "-ü.WAV"
    assert (rows[0]["start"], rows[0]["end"]) == ("1.5", "12345.678")
    assert all(row["path"] == "" for row in rows[1:])
    assert "none.wav" in rows[1]["message"]


@pytest.mark.parametrize(
    "file", ["../secret.wav", "a/../../secret.wav", "/etc/passwd", "{data}/a.wav"]
)
def test_files_outside_the_folder_are_refused(in_folder, file):
    (in_folder.data.parent / "secret.wav").write_bytes(wav())
    (in_folder.data / "a").mkdir()
    (in_folder.data / "a.wav").write_bytes(wav())
    file = file.replace("{data}", str(in_folder.data))
    (row,) = in_folder([{"id": "x", "file": file}])
    assert (row["status"], row["path"]) == ("error", "")
    assert row["message"]


def test_without_a_name_the_file_is_the_one_called_like_the_id_and_all_of_it_is_used(in_folder):
    (in_folder.data / "inside").mkdir()
    for name in (
        *("-abc.flac", "inside/Yabc.wav", "twice.wav", "inside/twice.flac"),
        *("notes.txt", "dot.ted.mp3"),
    ):
        (in_folder.data / name).write_bytes(wav())
    ids = ["-abc", "twice", "notes", "dot.ted", "abc", "../data/-abc"]
    wanted = [{"id": name, "start": "30", "end": "40"} for name in ids]
    rows = in_folder(wanted)
    assert statuses(rows) == {
        **{"-abc": "ok", "twice": "error", "notes": "missing"},
        **{"dot.ted": "ok", "abc": "missing", "../data/-abc": "missing"},
    }
    assert rows[0]["path"].endswith("/data/-abc.flac")
    assert (rows[0]["start"], rows[0]["end"]) == ("", "")
    assert "inside/twice.flac, twice.wav" in rows[1]["message"]
    assert statuses(in_folder(wanted, name="Y{id}"))["abc"] == "ok"


def test_hidden_folders_hold_no_recordings(in_folder):
    """The snapshots of a file server have all files again."""
    for name in (".snapshot/daily.0/a.wav", ".snapshot/daily.0/gone.wav", "a.wav"):
        (in_folder.data / name).parent.mkdir(parents=True, exist_ok=True)
        (in_folder.data / name).write_bytes(wav())
    rows = in_folder([{"id": "a"}, {"id": "gone"}])
    assert statuses(rows) == {"a": "ok", "gone": "missing"}
    assert Path(rows[0]["path"]) == in_folder.data / "a.wav"


def test_a_folder_that_is_not_there_is_an_error(in_folder):
    in_folder.data.rmdir()
    with pytest.raises(UserError, match=f"there is no folder {in_folder.data} here"):
        in_folder([{"id": "a"}])
