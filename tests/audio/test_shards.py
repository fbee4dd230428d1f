"""Shards: every clip with sound, and what is wrong with the others."""

import math
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
from by_position import compute_shard
from full_disk import assert_one_sentence
from sounds import (
    RATE,
    SETTINGS,
    TEN_SECONDS,
    bad_files,
    noise,
    ok,
    status_table,
    texts,
    tone,
    write,
)

from weakneg.audio.mel import LogMel
from weakneg.audio.status_table import StatusRow
from weakneg.errors import UserError

PSLA = LogMel.of(TEN_SECONDS)


@pytest.fixture(scope="module")
def shard(tmp_path_factory) -> Path:
    """Good sound and bad, and a long recording with a silent second."""
    folder = tmp_path_factory.mktemp("shard")
    silence = np.zeros(RATE, "f4")
    write(folder / "long.wav", np.concatenate([noise(), silence, tone(seconds=1.6)]))
    write(folder / "short.wav", noise(0.3))
    write(folder / "loud.wav", (5 * tone()).clip(-1, 1))
    rows = [
        StatusRow("-gone", "", None, None, "private", "This video is private, so\nsorry"),
        ok("-1 ねこ, 'x'", folder / "short.wav"),
        ok("long", folder / "long.wav"),
        ok("loud", folder / "loud.wav", 0.25, 1),
        *(ok(f"bad: {name}", path) for name, (_, path) in bad_files(folder).items()),
        ok("part", folder / "long.wav", 2.5, 3.1),
    ]
    output = folder / "000.h5"
    status = status_table(folder / "status.csv", rows)
    compute_shard(status, SETTINGS | {"waveform": True}, output, threads=2)
    return output


def test_a_shard_holds_every_clip_with_sound_in_the_order_of_the_list(shard):
    with h5py.File(shard) as file:
        assert file["x"].dtype == np.float16
        assert file["x"].chunks == (1, 98, 128)
        clips = ["-1 ねこ, 'x'", "long@0", "long@2", "long@3", "loud", "part"]
        assert texts(file["id"]) == clips
        assert texts(file["recording"]) == [clip.split("@")[0] for clip in clips]
        assert file["start"][...].tolist() == [0, 0, 2, 3, 0, 0]
        np.testing.assert_allclose(file["end"], [0.3, 1, 3, 3.6, 0.75, 0.6])
        assert file["length"][...].tolist() == [28, 98, 98, 58, 73, 58]
        assert file.attrs["n_recordings"] == 5 + 15


def test_rows_hold_sound_and_zeros_behind_it(shard):
    with h5py.File(shard) as file:
        for x, length in zip(file["x"][...], file["length"], strict=True):
            assert not x[length:].any()
            assert (x[:length] != 0).any(1).all()
        samples = soundfile.read(shard.parent / "short.wav", dtype="float32")[0]
        expected = PSLA(torch.from_numpy(samples - samples.mean())).half().numpy()
        np.testing.assert_array_equal(file["x"][0, :28], expected)


def test_a_shard_says_what_is_wrong_with_which(shard):
    with h5py.File(shard) as file:
        problems = {name: rest for name, *rest in texts(file["problems"])}
    bad = {
        "missing": 3,
        "unreadable": 5,
        "empty": 2,
        "silent": 2,
        "cancelled": 1,
        "not_finite": 2,
    }
    reasons = [text.split(":")[0] for name, (text, _) in problems.items() if name[:4] == "bad:"]
    assert {reason: reasons.count(reason) for reason in reasons} == bad
    assert problems["-gone"] == ["private: This video is private, so\nsorry", "excluded"]
    assert problems["long@1"] == ["silent: no sound louder than -100 dBFS", "excluded"]
    text, consequence = problems["loud"]
    assert text.startswith("clipped: ")
    assert consequence == "kept"
    assert {rest[1] for name, rest in problems.items() if name != "loud"} == {"excluded"}
    assert len(problems) == 15 + 3


