"""Where results belong can be written to, or one line says that it cannot."""

import pytest

from weakneg.errors import UserError
from weakneg.files import check_writable


def test_a_folder_that_is_there_or_can_be_made_is_fine(tmp_path):
    check_writable([tmp_path, tmp_path / "not/there/yet"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", [".", "digits/runs"])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch, below):
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: path != results)
    with pytest.raises(UserError, match=f"^{results} cannot be written to"):
        check_writable([tmp_path, results / below])


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match=f"^{tmp_path}/results cannot be written to"):
        check_writable([tmp_path / "results/digits"])
