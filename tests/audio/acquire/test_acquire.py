"""Getting sound: whatever a source does, every recording ends in one row, and files are whole."""

import csv
import errno
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from servers import (
    COMMIT,
    Hub,
    HubHandler,
    Site,
    SiteHandler,
    make_video,
    parquet_file,
    serving,
    tar_file,
    wav,
)
from workspace import ROOT

from weakneg.audio.acquire import acquire as acquire_from
from weakneg.audio.acquire import youtube
from weakneg.audio.ffmpeg import find_ffmpeg
from weakneg.audio.files import clip_name
from weakneg.audio.outcome import OK, Outcome, one_line
from weakneg.audio.recordings import Recording, read_recordings
from weakneg.config.source import YoutubeSource, parse
from weakneg.errors import UserError
from weakneg.report.acquired import count_acquired

NASTY_IDS = ["-dash", "--help", "../up", "/etc/passwd", ".", "..", ".hidden", "a b", "ü/é", "x@3-5"]


def _write_list(path: Path, rows: list[dict]) -> Path:
    """A list of recordings; what a row does not say is empty, its split is train."""
    columns = ("id", "split", "file", "start", "end", "labels", "events", "group")
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"split": "train", **row} for row in rows)
    return path


def _read(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _statuses(rows: list[dict]) -> dict[str, str]:
    return {row["id"]: row["status"] for row in rows}


# ---- the list and the shard ------------------------------------------------------------------


@pytest.fixture
def in_folder(tmp_path):
    """Acquire from a folder: rows of the list -> rows of the status table."""
    data = tmp_path / "data"
    data.mkdir()

    def acquire(rows, split="train", shard=0, size=500, **settings):
        recordings = _write_list(tmp_path / "recordings.csv", rows)
        status = tmp_path / "status.csv"
        source = {"type": "folder", **settings}
        acquire_from(
            read_recordings(recordings),
            split,
            shard,
            size,
            source,
            data,
            tmp_path / "audio",
            status,
        )
        return _read(status)

    acquire.data = data
    return acquire


def test_shards_are_consecutive_rows_of_a_split_and_stay_so_when_rows_are_added(in_folder):
    rows = [{"id": f"{n}", "split": "test" if n % 3 == 0 else "train"} for n in range(20)]
    of_split = [row["id"] for row in rows if row["split"] == "train"]
    shards = [[row["id"] for row in in_folder(rows, shard=n, size=5)] for n in range(3)]
    assert shards == [of_split[:5], of_split[5:10], of_split[10:]]
    more = [*rows, {"id": "20"}]
    assert [row["id"] for row in in_folder(more, shard=1, size=5)] == shards[1]
    assert [row["id"] for row in in_folder(more, shard=2, size=5)] == [*shards[2], "20"]


def test_a_shard_that_the_list_does_not_have_is_an_error(in_folder):
    with pytest.raises(
        UserError, match="there is no shard 1 of the train split: the list has 1 recordings"
    ):
        in_folder([{"id": "a"}], shard=1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a"}, "line 3: the id 'a' occurs twice"),
        ({"id": ""}, "line 3: the id is empty"),
        ({"id": "b", "start": "soon"}, "line 3: start must be seconds.*'soon'"),
        ({"id": "b", "start": "nan"}, "line 3: start must be seconds"),
        ({"id": "b", "start": "-1"}, "line 3: start must be seconds"),
        ({"id": "b", "end": "inf"}, "line 3: end must be seconds"),
        ({"id": "b", "start": "5", "end": "5"}, "line 3: the end, 5 s, is not after the start"),
    ],
)
def test_a_wrong_list_is_one_sentence_with_the_line(in_folder, row, message):
    with pytest.raises(UserError, match=message):
        in_folder([{"id": "a"}, row])


