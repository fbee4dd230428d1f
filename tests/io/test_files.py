"""Where results belong can be written to, or one line says that it cannot."""

import errno
import os

import pytest

from weakneg.errors import UserError
from weakneg.io.files import check_room, check_writable, replace_when_whole


def test_a_folder_that_is_there_or_can_be_made_is_fine(tmp_path):
    check_writable([tmp_path, tmp_path / "not/there/yet"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", [".", "digits/runs"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch, below):
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: path != results)
    with pytest.raises(UserError, match=f"^{results}, .* cannot be written to"):
        check_writable([tmp_path, results / below])


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match=f"^{tmp_path}/results, .* cannot be written to"):
        check_writable([tmp_path / "results/digits"])


def test_a_disk_without_room_is_named(tmp_path, monkeypatch):
    check_room(tmp_path)
    assert not list(tmp_path.iterdir())

    def full(dir):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(UserError, match=f"^{tmp_path}: Disk quota exceeded: make room"):
        check_room(tmp_path)


def test_a_disk_that_fills_up_leaves_the_old_file_and_names_it(tmp_path):
    (tmp_path / "run.json").write_text("old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(OSError, match="No space left") as error,
        replace_when_whole(tmp_path / "run.json"),
    ):
        raise full
    assert error.value.filename == str(tmp_path / "run.json")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]
