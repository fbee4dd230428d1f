"""Source: the videos themselves, with yt-dlp and ffmpeg.

Each try is a process of yt-dlp, which starts ffmpeg to read only the wanted seconds of the video's
best sound. If it takes too long, the process and all that it started can be killed. ffmpeg decodes
and writes mono FLAC, 16 bits, at the sample rate of the video. Without decoding, it could only cut
where the container can be entered, on YouTube up to ten seconds before the wanted start (yt-dlp's
issue 10970). The sample rate is kept, so that features at another rate need no new download.

Temporary failures are retried, with growing waits. If a failure lasts, it may be that of the clip
or of the source. So it counts against the clip only once another clip shows that the source works.
After many failures in a row the source is given up, and these clips do not count as failed.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import soundfile

from weakneg.audio.ffmpeg import find_ffmpeg
from weakneg.audio.files import clip_name
from weakneg.audio.outcome import (
    AGE_RESTRICTED,
    DECODE_ERROR,
    ERROR,
    FORBIDDEN,
    GEO_BLOCKED,
    OK,
    PRIVATE,
    RATE_LIMITED,
    REMOVED,
    TIMEOUT,
    TOO_SHORT,
    TRUNCATED,
    UNAVAILABLE,
    UNREACHABLE,
    Outcome,
    one_line,
)
from weakneg.audio.recordings import Recording
from weakneg.config.source import ID, YoutubeSource
from weakneg.errors import UserError
from weakneg.io.retry import doubling

_MAY_PASS = {TIMEOUT, RATE_LIMITED, UNREACHABLE, FORBIDDEN, TRUNCATED, ERROR}

_GIVE_UP_AFTER = 10  # clips in a row that failed for a reason that may pass
_ENOUGH = 0.9  # share of the wanted seconds; lists round the end of short videos
_STALLED_SECONDS = 20  # timeout of yt-dlp's own requests
_LEFT_OVER_SECONDS = 86400  # age at which the folder of a killed job is removed
_UNKNOWN_FRAMES = 1 << 36  # more than FLAC can store: what libsndfile reports for one without sound

# What yt-dlp, YouTube and ffmpeg say; the first match counts. Messages of YouTube:
# yt_dlp/extractor/youtube/_video.py and yt-dlp's issues.
_MEANINGS = [
    (RATE_LIMITED, r"http error 429|too many requests|rate.?limit|not a bot|captcha"),
    (RATE_LIMITED, r"try again later"),
    (GEO_BLOCKED, r"in your country|geo.?restrict|not available from your location"),
    (AGE_RESTRICTED, r"confirm your age|age.?restricted|inappropriate for some users"),
    (PRIVATE, r"private video|video is private"),
    (REMOVED, r"\bremoved\b|terminated|no longer available|been deleted|account.{0,40}closed"),
    (REMOVED, r"http error 410"),
    (ERROR, r"requested format is not available"),
    (UNAVAILABLE, r"video unavailable|is(n't| not) available|http error 40[14]"),
    (UNAVAILABLE, r"members.only|join this channel|premieres in|live event|requires payment"),
    (FORBIDDEN, r"http error 403|403 forbidden"),
    (TRUNCATED, r"ends prematurely|incompleteread|more expected"),
    (TIMEOUT, r"timed? ?out"),
    (UNREACHABLE, r"name resolution|failed to resolve|getaddrinfo|name or service not known"),
    (UNREACHABLE, r"connection refused|network is unreachable|no route to host|connect to proxy"),
    (DECODE_ERROR, r"invalid data found|matches no streams|does not contain any stream"),
]
_OF_THIS_MACHINE = (
    r"no space left|disk quota|read-only file|netscape format|ffmpeg is not installed"
)
_OF_FFMPEG = (
    r"(HTTP error|Stream ends prematurely|Error (opening|during|writing|muxing)|av_inter).*"
)

_ADVICE = {
    UNREACHABLE: "check the network",
    RATE_LIMITED: "wait an hour, lower source.clips_per_minute, or name a file as source.cookies",
    TIMEOUT: "check the network, or raise source.timeout",
}
_UPDATE = "check source.url, or install a newer yt-dlp"

# The section is decoded (not copied), so ffmpeg cuts it exactly, to the sample.
_FLAC = "-map 0:a:0 -ac 1 -c:a flac -sample_fmt s16 -map_metadata -1 -bitexact -f flac"


def acquire(
    recordings: Sequence[Recording], settings: YoutubeSource, folder: Path
) -> Iterator[tuple[Recording, Outcome]]:
    """Download clips, several at a time.

    Parameters
    ----------
    recordings : sequence of Recording
        The clips.
    settings : YoutubeSource
        The site, and how fast it may be asked.
    folder : Path
        Where the clips go.

    Yields
    ------
    Recording, Outcome
        A clip and its outcome, in the order in which downloads end.

    Raises
    ------
    UserError
        When yt-dlp, ffmpeg or the file of cookies is missing, when no clip can be downloaded at
        all, or when the disk is full.
    """
    with _work_folder(folder) as work, _Downloads(settings, folder, work) as downloads:
        tasks = {downloads.submit(recording): recording for recording in recordings}
        in_doubt: list[tuple[Recording, Outcome]] = []
        answered = False
        for task in as_completed(tasks):
            recording, outcome = tasks[task], task.result()
            if outcome.status not in _MAY_PASS:
                answered = True
                yield from in_doubt
                in_doubt.clear()
                yield recording, outcome
                continue
            in_doubt.append((recording, outcome))
            if len(in_doubt) == _GIVE_UP_AFTER:
                raise _unusable(settings, in_doubt)
        if in_doubt:
            refused = all(outcome.status == RATE_LIMITED for _, outcome in in_doubt)
            if (refused and not answered) or not _answers(settings.url):
                raise _unusable(settings, in_doubt)
            yield from in_doubt


def _unusable(settings: YoutubeSource, failed: Sequence[tuple[Recording, Outcome]]) -> UserError:
    outcome = failed[-1][1]
    return UserError(
        f"the last {len(failed)} downloads from {_site(settings.url)} failed, the last one with "
        f"{outcome.message!r}: {_ADVICE.get(outcome.status, _UPDATE)}, then run again (finished "
        "downloads are kept, and these clips do not count as failed)."
    )


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _answers(url: str) -> bool:
    """Whether the site can be reached and works."""
    try:
        with urlopen(Request(_site(url), headers={"User-Agent": "weakneg"}), timeout=30):
            return True
    except HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def meaning(message: str) -> str:
    """Classify a message of yt-dlp or ffmpeg.

    Parameters
    ----------
    message : str
        The message.

    Returns
    -------
    str
        A status of `weakneg.audio.outcome`, "error" if the message is unknown.
    """
    message = message.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    # Addresses and ids may contain any words.
    message = re.sub(r"https?://\S+|\[[^]]*\] \S+: ", " ", message)
    return next((status for status, said in _MEANINGS if re.search(said, message)), ERROR)


# ----------------------------------------------------------------------------- one clip
class _Stopped(Exception):
    """The shard has ended while a clip was waiting or being downloaded."""


class _Downloads:
    """The downloads of a shard. Leaving the context kills those that run."""

    def __init__(self, settings: YoutubeSource, folder: Path, work: Path) -> None:
        self._settings, self._folder, self._work = settings, folder, work
        self._command = _command(settings)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._next_start = time.monotonic()
        self._pool = ThreadPoolExecutor(settings.concurrency)

    def __enter__(self) -> "_Downloads":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._lock:
            for process in self._running:
                _kill(process)
        self._pool.shutdown(cancel_futures=True)

    def submit(self, recording: Recording) -> Future[Outcome]:
        """Start a download, and return its future outcome."""
        return self._pool.submit(self._fetch, recording)

    def _fetch(self, recording: Recording) -> Outcome:
        waits = doubling(self._settings.backoff_seconds, self._settings.retries)
        while True:
            self._wait_for_turn()
            outcome = self._try(recording)
            wait = next(waits, None) if outcome.status in _MAY_PASS else None
            if wait is None:
                return outcome
            if outcome.status == RATE_LIMITED:
                self._delay_all(wait)  # the limit is not specific to this clip
            else:
                self._sleep(wait)

    def _wait_for_turn(self) -> None:
        with self._lock:
            start = max(time.monotonic(), self._next_start)
            self._next_start = start + 60 / self._settings.clips_per_minute
        self._sleep(start - time.monotonic())

    def _delay_all(self, seconds: float) -> None:
        with self._lock:
            self._next_start = max(self._next_start, time.monotonic() + seconds)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(max(seconds, 0)):
            raise _Stopped

    def _try(self, recording: Recording) -> Outcome:
        with tempfile.TemporaryDirectory(dir=self._work) as place:
            command = [*self._command]
            if self._settings.cookies is not None:
                # yt-dlp writes to its file of cookies when it ends, and several run at a time.
                shutil.copyfile(self._settings.cookies, Path(place, "cookies.txt"))
                command += ["--cookies", "cookies.txt"]
            wanted = None
            if recording.start is not None or recording.end is not None:
                start, end = recording.start or 0.0, recording.end
                wanted = None if end is None else end - start
                section = f"*{start:.12g}-{'inf' if end is None else f'{end:.12g}'}"
                command += ["--download-sections", section]
            url = self._settings.url.replace(ID, quote(recording.id, safe=""))
            try:
                status, said, errors = self._run([*command, "--", url], place)
            except subprocess.TimeoutExpired:
                seconds = self._settings.timeout
                return Outcome(TIMEOUT, f"not finished after {seconds:g} s")
            flac = Path(place, "clip.flac")
            if status or not flac.is_file():
                return _failure(errors)
            seconds = _seconds(flac)
            if not seconds or (wanted is not None and seconds < _ENOUGH * wanted):
                return _short(seconds, recording, _number(said), errors)
            path = self._folder / f"{clip_name(recording)}.flac"
            os.replace(flac, path)
            return Outcome(OK, path=path)

    def _run(self, command: Sequence[str], place: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command."""
        with self._lock:
            if self._stop.is_set():
                raise _Stopped
            process = subprocess.Popen(
                command,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,  # a group of its own, to be killed as a whole
            )
            self._running.add(process)
        try:
            output, errors = process.communicate(timeout=self._settings.timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if self._stop.is_set():
            raise _Stopped
        return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, if it still runs, and all that it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads the group


def _command(settings: YoutubeSource) -> list[str]:
    """The command of yt-dlp with the options that all clips share."""
    if importlib.util.find_spec("yt_dlp") is None:
        raise UserError(
            "yt-dlp, which downloads the clips, is not installed: run `make setup`, or use "
            "--software-deployment-method conda."
        )
    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        raise UserError(
            "ffmpeg, which cuts and decodes the clips, is not installed: run `make setup`, or "
            "install it with the system's package manager."
        )
    if settings.cookies is not None and not os.access(settings.cookies, os.R_OK):
        raise UserError(f"source.cookies: {settings.cookies} cannot be read: correct the path.")
    return [
        *(sys.executable, "-m", "yt_dlp", "--ignore-config", "--no-playlist"),
        *("--no-quiet", "--no-progress", "--print", "before_dl:%(duration)s"),
        *("--format", "bestaudio/best", "--output", "clip.flac", "--fixup", "never"),
        *("--downloader", "ffmpeg", "--downloader-args", f"ffmpeg_o:{_FLAC}"),
        *("--force-keyframes-at-cuts", "--ffmpeg-location", ffmpeg),
        *("--socket-timeout", str(_STALLED_SECONDS), "--retries", "0", "--extractor-retries", "0"),
    ]


# ----------------------------------------------------------------------------- what it says
def _failure(errors: str) -> Outcome:
    """The outcome of a failed try, from its standard error."""
    message = one_line("; ".join(_said(errors))) or "yt-dlp ended without a message"
    if re.search(_OF_THIS_MACHINE, message.lower()):
        raise UserError(f"clips cannot be downloaded on this machine: {message}.")
    return Outcome(meaning(message), message)


def _said(errors: str) -> list[str]:
    """The errors of ffmpeg and yt-dlp, without the descriptions of videos printed among them."""
    lines = [re.sub(r"^\[[^]]*\] *", "", line) for line in re.split(r"[\r\n]+", errors)]
    of_ffmpeg = dict.fromkeys(line for line in lines if re.fullmatch(_OF_FFMPEG, line))
    of_ytdlp = [line for line in lines if re.match(r"ERROR: |yt-dlp: error: ", line)]
    # Without site and id, which yt-dlp puts first, so that the same reason gives the same message.
    of_ytdlp = [re.sub(r"^ERROR: (\[[^]]*\] \S+: )?", "", line) for line in of_ytdlp[-1:]]
    said = [*of_ffmpeg, *of_ytdlp]
    return [_without_query(line) for line in said]


def _without_query(text: str) -> str:
    """Remove the queries of addresses: those of streams hold the visitor's IP address."""
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)


