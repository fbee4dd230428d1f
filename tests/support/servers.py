"""Servers that tests start on this machine, and what they serve."""

import hashlib
import http.server
import io
import json
import re
import subprocess
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pyarrow as pa
import soundfile
from pyarrow import parquet

from weakneg.audio.ffmpeg import find_ffmpeg

RATE = 16000


@contextmanager
def serving(handler: type, **attributes: object) -> Iterator[str]:
    """Run a server whose handlers have the attributes; gives its address."""
    handler = type(handler.__name__, (handler,), attributes)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def wav(seconds: float = 1.0, frequency: float = 440.0) -> bytes:
    """A tone."""
    file = io.BytesIO()
    t = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(file, 0.5 * np.sin(2 * np.pi * frequency * t), RATE, format="WAV")
    return file.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends bodies, whole, in parts that are asked for, or cut off."""

    def log_message(self, *_):
        pass

    def reply(self, body: bytes, headers: dict, cut: int | None = None) -> None:
        """`cut`: how many bytes of the body are sent before the connection is dropped."""
        first, last, status = 0, len(body) - 1, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or ""):
            first, status = int(asked[1]), 206
            last = min(int(asked[2] or last), last)
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        part = body[first : last + 1] if cut is None else body[first:cut]
        with suppress(OSError):  # ffmpeg ends connections when it has what it wants
            self.wfile.write(part)
        if len(part) < last - first + 1:
            self.close_connection = True


# ---- a mirror on the Hugging Face hub ---------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A hub with one repository, `someone/mirror`, and how it misbehaves.

    files : name -> content
    failures : word in a request -> statuses that it gets, one after the other, before it works
    cuts : name -> bytes after which a download is dropped, one after the other, before it works
    published : name -> content whose checksum is published, where that is another one
    silent : words in requests that are never answered
    requests : "GET path" that arrived
    """

    files: dict[str, bytes]
    failures: dict[str, list[int]] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    published: dict[str, bytes] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    commit: str = COMMIT
    requests: list[str] = field(default_factory=list)

    def downloads(self) -> Counter:
        """How often each file was asked for from its beginning, as a whole."""
        return Counter(r.split()[1] for r in self.requests if r.startswith("WHOLE "))


class HubHandler(Handler):
    hub: Hub

    def do_GET(self):
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        for word, statuses in hub.failures.items():
            if word in path and statuses:
                self.send_error(statuses.pop(0))
                return
        if any(word in path for word in hub.silent):
            time.sleep(30)
            return
        api = "/api/datasets/someone/mirror"
        if path in (f"{api}/revision/main", f"{api}/revision/{hub.commit}"):
            self._json(
                {
                    "id": "someone/mirror",
                    "sha": hub.commit,
                    "private": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "siblings": [self._file(name, "rfilename") for name in hub.files],
                }
            )
        elif path.startswith(f"{api}/tree/{hub.commit}/"):
            folder = path.split("/", 7)[7]
            names = [name for name in hub.files if name.rpartition("/")[0] == folder]
            self._json([self._file(name, "path") for name in names])
        elif path.startswith("/datasets/someone/mirror/resolve/"):
            name = path.split("/", 6)[6]
            if name not in hub.files:
                self._refuse(404, "EntryNotFound")
                return
            asked = self.headers["Range"]
            if self.command == "GET" and asked in (None, "bytes=0-"):
                hub.requests.append(f"WHOLE {name}")
            body = hub.files[name]
            cuts = hub.cuts.get(name, []) if self.command == "GET" else []
            headers = {"ETag": f'"{self._sha(name)}"', "X-Repo-Commit": hub.commit}
            self.reply(body, headers, cuts.pop(0) if cuts else None)
        elif path.startswith("/api/datasets/"):
            self._refuse(404, "RevisionNotFound" if "someone/mirror" in path else "RepoNotFound")
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _sha(self, name: str) -> str:
        hub = self.hub
        return hashlib.sha256(hub.published.get(name, hub.files[name])).hexdigest()

    def _file(self, name: str, key: str) -> dict:
        size, sha = len(self.hub.files[name]), self._sha(name)
        lfs = {"sha256": sha, "oid": sha, "size": size, "pointerSize": 1}
        return {key: name, "type": "file", "size": size, "oid": "0", "blobId": "0", "lfs": lfs}

    def _json(self, value: dict | list) -> None:
        self.reply(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def parquet_file(clips: dict[str, bytes | None], as_structure: bool = True) -> bytes:
    audio = [
        {"bytes": content, "path": f"audio/{name}.wav"} if as_structure else content
        for name, content in clips.items()
    ]
    table = pa.table({"video_id": list(clips), "audio": audio, "labels": [["/m/0"]] * len(clips)})
    file = io.BytesIO()
    parquet.write_table(table, file, row_group_size=2)
    return file.getvalue()


def tar_file(clips: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in clips.items():
            for ending, body in ((".flac", content), (".json", b"{}")):
                member = tarfile.TarInfo(f"clips/{name}{ending}")
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))
    return file.getvalue()