def test_a_list_without_a_column_is_an_error(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("id,split\na,train\n")
    with pytest.raises(UserError, match="no column file"):
        read_recordings(path)


def test_a_list_may_have_a_byte_order_mark_and_very_long_events(tmp_path):
    events = tuple(("dog", float(n), n + 1.0) for n in range(20_000))
    row = {"id": "day", "labels": "a, b;c", "events": json.dumps(events)}
    path = _write_list(tmp_path / "list.csv", [row])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_recordings(path) == [
        Recording("day", "train", "", None, None, ("a, b", "c"), events)
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"type": "ftp"}, "source"),
        ({"type": "youtube", "retrys": 1}, r"source\.retrys"),
        ({"type": "youtube", "retries": -1}, r"source\.retries"),
        ({"type": "youtube", "url": "https://example.org/watch"}, r"source\.url"),
        ({"type": "youtube", "url": "file:///etc/{id}"}, r"source\.url"),
        ({"type": "youtube", "url": "https://{id}/"}, r"source\.url"),
        ({"type": "huggingface", "repository": "../x/y"}, r"source\.repository"),
        ({"type": "huggingface", "pattern": []}, r"source\.pattern"),
        ({"type": "folder", "name": "x"}, r"source\.name"),
    ],
)
def test_wrong_settings_are_one_sentence_with_the_key(source, message):
    with pytest.raises(UserError, match=message) as error:
        parse(source)
    assert "\n" not in str(error.value)


def test_every_setting_says_what_it_is_and_has_a_default():
    for name in ("folder", "youtube", "huggingface"):
        for key, setting in type(parse({"type": name})).model_fields.items():
            assert setting.description, (name, key)
            assert not setting.is_required(), (name, key)


# ---- a folder --------------------------------------------------------------------------------


def test_files_are_those_that_the_list_names(in_folder):
    (in_folder.data / "sub dir").mkdir()
    (in_folder.data / "sub dir" / "-ü.WAV").write_bytes(wav())
    rows = in_folder(
        [
            {"id": "a", "file": "sub dir/-ü.WAV", "start": "1.5", "end": "12345.678"},
            {"id": "b", "file": "sub dir/none.wav"},
            {"id": "c", "file": "sub dir"},
            {"id": "d", "file": "long" * 100},
            {"id": "e", "file": "a\0.wav"},
        ]
    )
    assert _statuses(rows) == {"a": "ok"} | dict.fromkeys("bcde", "missing")
    assert Path(rows[0]["path"]) == in_folder.data / "sub dir" / "-ü.WAV"
    assert (rows[0]["start"], rows[0]["end"]) == ("1.5", "12345.678")
    assert all(row["path"] == "" for row in rows[1:])
    assert "none.wav" in rows[1]["message"]


@pytest.mark.parametrize(
    "file", ["../secret.wav", "a/../../secret.wav", "/etc/passwd", "{data}/a.wav"]
)
def test_files_outside_the_folder_are_refused(in_folder, file):
    (in_folder.data.parent / "secret.wav").write_bytes(wav())
    (in_folder.data / "a").mkdir()
    (in_folder.data / "a.wav").write_bytes(wav())
    file = file.replace("{data}", str(in_folder.data))
    (row,) = in_folder([{"id": "x", "file": file}])
    assert (row["status"], row["path"]) == ("error", "")
    assert row["message"]


def test_without_a_name_the_file_is_the_one_called_like_the_id_and_all_of_it_is_used(in_folder):
    (in_folder.data / "inside").mkdir()
    for name in (
        *("-abc.flac", "inside/Yabc.wav", "twice.wav", "inside/twice.flac"),
        *("notes.txt", "dot.ted.mp3"),
    ):
        (in_folder.data / name).write_bytes(wav())
    ids = ["-abc", "twice", "notes", "dot.ted", "abc", "../data/-abc"]
    wanted = [{"id": name, "start": "30", "end": "40"} for name in ids]
    rows = in_folder(wanted)
    assert _statuses(rows) == {
        **{"-abc": "ok", "twice": "error", "notes": "missing"},
        **{"dot.ted": "ok", "abc": "missing", "../data/-abc": "missing"},
    }
    assert rows[0]["path"].endswith("/data/-abc.flac")
    assert (rows[0]["start"], rows[0]["end"]) == ("", "")
    assert "inside/twice.flac, twice.wav" in rows[1]["message"]
    assert _statuses(in_folder(wanted, name="Y{id}"))["abc"] == "ok"


def test_a_folder_that_is_not_there_is_an_error(in_folder):
    in_folder.data.rmdir()
    with pytest.raises(UserError, match="is not a folder"):
        in_folder([{"id": "a"}])


# ---- names, messages -------------------------------------------------------------------------


def test_clips_have_names_of_their_own_inside_the_folder(tmp_path):
    times = [(None, None), (3.0, 5.0), (0.0, 5.0), (3.0, None)]
    ids = [*NASTY_IDS, "x", "a" * 5000, "a" * 5001, "%2Ehidden", "ü" * 300]
    names = [clip_name(Recording(i, "train", "", *time, ())) for i in ids for time in times]
    assert len(set(names)) == len(names)
    for name in names:
        path = tmp_path / f"{name}.flac"
        assert path.resolve().parent == tmp_path
        assert not name.startswith(".")
        path.write_bytes(b"")
        assert path.stem == name


