"""Downloads that survive dropped connections and end in a checked file or one clear sentence."""

import base64
import errno
import hashlib
import os
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from weakneg.errors import UserError
from weakneg.io.files import NO_ROOM
from weakneg.io.progress import Progress
from weakneg.io.retry import retry

_STALLED_SECONDS = 60  # a silent server would hold the job for ever
_RETRY_SECONDS = (1, 4, 15)  # waited before the second try, the third, ...
_CHUNK_BYTES = 1 << 16

_OF_THE_DISK = {*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM}


def download(
    url: str,
    path: str | os.PathLike,
    *,
    md5: str | None = None,
    sha256: str = "",
    instead: str,
) -> None:
    """Download `url` to `path`, which exists only when it is whole and checked.

    md5 : of the published file, hexadecimal, where it is known. One in a header x-goog-hash, which
        Google Cloud Storage sends, is checked as well
    sha256 : of the published file, hexadecimal, as many of its first digits as are known
    instead : what else the user can do when the download fails: the end of the error's sentence

    What arrives is kept in `<path>.part`. When the connection drops, the next try, or the next run,
    goes on after it (HTTP Range), or starts again when the server's file is another one by then: by
    its ETag or date of modification, kept in `<path>.part.version`. Dropped and stalled connections
    and passing errors of the server are tried again a few times. Progress goes to stderr.

    Raises UserError when the server refuses, all tries fail, the disk is full, or the file is not
    the published one; in the last case what arrived is deleted.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        google_md5 = retry(lambda: _receive(url, part), _RETRY_SECONDS, _passing, path.name)
    except (OSError, HTTPException) as error:  # OSError: also urllib's errors and timeouts
        raise UserError(f"{url} could not be downloaded ({_reason(error)}): {instead}.") from error
    with open(part, "rb") as file:
        digest = hashlib.file_digest(file, "md5").digest()
    in_base64 = base64.b64encode(digest).decode("ascii")
    checks = [("md5", md5, digest.hex()), ("md5", google_md5, in_base64)]
    if sha256:
        with open(part, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        checks.append(("sha256", sha256, found[: len(sha256)]))
    for kind, expected, found in checks:
        if expected not in (None, found):
            _delete(part)
            raise UserError(
                f"{url} gave something else than the published file ({kind} expected {expected}, "
                f"found {found}): {instead}."
            )
    os.replace(part, path)
    _delete(part)


def _receive(url: str, part: Path) -> str | None:
    """One try: bring `part` to its full length. Returns the md5 that the server publishes."""
    headers = {"User-Agent": "weakneg", "Accept-Encoding": "identity"}
    start, version = _arrived(part)
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    try:
        response = urlopen(Request(url, headers=headers), timeout=_STALLED_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # there is nothing after it, and why is anyone's guess
            _delete(part)
            raise ConnectionError("what an earlier try left is not a part of the file") from error
        raise
    with response:
        if start and response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                _delete(part)
                raise ConnectionError("the server sent another part than asked for")
        else:  # the whole file: nothing else was asked for, or it is another file by now
            start = 0
            _delete(part)
            _version_file(part).write_text(_version(response.headers), encoding="latin-1")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        with open(part, "ab") as file, Progress(part.stem, total, "bytes", done=start) as progress:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                progress.add(len(chunk))
            if total not in (None, progress.done):
                raise ConnectionError(
                    f"the connection ended after {progress.done} of {total} bytes"
                )
        return _google_md5(response.headers)


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _delete(part: Path) -> None:
    for path in (part, _version_file(part)):
        path.unlink(missing_ok=True)


def _arrived(part: Path) -> tuple[int, str]:
    """Bytes that a download can go on from, and the version of the file that they are of."""
    try:
        version = _version_file(part).read_text(encoding="latin-1")
        return (part.stat().st_size, version) if version else (0, "")
    except FileNotFoundError:
        return 0, ""


def _version(headers: Message) -> str:
    """What If-Range accepts: a strong ETag, else the date of modification, else nothing."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _google_md5(headers: Message) -> str | None:
    """From headers such as `x-goog-hash: crc32c=n03x6A==, md5=Ojk9c3dhfxgoKVVHYwFbHQ==`."""
    for entry in ",".join(headers.get_all("x-goog-hash", [])).split(","):
        name, _, value = entry.strip().partition("=")
        if name == "md5":
            return value
    return None


def _passing(error: Exception) -> str | None:
    """What went wrong, if another try can help."""
    if isinstance(error, HTTPError):
        may_pass = error.code >= 500 or error.code in (408, 429)
    else:
        of_network = isinstance(error, OSError | HTTPException)
        may_pass = of_network and getattr(error, "errno", None) not in _OF_THE_DISK
    return _reason(error) if may_pass else None


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__
