"""Videos, with yt-dlp and ffmpeg: the wanted seconds, or what became of them instead."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recording_lists import acquire_listed, read_rows, statuses, unusable, write_list
from servers import Site, SiteHandler, make_video, serving
from workspace import ROOT

from weakneg.audio.acquire import youtube
from weakneg.audio.ffmpeg import find_ffmpeg
from weakneg.audio.outcome import OK, Outcome
from weakneg.audio.recordings import Recording
from weakneg.config.source import YoutubeSource
from weakneg.errors import UserError

# ---- what yt-dlp says ----------------------------------------------------------------------------

PRIVATE_WORDS = "Private video. Sign in if you've been granted access to this video"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (f"[youtube] abc: {PRIVATE_WORDS}", "private"),
        ("[youtube] abc: This video is private", "private"),
        ("[youtube] abc: Video unavailable. This video is no longer available because the YouTube "
         "account associated with this video has been terminated.", "removed"),
        ("[youtube] abc: Video unavailable. This video has been removed by the uploader",
         "removed"),
        ("[youtube] abc: This video has been removed for violating YouTube's Terms of Service",
         "removed"),
        ("[youtube] abc: Video unavailable. This video is no longer available because the uploader "
         "has closed their YouTube account.", "removed"),
        ("[youtube] abc: Video unavailable. The uploader has not made this video available in your "
         "country", "geo_blocked"),
        ("[youtube] abc: Video unavailable. This video contains content from 'SME', who has "
         "blocked it in your country on copyright grounds", "geo_blocked"),
        ("[x] abc: This video is not available from your location due to geo restriction",
         "geo_blocked"),
        ("[youtube] abc: Sign in to confirm your age. This video may be inappropriate for some "
         "users. Use --cookies-from-browser", "age_restricted"),
        ("[youtube] abc: Video unavailable", "unavailable"),
        ("[youtube] abc: Video unavailable. This video isn\N{RIGHT SINGLE QUOTATION MARK}t "
         "available anymore", "unavailable"),
        ("[youtube] abc: Join this channel to get access to members-only content like this video",
         "unavailable"),
        ("[youtube] abc: Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot. Use "
         "--cookies-from-browser or --cookies for the authentication", "rate_limited"),
        ("[youtube] abc: Video unavailable. This content isn't available, try again later. The "
         "current session has been rate-limited by YouTube for up to an hour", "rate_limited"),
        ("[youtube] abc: Unable to download API page: HTTP Error 429: Too Many Requests (caused by "
         "<HTTPError 429: Too Many Requests>)", "rate_limited"),
        ("HTTP error 403 Forbidden; Error opening input: Server returned 403 Forbidden (access "
         "denied); ffmpeg exited with code 8", "forbidden"),
        ("[youtube] abc: Unable to download webpage: <urlopen error [Errno -3] Temporary failure "
         "in name resolution> (caused by TransportError('...'))", "unreachable"),
        ("[youtube] abc: Unable to download API page: HTTPSConnection(host='www.youtube.com', "
         "port=443): Failed to resolve 'www.youtube.com'", "unreachable"),
        ("[youtube] abc: Unable to download webpage: The read operation timed out", "timeout"),
        ("[youtube] abc: Unable to download webpage: HTTP Error 503: Service Unavailable", "error"),
        ("[youtube] abc: Requested format is not available. Use --list-formats for a list",
         "error"),
        ("[youtube] abc: No video formats found!; please report this issue on GitHub", "error"),
        # What it is called does not tell what is wrong with it.
        ("[youtube] private-video-removed-429: Video unavailable", "unavailable"),
        ("[x] a: cannot get https://a.org/in-your-country/private-video: HTTP Error 500: x",
         "error"),
    ],
)  # fmt: skip
def test_messages_of_ytdlp_have_the_status_that_they_mean(message, status):
    assert youtube.meaning(message) == status


def test_addresses_in_messages_do_not_tell_who_asked():
    outcome = youtube._failure(
        "[https @ 0x1] HTTP error 403 Forbidden\n"
        "Error opening input file https://r1.example.org/videoplayback?ip=192.0.2.7&sig=x.\r\n"
        "ERROR: ffmpeg exited with code 8\n"
    )
    assert outcome == (
        "forbidden",
        "HTTP error 403 Forbidden; Error opening input file https://r1.example.org/videoplayback; "
        "ffmpeg exited with code 8",
        *(None, None, None),
    )


def test_a_full_disk_is_an_error_of_the_shard_but_what_a_video_says_is_not():
    with pytest.raises(UserError, match="No space left"):
        youtube._failure("[out#0/flac @ 0x1] Error writing trailer: No space left on device\n")
    said = "    title           : Error writing: No space left on device\nERROR: Private video\n"
    assert youtube._failure(said).status == "private"


# ---- a shard of all kinds of clips ---------------------------------------------------------------


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("video") / "video.webm")


def _short_video(video: bytes, seconds: float) -> bytes:
    command = [find_ffmpeg(), "-v", "error", "-i", "pipe:0", "-t", f"{seconds}", "-c", "copy"]
    command += ["-f", "webm", "pipe:1"]
    return subprocess.run(command, input=video, stdout=subprocess.PIPE, check=True).stdout


def _source(address: str, **settings) -> dict:
    return {
        **{"type": "youtube", "url": f"{address}/watch?v={{id}}", "clips_per_minute": 60_000},
        **{"concurrency": 4, "backoff_seconds": 0.01, "retries": 0, **settings},
    }


@dataclass
class Acquired:
    """What a shard has become of. `again`: the shard is done once more -> rows."""

    rows: dict[str, dict]
    site: Site
    folder: Path
    again: object


CLIPS = {
    **{"ok": (3, 5), "-dash": (18, 20), "--help": (0, 2), "../a b&v=ü": (9.5, 11.5)},
    **{"whole": (None, None), "rest": (17.5, None)},
    **{"short": (3, 5), "nearly": (3, 5), "beyond": (30, 32), "noise": (3, 5)},
    **{"404": (3, 5), "410": (3, 5), "403": (3, 5), "429": (3, 5), "500": (3, 5)},
    **{"429 once": (3, 5), "500 once": (3, 5), "cut once": (9, 12), "cut": (9, 12)},
    **{"page": (3, 5), "short page": (3, 5), "cut page": (9, 12)},
}


@pytest.fixture(scope="module")
def acquired(video, tmp_path_factory):
    """A shard of all kinds of clips, with one further try, and cookies."""
    folder = tmp_path_factory.mktemp("shard")
    short, nearly = (_short_video(video, seconds) for seconds in (4, 4.9))
    site = Site(
        video,
        videos={"short": short, "nearly": nearly, "short page": short, "noise": os.urandom(5000)},
        statuses={"429 once": [429], "500 once": [500]},
        always={name: int(name) for name in ("404", "410", "403", "429", "500")},
        cuts={"cut once": [130_000], "cut": [130_000] * 2, "cut page": [130_000] * 2},
        durations={"page": 20, "short page": 4, "cut page": 20},
    )
    cookies = folder / "cookies.txt"
    cookies.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tkey\tword\n"
    )
    recordings = write_list(
        folder / "recordings.csv",
        [{"id": name, "start": start, "end": end} for name, (start, end) in CLIPS.items()],
    )

    def acquire(**settings) -> dict[str, dict]:
        source = _source(address, retries=1, cookies=str(cookies))
        status = folder / "status.csv"
        audio = folder / "audio"
        acquire_listed(recordings, "train", 0, 500, source | settings, folder, audio, status)
        rows = read_rows(status)
        assert [row["id"] for row in rows] == list(CLIPS)
        return {row["id"]: row for row in rows}

    with serving(SiteHandler, site=site) as address:
        yield Acquired(acquire(), site, folder, acquire)


def _frequencies(path: str, seconds: float = 0.5) -> list[int]:
    """The loudest frequency of each half second."""
    sound, rate = soundfile.read(path)
    assert sound.ndim == 1
    pieces = sound[: len(sound) // round(seconds * rate) * round(seconds * rate)]
    spectrum = np.abs(np.fft.rfft(pieces.reshape(-1, round(seconds * rate)), axis=1))
    return (spectrum.argmax(axis=1) / seconds).tolist()


@pytest.mark.parametrize("name", ["ok", "-dash", "--help", "../a b&v=ü", "page", "429 once"])
def test_exactly_the_wanted_seconds_are_downloaded(acquired, name):
    row, (start, end) = acquired.rows[name], CLIPS[name]
    assert (row["status"], row["message"], row["start"], row["end"]) == ("ok", "", "", "")
    about = soundfile.info(row["path"])
    assert about.format == "FLAC"
    assert (about.samplerate, about.channels) == (48_000, 1)
    assert about.duration == pytest.approx(end - start, abs=0.05)
    middles = start + 0.25 + 0.5 * np.arange(4)
    assert _frequencies(row["path"]) == pytest.approx(200 + 100 * np.floor(middles), abs=2)


def test_without_start_and_end_all_of_it_is_downloaded(acquired):
    whole, rest = (acquired.rows[name]["path"] for name in ("whole", "rest"))
    assert soundfile.info(whole).duration == pytest.approx(20, abs=0.1)
    assert soundfile.info(rest).duration == pytest.approx(2.5, abs=0.1)
    assert _frequencies(rest)[0] == pytest.approx(1900, abs=2)


@pytest.mark.parametrize(
    ("name", "status", "tries", "message"),
    [
        ("404", "unavailable", 1, "HTTP Error 404"),
        ("410", "removed", 1, "HTTP Error 410"),
        ("403", "forbidden", 2, "HTTP Error 403"),
        ("429", "rate_limited", 2, "HTTP Error 429"),
        ("500", "error", 2, "HTTP Error 500"),
        ("noise", "decode_error", 1, "Invalid data"),
        ("short", "too_short", 1, r"0\.9.* s of 2 s|1\.?.* s of 2 s"),
        ("short page", "too_short", 1, r"s of 2 s"),
        ("beyond", "too_short", 1, r"s of 2 s"),
        ("cut", "truncated", 2, r"connection was lost after .* s of 3 s"),
        ("cut page", "truncated", 2, r"connection was lost after .* s of 3 s"),
    ],
)
def test_what_cannot_be_had_is_recorded_and_tried_again_only_if_it_may_pass(
    acquired, name, status, tries, message
):
    row = acquired.rows[name]
    assert (row["status"], row["path"]) == (status, "")
    assert re.search(message, row["message"]), row["message"]
    assert acquired.site.tries[name] == tries


def test_failures_that_pass_end_in_sound(acquired):
    for name in ("429 once", "500 once", "cut once"):
        assert acquired.rows[name]["status"] == "ok", acquired.rows[name]
        assert acquired.site.tries[name] == 2
    assert soundfile.info(acquired.rows["cut once"]["path"]).duration == pytest.approx(3, abs=0.05)
    assert acquired.rows["nearly"]["status"] == "ok"  # the end of a list is rounded


def test_only_whole_files_are_left(acquired):
    paths = {Path(row["path"]) for row in acquired.rows.values() if row["status"] == "ok"}
    there = {path for path in (acquired.folder / "audio").iterdir() if path.name != "journal"}
    assert there == paths


def test_cookies_are_sent_and_their_file_stays_as_it_is(acquired):
    assert acquired.site.cookies == {"key=word", None}  # None: of the look whether it answers
    assert (acquired.folder / "cookies.txt").read_text().endswith("\tkey\tword\n")
    assert len((acquired.folder / "cookies.txt").read_text().splitlines()) == 2


def test_a_shard_that_is_done_asks_for_nothing_again(acquired, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)  # nor does it need the tools
    tries = acquired.site.tries.copy()
    assert acquired.again() == acquired.rows
    assert acquired.site.tries == tries


# ---- a site that cannot be used ------------------------------------------------------------------


@pytest.fixture
def from_site(serve, tmp_path):
    """Acquire seconds 3 to 5 from a site: `from_site(site, ids, **settings)` -> rows."""
    addresses = {}

    def acquire(site, ids, address=None, **settings):
        if site is not None and id(site) not in addresses:
            addresses[id(site)] = serve(SiteHandler, site=site)
        rows = [{"id": name, "start": "3", "end": "5"} for name in ids]
        recordings = write_list(tmp_path / "recordings.csv", rows)
        source = _source(address or addresses[id(site)], **settings)
        status = tmp_path / "status.csv"
        acquire_listed(recordings, "train", 0, 500, source, tmp_path, acquire.audio, status)
        return read_rows(status)

    acquire.audio = tmp_path / "audio"
    return acquire


def test_a_site_that_fails_for_every_clip_is_given_up_early(from_site, video, monkeypatch):
    monkeypatch.setattr("weakneg.audio.acquire.youtube._GIVE_UP_AFTER", 3)
    ids = [f"{n}" for n in range(40)]
    site = Site(video, always=dict.fromkeys(ids, 500))
    message = unusable(from_site, site, ids)
    assert "the last 3 downloads from " in message
    assert "HTTP Error 500" in message
    assert sum(site.tries.values()) < 15


def test_a_site_that_refuses_every_clip_is_one_error(from_site, video):
    site = Site(video, always={"a": 429, "b": 429})
    assert "wait an hour" in unusable(from_site, site, ["a", "b"])


def test_no_network_is_one_error(from_site):
    with socket.socket() as reserved:  # bound and not listening: a connection is refused
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert "check the network" in unusable(from_site, None, ["a", "b"], address)


def test_a_clip_that_hangs_is_killed_with_all_that_it_started_and_recorded(from_site, video):
    site = Site(video, stalling={"a"})
    (row,) = from_site(site, ["a"], timeout=15)
    assert (row["status"], row["message"]) == ("timeout", "not finished after 15 s")
    assert site.left.wait(20) or not site.tries["a"]
    assert [path.name for path in from_site.audio.iterdir()] == ["journal"]


def test_failures_are_remembered_until_a_retry_is_asked_for(from_site, video):
    site = Site(video, statuses={"a": [410]})
    for settings, status, tries in (
        ({}, "removed", 1),
        ({}, "removed", 1),
        ({"retry_failed": True}, "ok", 2),
        ({}, "ok", 2),
    ):
        assert statuses(from_site(site, ["a"], **settings)) == {"a": status}
        assert site.tries["a"] == tries


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_killed_shard_goes_on_with_what_is_there(from_site, serve, video, tmp_path, number):
    site = Site(video, stalling={"slow"}, always={"gone": 410})
    address = serve(SiteHandler, site=site)
    recordings = write_list(
        tmp_path / "recordings.csv",
        [{"id": name, "start": "3", "end": "5"} for name in ("a", "gone", "slow")],
    )
    source = _source(address, concurrency=1)
    arguments = ("train", 0, 500, source, ".", str(from_site.audio), "x.csv")
    code = (
        "from weakneg import command_line\n"
        "from weakneg.audio.acquire import acquire\n"
        "from weakneg.audio.recordings import read_recordings\n"
        f"recordings = read_recordings({str(recordings)!r})\n"
        f"command_line.run = lambda *_: acquire(recordings, *{arguments!r})\n"
        "command_line.main(['acquire_shard'])\n"
    )
    workflow = ROOT / "workflow"
    job = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(workflow)}
    )
    deadline = time.monotonic() + 300
    while not site.tries["slow"] and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(60) == -number
    if number == signal.SIGTERM:
        assert site.left.wait(20) or site.tries["slow"] == 1
        assert not list(from_site.audio.glob(".work-*"))
    assert not (tmp_path / "x.csv").exists()
    assert [path.name for path in from_site.audio.glob("[!.]*.*")] == ["a@3-5.flac"]

    site.stalling.clear()
    rows = from_site(None, ["a", "gone", "slow"], address)
    assert statuses(rows) == {"a": "ok", "gone": "removed", "slow": "ok"}
    assert site.tries == {"a": 1, "gone": 1, "slow": 2}


def test_folders_of_jobs_killed_long_ago_are_removed(tmp_path):
    old, new = tmp_path / ".work-old", tmp_path / ".work-new"
    for folder in (old, new):
        (folder / "tmp").mkdir(parents=True)
    os.utime(old, (0, 0))
    with youtube._work_folder(tmp_path):
        assert not old.exists()
        assert new.exists()


@pytest.mark.parametrize("tool", ["yt_dlp", "imageio_ffmpeg"])
def test_a_tool_that_is_not_installed_is_one_error(from_site, monkeypatch, tool):
    monkeypatch.setitem(sys.modules, tool, None)
    monkeypatch.setenv("PATH", "")
    message = unusable(from_site, None, ["a"], "http://127.0.0.1:9")
    assert "make setup" in message


def test_a_file_of_cookies_that_is_not_there_or_is_none_is_one_error(from_site, video, tmp_path):
    message = unusable(from_site, Site(video), ["a"], cookies="nowhere.txt")
    assert "source.cookies: nowhere.txt" in message
    (tmp_path / "wrong.txt").write_text("key=word")
    message = unusable(from_site, Site(video), ["a"], cookies=str(tmp_path / "wrong.txt"))
    assert "Netscape format" in message


def test_a_place_that_cannot_be_written_to_is_one_error(from_site, video, tmp_path):
    (tmp_path / "audio").write_text("a file")
    with pytest.raises(UserError, match="audio cannot be written"):
        from_site(Site(video), ["a"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_disk_that_is_full_for_ffmpeg_is_one_error(from_site, video, monkeypatch):
    flac = f"{youtube._FLAC} -y /dev/full {youtube._FLAC}"
    monkeypatch.setattr(youtube, "_FLAC", flac)
    message = unusable(from_site, Site(video), ["a"])
    assert "clips cannot be downloaded on this machine" in message
    assert "No space left on device" in message


# ---- the pace ------------------------------------------------------------------------------------


@pytest.fixture
def paced(monkeypatch, serve, tmp_path):
    """Times of the tries of clips, whose outcomes are given: `paced({id: statuses}, **settings)`"""
    monkeypatch.setattr(youtube, "_command", lambda _: [])
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    url = f"{serve(SiteHandler, site=Site(b''))}/watch?v={{id}}"

    def run(statuses, **settings):
        times = defaultdict(list)

        def try_(self, recording):
            times[recording.id].append(time.monotonic())
            return Outcome(statuses[recording.id][len(times[recording.id]) - 1])

        monkeypatch.setattr(youtube._Downloads, "_try", try_)
        recordings = [Recording(name, "train", "", None, None, ()) for name in statuses]
        settings = YoutubeSource(**{"url": url, "clips_per_minute": 60_000, **settings})
        outcomes = {r.id: o.status for r, o in youtube.acquire(recordings, settings, tmp_path)}
        return outcomes, times

    return run


def test_tries_begin_at_a_steady_pace_however_many_run_at_a_time(paced):
    ids = [f"{n}" for n in range(6)]
    _, times = paced({name: [OK] for name in ids}, clips_per_minute=1200, concurrency=6)
    starts = sorted(start for of_clip in times.values() for start in of_clip)
    assert starts[-1] - starts[0] >= 5 * 0.05 - 0.02


def test_waits_double_and_tries_come_to_an_end(paced):
    outcomes, times = paced(
        {"a": ["timeout"] * 9, "b": [OK]}, retries=3, backoff_seconds=0.05, concurrency=2
    )
    assert outcomes == {"a": "timeout", "b": "ok"}
    waits = np.diff(times["a"])
    assert len(waits) == 3
    assert (waits >= [0.05, 0.1, 0.2]).all()


def test_too_many_requests_slow_all_clips_down(paced):
    statuses = {"a": ["rate_limited", OK]} | {f"{n}": [OK] for n in range(20)}
    _, times = paced(statuses, backoff_seconds=0.5, concurrency=2, clips_per_minute=6000)
    refused = times["a"][0]
    late = [name for name in statuses if times[name][0] - refused > 0.4]
    assert len(late) >= 15
    assert times["a"][1] - refused >= 0.5