# ---- a site with videos -----------------------------------------------------------------------


def make_video(path: Path) -> bytes:
    """Opus in WebM, as on YouTube: 20 s, stereo, 48 kHz; second n sounds at 200 + 100 n Hz."""
    tone = "0.5*sin(2*PI*(200+100*floor(t))*t)"
    source = ["-f", "lavfi", "-i", f"aevalsrc={tone}|{tone}:s=48000:d=20"]
    command = [find_ffmpeg(), "-v", "error", *source, "-c:a", "libopus", path]
    subprocess.run(command, check=True)
    return path.read_bytes()


@dataclass
class Site:
    """A site with videos at /watch?v=<id>, and how it misbehaves.

    videos : id -> content; other ids have `video`
    statuses : id -> errors that tries get, one after the other; then it works
    always : id -> error that every try gets
    cuts : id -> bytes after which connections are dropped, try by try; then it works
    stalling : ids whose connections fall silent in the middle
    durations : id -> seconds; such a video has a page that tells so
    tries : id -> how many there were
    cookies : that arrived
    left : set when the other end has hung up on a connection that stalls
    """

    video: bytes
    videos: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    always: dict[str, int] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    stalling: set[str] = field(default_factory=set)
    durations: dict[str, float] = field(default_factory=dict)
    tries: Counter = field(default_factory=Counter)
    cookies: set[str | None] = field(default_factory=set)
    left: threading.Event = field(default_factory=threading.Event)


class SiteHandler(Handler):
    site: Site

    def do_GET(self):
        site, address = self.site, urlsplit(self.path)
        site.cookies.add(self.headers["Cookie"])
        name = parse_qs(address.query).get("v", [""])[0]
        if not name:
            self.reply(b"a site", {"Content-Type": "text/plain"})
            return
        if not self.headers["Range"] and address.path == "/watch":
            site.tries[name] += 1  # yt-dlp looks; ffmpeg, which follows, asks for ranges
        attempt = site.tries[name] - 1
        status = site.always.get(name, (site.statuses.get(name, []) + [0] * 99)[attempt])
        if status:
            self.send_error(status)
        elif name in site.durations and address.path == "/watch":
            stream = f"http://{self.headers['Host']}/stream.webm?{address.query}"
            about = {"@type": "VideoObject", "name": name, "contentUrl": stream}
            about |= {"@context": "https://schema.org", "duration": f"PT{site.durations[name]}S"}
            page = f'<script type="application/ld+json">{json.dumps(about)}</script>'
            self.reply(page.encode(), {"Content-Type": "text/html"})
        elif name in site.stalling and self.headers["Range"]:
            self._stall()
        else:
            cuts = site.cuts.get(name, [])
            cut = cuts[attempt] if attempt < len(cuts) else None
            body = site.videos.get(name, site.video)
            self.reply(body, {"Content-Type": "audio/webm"}, cut)

    do_HEAD = do_GET

    def _stall(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(self.site.video[:20_000])
        try:
            self.connection.settimeout(120)
            self.connection.recv(1)  # nothing comes: it returns when the other end hangs up
        except ConnectionError:
            pass
        except TimeoutError:
            return
        self.site.left.set()
