"""What the tests of several sources start from."""

from contextlib import ExitStack

import pytest
from recording_lists import acquire_listed, read_rows, write_list
from servers import serving


@pytest.fixture
def serve():
    """Start servers: `serve(Handler, **attributes)` gives the address of one."""
    with ExitStack() as servers:
        yield lambda handler, **attributes: servers.enter_context(serving(handler, **attributes))


@pytest.fixture
def in_folder(tmp_path):
    """Acquire from a folder: rows of the list -> rows of the status table."""
    data = tmp_path / "data"
    data.mkdir()

    def acquire(rows, split="train", shard=0, size=500, **settings):
        recordings = write_list(tmp_path / "recordings.csv", rows)
        status = tmp_path / "status.csv"
        source = {"type": "folder", **settings}
        acquire_listed(recordings, split, shard, size, source, data, tmp_path / "audio", status)
        return read_rows(status)

    acquire.data = data
    return acquire