def test_messages_are_one_printable_line():
    assert one_line("a\n b\r\n\t\x1b[31mc\x00\u2028d\ud800") == "a b [31mc d"
    assert len(one_line("x" * 10_000)) == 300


# ---- what could be had -----------------------------------------------------------------------


def test_listed_and_available_recordings_of_each_class_are_counted(tmp_path):
    recordings = _write_list(
        tmp_path / "recordings.csv",
        [
            {"id": "a", "labels": "Dog;Bark, loud"},
            {"id": "b", "labels": "Dog"},
            {"id": "c", "labels": "Dog", "split": "test"},
            {"id": "d", "labels": ""},
        ],
    )
    shards = [tmp_path / "000.csv", tmp_path / "001.csv"]
    columns = "id,path,start,end,status,message"
    shards[0].write_text(f"{columns}\na,a.flac,,,ok,\nb,,,,private,no | <b>\nd,d.flac,,,ok,\n")
    shards[1].write_text(f"{columns}\nc,,,,private,\n")
    table, text = tmp_path / "acquired.csv", tmp_path / "acquired.md"
    count_acquired(recordings, shards, "dogs", "Dogs", table, text)
    assert table.read_text() == (
        'class,split,listed,ok,share\n"Bark, loud",train,1,1,1.0000\n'
        "Dog,train,2,1,0.5000\nDog,test,1,0,0.0000\n"
    )
    lines = text.read_text().splitlines()
    assert "2 of 4 could be had." in lines
    assert "| ok | 2 | 0 |  |" in lines
    assert r"| private | 1 | 1 | no &#124; \<b\> |" in lines
    assert lines.index("| Dog | test | 1 | 0 |") < lines.index("| Dog | train | 2 | 1 |")


@pytest.fixture
def serve():
    """Start servers: `serve(Handler, **attributes)` gives the address of one."""
    with ExitStack() as servers:
        yield lambda handler, **attributes: servers.enter_context(serving(handler, **attributes))


# ---- a mirror on the Hugging Face hub --------------------------------------------------------


