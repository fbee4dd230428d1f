"""A mirror on the Hugging Face hub: each file downloaded once, and its clips copied out whole."""

import errno
import os
import re
import socket
from pathlib import Path

import pytest
from recording_lists import acquire_listed, read_rows, statuses, unusable, write_list
from servers import COMMIT, Hub, HubHandler, parquet_file, tar_file, wav

from weakneg.audio.outcome import OK
from weakneg.errors import UserError


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
        recordings = write_list(tmp_path / "recordings.csv", rows)
        source = {
            **{"type": "huggingface", "repository": "someone/mirror", "endpoint": endpoint},
            **{"pattern": ["data/*"], "backoff_seconds": 0.01, "retries": 2, **settings},
        }
        status = tmp_path / "status.csv"
        status.unlink(missing_ok=True)
        acquire_listed(recordings, split, shard, size, source, tmp_path, acquire.audio, status)
        return read_rows(status)

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
    assert statuses(from_hub(hub, "acbd", size=2)) == {"a": "ok", "c": "ok"}
    assert hub.downloads() == {"data/a.parquet": 1, "data/c.parquet": 1}
    n_requests = len(hub.requests)
    assert statuses(from_hub(hub, "acbd", shard=1, size=2)) == {"b": "ok", "d": "ok"}
    assert hub.downloads() == {f"data/{n}.parquet": 1 for n in "abcd"}
    assert not any("/api/" in request for request in hub.requests[n_requests:])
    n_requests = len(hub.requests)
    assert statuses(from_hub(hub, "abcd")) == dict.fromkeys("abcd", "ok")
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


def test_a_mirror_that_cannot_be_used_is_one_error_and_no_clip_counts_as_failed(from_hub):
    hub = Hub(
        {"data/0.parquet": parquet_file(TONES), "data/x.txt": b"text", "data/x.parquet": b"x"}
    )
    for settings, named in [
        ({"repository": "someone/else"}, r"source\.repository: .* someone/else"),
        ({"revision": "v9"}, r"source\.revision: someone/mirror has no revision v9"),
        ({"pattern": ["*.zip"]}, r"source\.pattern: .* matches \*\.zip, its files are data/0"),
        ({"pattern": ["*.txt"]}, r"data/x\.txt .* neither Parquet nor a tar"),
        ({"pattern": ["*x.parquet"]}, r"data/x\.parquet .* is not a Parquet file"),
        ({"pattern": ["*0*"], "id_column": "ytid"}, r"no column ytid, its columns are video_id"),
        ({"pattern": ["*0*"], "audio_column": "wav"}, r"no column wav"),
        ({"endpoint": "http://127.0.0.1:9"}, r"cannot be downloaded .*source\.endpoint"),
    ]:
        assert re.search(named, unusable(from_hub, hub, ["a"], **settings)), settings


def test_a_hub_that_falls_silent_does_not_hold_the_job(from_hub):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        message = unusable(from_hub, Hub({}), ["a"], endpoint=endpoint, timeout=0.2)
    assert "cannot be downloaded" in message
    hub = Hub({"data/0.parquet": parquet_file(TONES)}, silent=["/tree/"])
    assert "cannot be downloaded" in unusable(from_hub, hub, ["a"], timeout=0.2)


def test_a_file_with_another_checksum_than_published_is_not_used(from_hub):
    right = parquet_file(TONES)
    wrong = bytearray(right)
    wrong[200] ^= 1  # in the sound: Parquet itself does not notice
    hub = Hub({"data/0.parquet": bytes(wrong)}, published={"data/0.parquet": right})
    message = unusable(from_hub, hub, ["a"], retries=1)
    assert "checksum" in message
    assert hub.downloads() == {"data/0.parquet": 2}
    hub.files["data/0.parquet"] = right
    _assert_same_sound(from_hub(hub, ["a"])[0], TONES["a"])


def test_what_the_mirror_holds_instead_of_sound_is_recorded(from_hub):
    clips = {"empty": b"", "none": None, "page": b"<html>", "a": TONES["a"]}
    rows = from_hub(Hub({"data/0.parquet": parquet_file(clips, as_structure=False)}), list(clips))
    assert statuses(rows) == {**dict.fromkeys(clips, "decode_error"), "a": "ok"}
    assert "0 bytes" in rows[0]["message"]
    assert "<html>" in rows[2]["message"]


def test_what_was_missing_is_asked_for_again_only_on_demand(from_hub):
    hub = Hub({"data/0.parquet": parquet_file({"a": TONES["a"]})})
    assert statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    hub.files = {"data/0.parquet": parquet_file(TONES)}
    hub.commit = COMMIT[::-1]
    assert statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    assert statuses(from_hub(hub, ["a", "b"], retry_failed=True)) == {"a": "ok", "b": "ok"}


def test_what_is_missing_in_one_mirror_is_asked_of_another(from_hub):
    hub = Hub({"data/0.tar": tar_file({"a": TONES["a"]}), "more/1.tar": tar_file(TONES)})
    assert statuses(from_hub(hub, ["a", "b"])) == {"a": "ok", "b": "missing"}
    assert statuses(from_hub(hub, ["a", "b"], pattern=["more/*"])) == {"a": "ok", "b": "ok"}


def test_names_of_the_mirror_may_be_made_of_ids(from_hub):
    hub = Hub({"data/0.tar": tar_file({"Ya": TONES["a"]})})
    assert statuses(from_hub(hub, ["a"], name="Y{id}")) == {"a": "ok"}


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
    assert statuses(rows) == {**dict.fromkeys("ade", "ok"), "none": "missing"}