def test_statistics_are_those_of_the_frames_with_sound(shard):
    with h5py.File(shard) as file:
        rows = zip(file["x"][...], file["length"], strict=True)
        real = np.concatenate([x[:length].ravel() for x, length in rows]).astype(float)
        assert file["count"][()] == len(real)
        assert file["sum"][()] == pytest.approx(real.sum())
        assert file["sum_of_squares"][()] == pytest.approx(np.square(real).sum())


def test_waveforms_are_kept_in_16_bits(shard):
    with h5py.File(shard) as file:
        samples = soundfile.read(shard.parent / "short.wav", dtype="float32")[0]
        waveform = file["waveform"][0]
        assert file["waveform"].dtype == np.int16
        error = waveform[:4800] / 32767 - (samples - samples.mean())
        assert np.abs(error).max() < 1 / 32767
        assert not waveform[4800:].any()
        assert file["peak"][4] == 1.0
        assert file["level"][0] == pytest.approx(20 * math.log10(samples.std()), abs=1e-3)


def test_the_same_sound_gives_the_same_bytes(shard, tmp_path):
    time.sleep(1.1)  # another second
    again = tmp_path / "again.h5"
    compute_shard(shard.parent / "status.csv", SETTINGS | {"waveform": True}, again, threads=1)
    assert again.read_bytes() == shard.read_bytes()


def test_clips_are_padded_or_cut_to_the_frames_asked_for(tmp_path):
    status = status_table(tmp_path / "s.csv", [ok("a", write(tmp_path / "a.wav", noise(12.0)))])
    for frames, length in ((1056, 998), (500, 500), (None, 998)):
        compute_shard(status, TEN_SECONDS | {"frames": frames}, tmp_path / "s.h5", 1)
        with h5py.File(tmp_path / "s.h5") as file:
            assert file["x"].shape == (1, frames or 998, 128)
            assert file["length"][...].tolist() == [length]
            assert file["count"][()] == length * 128


def test_progress_is_reported(tmp_path, capsys):
    sounds = [ok("a", write(tmp_path / "a.wav", noise())), ok("b", tmp_path / "a.wav")]
    compute_shard(status_table(tmp_path / "s.csv", sounds), SETTINGS, tmp_path / "s.h5", 1)
    assert "s.h5: 2 of 2 recordings" in capsys.readouterr().err


FULL_DISK = """
import resource, signal, sys
from weakneg.audio.shards import compute_shard
from weakneg.config.stages import ShardSettings
from weakneg.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    compute_shard(sys.argv[1], ShardSettings(**{settings}), sys.argv[2], 2)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100_000, 2_900_000])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path, limit):
    path = write(tmp_path / "a.wav", noise(80.0))
    status = status_table(tmp_path / "status.csv", [ok("a", path)])
    output = tmp_path / "shards" / "000.h5"
    code = FULL_DISK.replace("{settings}", repr(SETTINGS))
    assert_one_sentence(code, [status, output], output, limit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,path,start,end,status\n", "has no column message"),
        ("id,path,start,end,status,message\na,b,x,,ok,\n", "line 2: could not convert"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_status_table_that_is_not_one_is_an_error(tmp_path, text, message):
    (tmp_path / "s.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        compute_shard(tmp_path / "s.csv", SETTINGS, tmp_path / "s.h5", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


def test_many_constant_mel_bins_are_a_warning(tmp_path, capsys):
    status = status_table(tmp_path / "s.csv", [ok("a", write(tmp_path / "a.wav", noise()))])
    for rate, warning in ((16_000, ""), (8_000, "warning: 4 of 128 mel bins are constant at 8000")):
        compute_shard(status, SETTINGS | {"sample_rate": rate}, tmp_path / "s.h5", 1)
        assert warning in (said := capsys.readouterr().err)
        assert ("warning" in said) == bool(warning)