@pytest.fixture
def from_hub(serve, tmp_path, monkeypatch):
    """Acquire from a hub: `from_hub(hub, ids, **settings)` -> rows of the status table."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 2)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)

    def acquire(hub, ids, split="train", shard=0, size=500, **settings):
        if hub not in acquire.addresses:
            acquire.addresses.append(hub)
            acquire.addresses.append(serve(HubHandler, hub=hub))
        endpoint = acquire.addresses[acquire.addresses.index(hub) + 1]
        rows = [{"id": name, "start": "30", "end": "40"} for name in ids]
        recordings = _write_list(tmp_path / "recordings.csv", rows)
        source = {
            **{"type": "huggingface", "repository": "someone/mirror", "endpoint": endpoint},
            **{"pattern": ["data/*"], "backoff_seconds": 0.01, "retries": 2, **settings},
        }
        status = tmp_path / "status.csv"
        status.unlink(missing_ok=True)
        acquire_from(
            read_recordings(recordings), split, shard, size, source, tmp_path, acquire.audio, status
        )
        return _read(status)

    acquire.audio = tmp_path / "audio"
    acquire.addresses = []
    return acquire


TONES = {name: wav(frequency=100.0 + 50 * n) for n, name in enumerate(["a", "b", "-c", "d", "e"])}


def _assert_same_sound(row: dict, content: bytes) -> None:
    assert row["status"] == OK
    assert (row["start"], row["end"]) == ("", "")
    assert Path(row["path"]).read_bytes() == content


@pytest.mark.parametrize("form", ["structure", "bytes", "tar"])
def test_clips_of_a_mirror_are_copied_out_and_the_others_are_missing(from_hub, form):
    if form == "tar":
        files = {"data/0.tar": tar_file(dict(list(TONES.items())[:3])), "README.md": b"#"}
        files["data/1.tar"] = tar_file(dict(list(TONES.items())[3:]))
    else:
        first, second = dict(list(TONES.items())[:3]), dict(list(TONES.items())[3:])
        files = {"data/0.parquet": parquet_file(first, form == "structure"), "README.md": b"#"}
        files["data/1.parquet"] = parquet_file(second, form == "structure")
    rows = from_hub(Hub(files), ["e", "none", "-c", "../a", "a"])
    assert [row["id"] for row in rows] == ["e", "none", "-c", "../a", "a"]
    for row in rows:
        if row["id"] in TONES:
            _assert_same_sound(row, TONES[row["id"]])
            assert row["path"].endswith(".wav")  # by its contents, whatever it is called
        else:
            assert (row["status"], row["path"]) == ("missing", "")
            assert "someone/mirror, revision main" in row["message"]


def test_a_mirror_is_asked_once_what_is_where_and_each_file_is_downloaded_once(from_hub):
    hub = Hub({f"data/{n}.parquet": parquet_file({n: wav()}) for n in "abcd"})
    assert _statuses(from_hub(hub, "acbd", size=2)) == {"a": "ok", "c": "ok"}
    assert hub.downloads() == {"data/a.parquet": 1, "data/c.parquet": 1}
    n_requests = len(hub.requests)
    assert _statuses(from_hub(hub, "acbd", shard=1, size=2)) == {"b": "ok", "d": "ok"}
    assert hub.downloads() == {f"data/{n}.parquet": 1 for n in "abcd"}
    assert not any("/api/" in request for request in hub.requests[n_requests:])
    n_requests = len(hub.requests)
    assert _statuses(from_hub(hub, "abcd")) == dict.fromkeys("abcd", "ok")
    assert len(hub.requests) == n_requests


def test_of_a_parquet_file_only_ids_are_read_to_see_what_is_in_it(from_hub):
    big = {f"{n}": os.urandom(200_000) for n in range(20)}
    hub = Hub({"data/0.parquet": parquet_file(big), "data/1.parquet": parquet_file(TONES)})
    from_hub(hub, ["a"])
    assert hub.downloads() == {"data/1.parquet": 1}


def test_a_deleted_clip_is_copied_again_without_another_download(from_hub):
    hub = Hub({"data/0.parquet": parquet_file(TONES)})
    (row,) = from_hub(hub, ["a"])
    Path(row["path"]).unlink()
    n_requests = len(hub.requests)
    (row,) = from_hub(hub, ["a"])
    _assert_same_sound(row, TONES["a"])
    assert len(hub.requests) == n_requests


def test_a_download_that_is_cut_off_goes_on(from_hub):
    hub = Hub({"data/0.tar": tar_file(TONES)}, cuts={"data/0.tar": [20_000, 30_000]})
    for row in from_hub(hub, list(TONES)):
        _assert_same_sound(row, TONES[row["id"]])


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("where", ["/revision/", "/resolve/"])
def test_errors_of_the_hub_that_pass_are_tried_again(from_hub, status, where):
    hub = Hub({"data/0.parquet": parquet_file(TONES)}, failures={where: [status, status]})
    _assert_same_sound(from_hub(hub, ["a"])[0], TONES["a"])


def _unusable(acquire, *arguments, **settings) -> str:
    with pytest.raises(UserError) as error:
        acquire(*arguments, **settings)
    message = str(error.value)
    assert "\n" not in message
    assert not list(acquire.audio.glob("journal/*"))
    assert not list(acquire.audio.glob("*.*"))
    return message


def test_a_mirror_that_cannot_be_used_is_one_error_and_no_clip_counts_as_failed(from_hub):
    hub = Hub(
        {"data/0.parquet": parquet_file(TONES), "data/x.txt": b"text", "data/x.parquet": b"x"}
    )
    for settings, named in [
        ({"repository": "someone/else"}, r"source\.repository: .* someone/else"),
        ({"revision": "v9"}, r"source\.revision: someone/mirror has no revision v9"),
        ({"pattern": ["*.zip"]}, r"source\.pattern: .* called \*\.zip; its files are data/0"),
        ({"pattern": ["*.txt"]}, r"data/x\.txt .* neither Parquet nor a tar"),
        ({"pattern": ["*x.parquet"]}, r"data/x\.parquet .* no Parquet file"),
        ({"pattern": ["*0*"], "id_column": "ytid"}, r"no column ytid, its columns are video_id"),
        ({"pattern": ["*0*"], "audio_column": "wav"}, r"no column wav"),
        ({"endpoint": "http://127.0.0.1:9"}, r"cannot be downloaded .*source\.endpoint"),
    ]:
        assert re.search(named, _unusable(from_hub, hub, ["a"], **settings)), settings


def test_a_hub_that_falls_silent_does_not_hold_the_job(from_hub):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        message = _unusable(from_hub, Hub({}), ["a"], endpoint=endpoint, timeout=0.2)
    assert "cannot be downloaded" in message
    hub = Hub({"data/0.parquet": parquet_file(TONES)}, silent=["/tree/"])
    assert "cannot be downloaded" in _unusable(from_hub, hub, ["a"], timeout=0.2)


def test_a_file_with_another_checksum_than_published_is_not_used(from_hub):
    right = parquet_file(TONES)
    wrong = bytearray(right)
    wrong[200] ^= 1  # in the sound: Parquet itself does not notice
    hub = Hub({"data/0.parquet": bytes(wrong)}, published={"data/0.parquet": right})
    message = _unusable(from_hub, hub, ["a"], retries=1)
    assert "checksum" in message
    assert hub.downloads() == {"data/0.parquet": 2}
    hub.files["data/0.parquet"] = right
    _assert_same_sound(from_hub(hub, ["a"])[0], TONES["a"])


def test_what_the_mirror_holds_instead_of_sound_is_recorded(from_hub):
    clips = {"empty": b"", "none": None, "page": b"<html>", "a": TONES["a"]}
    rows = from_hub(Hub({"data/0.parquet": parquet_file(clips, as_structure=False)}), list(clips))
    assert _statuses(rows) == {**dict.fromkeys(clips, "decode_error"), "a": "ok"}
    assert "0 bytes" in rows[0]["message"]
    assert "<html>" in rows[2]["message"]


def test_what_was_missing_is_asked_for_again_only_on_demand(from_hub):
    hub = Hub({"data/0.parquet": parquet_file({"a": TONES["a"]})})
    assert _statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    hub.files = {"data/0.parquet": parquet_file(TONES)}
    hub.commit = COMMIT[::-1]
    assert _statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    assert _statuses(from_hub(hub, ["a", "b"], retry_failed=True)) == {"a": "ok", "b": "ok"}


def test_what_is_missing_in_one_mirror_is_asked_of_another(from_hub):
    hub = Hub({"data/0.tar": tar_file({"a": TONES["a"]}), "more/1.tar": tar_file(TONES)})
    assert _statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    assert _statuses(from_hub(hub, ["a", "b"], pattern=["more/*"])) == {"a": "ok", "b": "ok"}


def test_names_of_the_mirror_may_be_made_of_ids(from_hub):
    hub = Hub({"data/0.tar": tar_file({"Ya": TONES["a"]})})
    assert _statuses(from_hub(hub, ["a"], name="Y{id}")) == {"a": "ok"}


# ---- videos, with yt-dlp and ffmpeg ----------------------------------------------------------

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
    recordings = _write_list(
        folder / "recordings.csv",
        [{"id": name, "start": start, "end": end} for name, (start, end) in CLIPS.items()],
    )

    def acquire(**settings) -> dict[str, dict]:
        source = _source(address, retries=1, cookies=str(cookies))
        status = folder / "status.csv"
        audio = folder / "audio"
        acquire_from(
            read_recordings(recordings), "train", 0, 500, source | settings, folder, audio, status
        )
        rows = _read(status)
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


# ---- a source that cannot be used ------------------------------------------------------------


@pytest.fixture
def from_site(serve, tmp_path):
    """Acquire seconds 3 to 5 from a site: `from_site(site, ids, **settings)` -> rows."""
    addresses = {}

    def acquire(site, ids, address=None, **settings):
        if site is not None and id(site) not in addresses:
            addresses[id(site)] = serve(SiteHandler, site=site)
        rows = [{"id": name, "start": "3", "end": "5"} for name in ids]
        recordings = _write_list(tmp_path / "recordings.csv", rows)
        source = _source(address or addresses[id(site)], **settings)
        status = tmp_path / "status.csv"
        acquire_from(
            read_recordings(recordings), "train", 0, 500, source, tmp_path, acquire.audio, status
        )
        return _read(status)

    acquire.audio = tmp_path / "audio"
    return acquire


def test_a_site_that_fails_for_every_clip_is_given_up_early(from_site, video, monkeypatch):
    monkeypatch.setattr("weakneg.audio.acquire.youtube._GIVE_UP_AFTER", 3)
    ids = [f"{n}" for n in range(40)]
    site = Site(video, always=dict.fromkeys(ids, 500))
    message = _unusable(from_site, site, ids)
    assert "gave none of the last 3 clips" in message
    assert "HTTP Error 500" in message
    assert sum(site.tries.values()) < 15


def test_a_site_that_refuses_every_clip_is_one_error(from_site, video):
    site = Site(video, always={"a": 429, "b": 429})
    assert "wait an hour" in _unusable(from_site, site, ["a", "b"])


def test_no_network_is_one_error(from_site):
    with socket.socket() as reserved:  # bound and not listening: a connection is refused
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        assert "check the network" in _unusable(from_site, None, ["a", "b"], address)


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
        assert _statuses(from_site(site, ["a"], **settings)) == {"a": status}
        assert site.tries["a"] == tries


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_killed_shard_goes_on_with_what_is_there(from_site, serve, video, tmp_path, number):
    site = Site(video, stalling={"slow"}, always={"gone": 410})
    address = serve(SiteHandler, site=site)
    recordings = _write_list(
        tmp_path / "recordings.csv",
        [{"id": name, "start": "3", "end": "5"} for name in ("a", "gone", "slow")],
    )
    source = _source(address, concurrency=1)
    arguments = ("train", 0, 500, source, ".", str(from_site.audio), "x.csv")
    code = (
        "from weakneg.audio.acquire import acquire\n"
        "from weakneg.audio.recordings import read_recordings\n"
        f"acquire(read_recordings({str(recordings)!r}), *{arguments!r})\n"
    )
    workflow = ROOT / "workflow"
    job = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(workflow)}
    )
    deadline = time.monotonic() + 300
    while not site.tries["slow"] and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(60) != 0
    if number == signal.SIGTERM:
        assert site.left.wait(20) or site.tries["slow"] == 1
        assert not list(from_site.audio.glob(".work-*"))
    assert not (tmp_path / "x.csv").exists()
    assert [path.name for path in from_site.audio.glob("[!.]*.*")] == ["a@3-5.flac"]

    site.stalling.clear()
    rows = from_site(None, ["a", "gone", "slow"], address)
    assert _statuses(rows) == {"a": "ok", "gone": "removed", "slow": "ok"}
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
    message = _unusable(from_site, None, ["a"], "http://127.0.0.1:9")
    assert "make setup" in message


def test_a_file_of_cookies_that_is_not_there_or_is_none_is_one_error(from_site, video, tmp_path):
    message = _unusable(from_site, Site(video), ["a"], cookies="nowhere.txt")
    assert "source.cookies: nowhere.txt" in message
    (tmp_path / "wrong.txt").write_text("key=word")
    message = _unusable(from_site, Site(video), ["a"], cookies=str(tmp_path / "wrong.txt"))
    assert "Netscape format" in message


def test_a_place_that_cannot_be_written_to_is_one_error(from_site, video, tmp_path):
    (tmp_path / "audio").write_text("a file")
    with pytest.raises(UserError, match="audio cannot be written"):
        from_site(Site(video), ["a"])


# ---- a full disk -----------------------------------------------------------------------------


def test_a_disk_that_fills_up_is_one_error_and_leaves_whole_files(from_hub):
    hub = Hub({"data/0.parquet": parquet_file(TONES)})
    write = Path.write_bytes

    def write_bytes(path, content):
        if path.stem != "d@30-40":
            return write(path, content)
        write(path, content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as full:
        full.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(UserError) as error:
            from_hub(hub, ["a", "none", "d", "e"])
    assert "audio cannot be written (No space left on device): make room" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (from_hub.audio.parent / "status.csv").exists()
    there = [path for path in from_hub.audio.iterdir() if path.is_file()]
    assert {path.name: path.read_bytes() for path in there} == {"a@30-40.wav": TONES["a"]}
    rows = from_hub(hub, ["a", "none", "d", "e"])
    assert _statuses(rows) == {**dict.fromkeys("ade", "ok"), "none": "missing"}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_disk_that_is_full_for_ffmpeg_is_one_error(from_site, video, monkeypatch):
    flac = f"{youtube._FLAC} -y /dev/full {youtube._FLAC}"
    monkeypatch.setattr(youtube, "_FLAC", flac)
    message = _unusable(from_site, Site(video), ["a"])
    assert "clips cannot be downloaded here" in message
    assert "No space left on device" in message


# ---- the pace --------------------------------------------------------------------------------


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
