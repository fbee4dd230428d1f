"""Status tables: what is written comes back, and their digest is that of the sound they name."""

from pathlib import Path

import pytest

from weakneg.audio.outcome import OK, Outcome
from weakneg.audio.recordings import Recording
from weakneg.audio.status_table import StatusRow, digest_of_sound, read_status, write_status

ROWS = [
    StatusRow("a", "sounds/a b,ü.wav", 1.5, 12345.678, "ok", ""),
    StatusRow("ü", "", None, None, "private", 'This video is "private",\nsorry'),
]


def test_a_table_comes_back_as_it_was_written(tmp_path):
    write_status(tmp_path / "s.csv", ROWS)
    assert read_status(tmp_path / "s.csv") == ROWS


def test_a_row_says_where_the_sound_is_or_why_there_is_none():
    recording = Recording("a", "train", "a.wav", 3.0, 5.0, ())
    found = Outcome(OK, path=Path("sounds/a.wav"), start=3.0)
    assert StatusRow.of(recording, found) == ("a", "sounds/a.wav", 3.0, None, "ok", "")
    lost = Outcome("private", "This video is private")
    assert StatusRow.of(recording, lost) == (
        "a",
        "",
        None,
        None,
        "private",
        "This video is private",
    )


def test_the_digest_changes_with_the_table_and_with_the_sound(tmp_path):
    table, sound = tmp_path / "s.csv", tmp_path / "a.wav"
    digests = set()
    for content in (b"one", b"two"):
        sound.write_bytes(content)
        for message in ("", "kept"):
            write_status(table, [StatusRow("a", str(sound), None, None, "ok", message)])
            assert digest_of_sound(table) == digest_of_sound(table)
            digests.add(digest_of_sound(table))
    sound.unlink()
    digests.add(digest_of_sound(table))
    assert len(digests) == 5
    with pytest.raises(FileNotFoundError):
        digest_of_sound(tmp_path / "none.csv")
