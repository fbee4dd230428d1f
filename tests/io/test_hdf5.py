"""HDF5 files: whatever cannot be read or written is said, and nothing is locked."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import weakneg
from weakneg.errors import UserError
from weakneg.io.hdf5 import SourceRows, new_file

N, SHAPE = 500, (3, 2)


@pytest.fixture
def joined(tmp_path) -> Path:
    """A virtual data set of N files with one or two rows each, and the rows themselves."""
    rows = np.random.default_rng(0).normal(size=(N + N // 2, *SHAPE)).astype(np.float16)
    layout = h5py.VirtualLayout(rows.shape, np.float16)
    first = 0
    for number in range(N):
        end = first + 1 + number % 2
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["x"] = rows[first:end]
            file["x"].attrs["digest"] = str(number)
        layout[first:end] = h5py.VirtualSource(f"{number}.h5", "x", (end - first, *SHAPE))
        first = end
    with h5py.File(tmp_path / "joined.h5", "w") as file:
        file.create_virtual_dataset("x", layout, fillvalue=np.nan)
        file["rows"] = rows
    return tmp_path / "joined.h5"


def test_joined_rows_are_indexed_like_an_array(joined):
    with h5py.File(joined) as file:
        data, rows = SourceRows(file["x"]), file["rows"][...]
        mask = np.arange(len(rows)) % 3 == 1
        keys = [..., 7, -1, np.s_[5:99], np.s_[::-7], np.s_[3:3], [9, 2, 2], mask]
        for key in [*keys, np.s_[4, :2], np.s_[2:5, 1:, 0]]:
            np.testing.assert_array_equal(data[key], rows[key], strict=True)
        with pytest.raises(IndexError):
            data[len(rows)]
        data.close()


def test_more_sources_than_files_may_be_open_are_read(joined):
    """HDF5 itself gives fill values. In a process of its own: a limit cannot be raised again."""
    code = """
import resource, h5py, numpy as np
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
from weakneg.io.hdf5 import SourceRows
with h5py.File("joined.h5") as file:
    np.testing.assert_array_equal(SourceRows(file["x"])[...], file["rows"][...])
    assert np.isnan(file["x"][...]).any()
"""
    subprocess.run([sys.executable, "-c", code], cwd=joined.parent, check=True)


def test_a_source_that_is_lost_while_rows_are_read_is_an_error(joined):
    with h5py.File(joined) as file:
        data = SourceRows(file["x"])
        for number in range(N):
            (joined.parent / f"{number}.h5").unlink()
        with pytest.raises(UserError, match=r"0\.h5 is missing: delete both joined\.h5"):
            data[0]
        data.close()


@pytest.mark.parametrize(
    ("number", "makes_room"), [(errno.ENOSPC, True), (errno.EROFS, False), (errno.ENOLCK, False)]
)
def test_a_file_that_cannot_be_written_says_why(tmp_path, number, makes_room):
    with pytest.raises(UserError) as error, new_file(tmp_path / "x.h5"):
        raise OSError(number, "")
    assert f"x.h5 cannot be written ({os.strerror(number)}" in str(error.value)
    assert ("make room" in str(error.value)) == makes_room


def test_an_input_that_cannot_be_read_is_not_said_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"night\.wav"), new_file(tmp_path / "x.h5"):
        (tmp_path / "night.wav").read_bytes()
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match=r"x\.h5 cannot be written"), new_file(tmp_path / "a/x.h5"):
        pass


def test_no_file_is_locked():
    """Some network file systems have no locks, and HDF5 opens nothing on them unless told."""
    for path in Path(weakneg.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "h5py.File":
                assert "locking=False" in map(ast.unparse, node.keywords), (path, node.lineno)
