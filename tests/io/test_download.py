"""Downloads: a whole, checked file or one clear sentence, whatever the server does."""

import base64
import hashlib
import http.server
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from weakneg.errors import UserError
from weakneg.io import download as module
from weakneg.io import progress
from weakneg.io.download import download

BODY = os.urandom(300_000)  # several chunks
OTHER = os.urandom(200_000)
INSTEAD = "run again, or name a local copy"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0, 0, 0))


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


# ---- a server on this machine ------------------------------------------------------------------


@dataclass
class Server:
    """A file on a server, and how it misbehaves.

    body, headers : of the file
    ranges : whether Range is understood; If-Range is compared with ETag and Last-Modified
    cuts : bytes after which the connection is dropped, request by request; then no more
    statuses : errors that are sent instead, request by request; then no more
    shift : bytes by which a range starts too late
    requests : Range headers that arrived
    """

    body: bytes = BODY
    headers: dict = field(default_factory=lambda: {"ETag": '"1"'})
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    shift: int = 0
    requests: list[str | None] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files/data.tar.gz"


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, *request, file: Server):
        self.file = file
        super().__init__(*request)

    def do_GET(self):
        file, asked = self.file, self.headers["Range"]
        file.requests.append(asked)
        if file.statuses:
            self.send_error(file.statuses.pop(0))
            return
        start, body = 0, file.body
        same = self.headers["If-Range"] in (None, *file.headers.values())
        if asked and file.ranges and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                self.send_error(416)
                return
            start += file.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        for name, value in file.headers.items():
            self.send_header(name, value)
        self.end_headers()
        cut = file.cuts.pop(0) if file.cuts else len(body)
        self.wfile.write(body[start:][:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    servers = []

    def start(**options) -> Server:
        file = Server(**options)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, file=file))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        file.port = server.server_port
        return file

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _assert_arrived(path: Path, body: bytes = BODY) -> None:
    assert path.read_bytes() == body
    assert list(path.parent.iterdir()) == [path]  # nothing partial is left


def _refused(file: Server, path: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        download(file.url, path, instead=INSTEAD, **options)
    message = str(error.value)
    assert file.url in message
    assert "\n" not in message
    assert message.endswith(f": {INSTEAD}.")
    assert not path.exists()
    return message


# ---- what goes well ----------------------------------------------------------------------------


def test_a_file_arrives_whole_and_says_how_fast(serve, tmp_path, capsys):
    path = tmp_path / "new folder" / "data.tar.gz"
    download(serve().url, path, md5=_md5(BODY), instead=INSTEAD)
    _assert_arrived(path)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"data\.tar\.gz: 0\.3 of 0\.3 MB, 100%, [\d.]+ MB/s\n", printed.err)