def _short(seconds: float, recording: Recording, duration: float | None, errors: str) -> Outcome:
    """The outcome of a download with less sound than wanted: the video or the connection ended.

    `duration` is that of the video in seconds, if yt-dlp knows it.
    """
    wanted = f" of {recording.end - (recording.start or 0):.12g} s" if recording.end else ""
    message = f"{seconds:.3g} s{wanted}"
    ends = recording.end is not None and duration is not None and duration < recording.end - 1
    lost = duration is not None and not ends
    if lost or meaning("; ".join(_said(errors))) == TRUNCATED:
        return Outcome(TRUNCATED, f"the connection was lost after {message}")
    return Outcome(TOO_SHORT, message)


def _number(text: str) -> float | None:
    try:
        return float(text.split()[-1])
    except (ValueError, IndexError):
        return None


def _seconds(flac: Path) -> float:
    try:
        about = soundfile.info(flac)
        return 0.0 if about.frames >= _UNKNOWN_FRAMES else about.duration
    except (soundfile.LibsndfileError, RuntimeError):
        return 0.0


# ----------------------------------------------------------------------------- the job
@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A folder for this job's unfinished files. The folders of killed jobs are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".work-*"):
        if time.time() - left.stat().st_mtime > _LEFT_OVER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as work:
        yield Path(work)
