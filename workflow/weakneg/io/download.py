"""Downloads that survive dropped connections and end in a verified file or one clear error."""

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

_STALLED_SECONDS = 60  # without a timeout, a silent server would hold the job for ever
_RETRY_SECONDS = (1, 4, 15)  # waits before the second try, the third, ...
_CHUNK_BYTES = 1 << 16

_OF_THE_DISK = {*NO_ROOM, errno.EROFS, errno.EACCES, errno.EPERM}


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    md5: str | None = None,
    sha256: str = "",
    instead: str,
) -> None:
    """Download a file, which appears only when it is complete and verified.

    What arrives is kept in `<path>.part`. After a dropped connection the next try, or the next run,
    resumes from there (HTTP Range). It starts over if the server's file has changed since, by its
    ETag or date of modification, which `<path>.part.version` keeps. Dropped and stalled connections
    and temporary errors of the server are retried a few times. Progress goes to stderr.

    Parameters
    ----------
    url : str
        Address of the file.
    path : path
        Where it goes; the folder is made if need be.
    md5 : str, optional
        MD5 of the published file, hexadecimal. A hash in a header x-goog-hash, which Google Cloud
        Storage sends, is checked as well.
    sha256 : str
        As many of the first digits of its SHA-256 as are known, hexadecimal.
    instead : str
        What else the user can do if the download fails: the end of the error message.

    Raises
    ------
    UserError
        When the server refuses, all tries fail, the disk is full, or the file differs from the
        published one. In the last case the download is deleted.
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
                f"{url} differs from the published file (its {kind} is {found}, expected "
                f"{expected}): {instead}."
            )
    os.replace(part, path)
    _delete(part)


def _receive(url: str, part: Path) -> str | None:
    """Try once to complete `part`. Returns the MD5 that the server publishes, in base64."""
    headers = {"User-Agent": "weakneg", "Accept-Encoding": "identity"}
    start, version = _arrived(part)
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    try:
        response = urlopen(Request(url, headers=headers), timeout=_STALLED_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # the server's file ends before: whatever the reason, start over
            _delete(part)
            raise ConnectionError("what an earlier try left is not a part of the file") from error
        raise
    with response:
        if start and response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                _delete(part)
                raise ConnectionError("the server sent a different part than requested")
        else:  # the whole file: it was requested, or it has changed since
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
    """Number of bytes that arrived earlier, and the version of the file that they belong to."""
    try:
        version = _version_file(part).read_text(encoding="latin-1")
        return (part.stat().st_size, version) if version else (0, "")
    except FileNotFoundError:
        return 0, ""


def _version(headers: Message) -> str:
    """A value for If-Range: a strong ETag, else the date of modification, else nothing."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _google_md5(headers: Message) -> str | None:
    """The MD5 in headers such as `x-goog-hash: crc32c=n03x6A==, md5=Ojk9c3dhfxgoKVVHYwFbHQ==`."""
    for entry in ",".join(headers.get_all("x-goog-hash", [])).split(","):
        name, _, value = entry.strip().partition("=")
        if name == "md5":
            return value
    return None


def _passing(error: Exception) -> str | None:
    """The reason of an error that another try may not meet, else None."""
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