def test_an_empty_file_arrives(serve, tmp_path):
    download(serve(body=b"").url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz", b"")


def test_progress_is_a_line_per_few_seconds_and_not_one_per_chunk(serve, tmp_path, capsys):
    download(serve(body=bytes(20_000_000)).url, tmp_path / "data.tar.gz", instead=INSTEAD)
    assert len(capsys.readouterr().err.splitlines()) <= 3


def test_progress_says_how_far_it_is(serve, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    download(serve().url, tmp_path / "data.tar.gz", instead=INSTEAD)
    shares = [int(share) for share in re.findall(r"(\d+)%", capsys.readouterr().err)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 100


# ---- dropped connections -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"1"'}, {"Last-Modified": "Sun, 05 Mar 2017 10:54:31 GMT"}],
    ids=["ETag", "Last-Modified"],
)
def test_a_dropped_connection_goes_on_where_it_was(serve, tmp_path, headers):
    file = serve(headers=headers, cuts=[100_000, 50_000])
    download(file.url, tmp_path / "data.tar.gz", md5=_md5(BODY), instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")
    assert file.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_run_goes_on_where_the_last_one_gave_up(serve, tmp_path):
    path = tmp_path / "data.tar.gz"
    file = serve(cuts=[100_000, 0, 0, 0])
    assert "100000 of 300000 bytes" in _refused(file, path, md5=_md5(BODY))
    download(file.url, path, md5=_md5(BODY), instead=INSTEAD)
    _assert_arrived(path)
    assert file.requests[-1] == "bytes=100000-"


def test_a_server_without_ranges_starts_anew(serve, tmp_path):
    file = serve(ranges=False, cuts=[100_000])
    download(file.url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")
    assert file.requests == [None, "bytes=100000-"]  # what came then was taken


def test_a_file_that_changed_meanwhile_starts_anew(serve, tmp_path):
    path = tmp_path / "data.tar.gz"
    file = serve(cuts=[100_000, 0, 0, 0])
    _refused(file, path)
    file.body, file.headers = OTHER, {"ETag": '"2"'}
    n_requests = len(file.requests)
    download(file.url, path, instead=INSTEAD)
    _assert_arrived(path, OTHER)
    assert file.requests[n_requests:] == ["bytes=100000-"]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}], ids=["none", "weak"])
def test_without_a_version_of_the_file_nothing_is_pieced_together(serve, tmp_path, headers):
    file = serve(headers=headers, cuts=[100_000])
    download(file.url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")
    assert file.requests == [None, None]


@pytest.mark.parametrize("size", [300_000, 400_000], ids=["as long", "longer"])
def test_a_partial_file_that_cannot_be_one_is_dropped(serve, tmp_path, size):
    path = tmp_path / "data.tar.gz"
    (tmp_path / "data.tar.gz.part").write_bytes(bytes(size))
    (tmp_path / "data.tar.gz.part.version").write_text('"1"')
    download(serve().url, path, instead=INSTEAD)
    _assert_arrived(path)


def test_another_range_than_asked_for_is_not_appended(serve, tmp_path):
    file = serve(cuts=[100_000], shift=10)
    download(file.url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")
    assert file.requests == [None, "bytes=100000-", None]


# ---- errors that pass, and those that do not ---------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_error_of_the_server_is_tried_again(serve, tmp_path, status, capsys):
    file = serve(statuses=[status, status])
    download(file.url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")
    assert f"data.tar.gz: {status} " in capsys.readouterr().err


def test_tries_come_to_an_end_and_wait_longer_each_time(serve, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(module, "_RETRY_SECONDS", (1, 4, 15))
    monkeypatch.setattr(time, "sleep", waited.append)
    file = serve(statuses=[500] * 10)
    assert "500 Internal Server Error" in _refused(file, tmp_path / "data.tar.gz")
    assert len(file.requests) == 4
    assert waited == [1, 4, 15]


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden")])
def test_a_refusal_is_not_tried_again(serve, tmp_path, status, reason):
    file = serve(statuses=[status] * 10)
    assert f"{status} {reason}" in _refused(file, tmp_path / "data.tar.gz")
    assert len(file.requests) == 1


def test_no_network_is_one_sentence(tmp_path):
    with socket.socket() as reserved:  # bound and not listening: a connection is refused
        reserved.bind(("127.0.0.1", 0))
        file = Server(port=reserved.getsockname()[1])
        assert "refused" in _refused(file, tmp_path / "data.tar.gz")


def test_a_server_that_falls_silent_does_not_hold_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_STALLED_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        file = Server(port=silent.getsockname()[1])
        began = time.monotonic()
        assert "timed out" in _refused(file, tmp_path / "data.tar.gz")
        assert time.monotonic() - began < 10  # four tries of 0.2 s


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk always full")
def test_a_full_disk_is_one_sentence_and_not_tried_again(serve, tmp_path, monkeypatch):
    full = partial(open, "/dev/full")
    monkeypatch.setattr(module, "open", lambda _, mode: full(mode), raising=False)
    file = serve()
    assert "No space left" in _refused(file, tmp_path / "data.tar.gz")
    assert len(file.requests) == 1


# ---- checksums ---------------------------------------------------------------------------------


def _goog_hash(content: bytes) -> dict[str, str]:
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    return {"ETag": '"1"', "x-goog-hash": f"crc32c=n03x6A==, md5={md5}"}


def test_another_file_than_the_published_one_is_refused_and_deleted(serve, tmp_path):
    message = _refused(serve(), tmp_path / "data.tar.gz", md5=_md5(OTHER))
    assert _md5(OTHER) in message
    assert _md5(BODY) in message
    assert list(tmp_path.iterdir()) == []


def test_the_checksum_that_google_sends_is_checked(serve, tmp_path):
    path = tmp_path / "data.tar.gz"
    _refused(serve(headers=_goog_hash(OTHER)), path, md5=_md5(BODY))
    assert list(tmp_path.iterdir()) == []
    download(serve(headers=_goog_hash(BODY)).url, path, instead=INSTEAD)
    _assert_arrived(path)


def test_a_hash_header_without_md5_says_nothing(serve, tmp_path):
    file = serve(headers={"x-goog-hash": "crc32c=n03x6A=="})
    download(file.url, tmp_path / "data.tar.gz", instead=INSTEAD)
    _assert_arrived(tmp_path / "data.tar.gz")


def test_what_is_pieced_together_is_checked_as_a_whole(serve, tmp_path):
    path = tmp_path / "data.tar.gz"
    file = serve(headers=_goog_hash(BODY))
    (tmp_path / "data.tar.gz.part").write_bytes(OTHER[:1000])  # not a part of this file
    (tmp_path / "data.tar.gz.part.version").write_text('"1"')
    _refused(file, path)
    assert file.requests == ["bytes=1000-"]
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stays_until_the_new_one_is_whole(serve, tmp_path):
    path = tmp_path / "data.tar.gz"
    path.write_bytes(b"old")
    with pytest.raises(UserError):
        download(serve(statuses=[404]).url, path, instead=INSTEAD)
    assert path.read_bytes() == b"old"
    download(serve().url, path, instead=INSTEAD)
    _assert_arrived(path)
