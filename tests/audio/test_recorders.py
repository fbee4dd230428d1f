"""When and where recordings were made, by the names and headers that recorders write."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from weakneg.audio.recorders import Made, by_name, made

NAMES = {
    "SITE1_20190831_063000": ("2019-08-31", "06:30:00", "SITE1"),
    "SM4-07_20190831_063000_000": ("2019-08-31", "06:30:00", "SM4-07"),
    "MARSH_0+1_20140520_060000": ("2014-05-20", "06:00:00", "MARSH"),
    "SM304290_-_20150101_235959": ("2015-01-01", "23:59:59", "SM304290"),
    "S4A07_20190831$063000": ("2019-08-31", "06:30:00", "S4A07"),
    "20190831_063000": ("2019-08-31", "06:30:00", ""),
    "20190831_063000T": ("2019-08-31", "06:30:00", ""),
    "24F3190361CB1F5B_20230101_120000": ("2023-01-01", "12:00:00", "24F3190361CB1F5B"),
    "5D6A1308": ("2019-08-31", "06:26:16", ""),
    "SNE_001_20180509_050002": ("2018-05-09", "05:00:02", "SNE_001"),
    "SSW_001_20170225_010000Z": ("2017-02-25", "01:00:00", "SSW_001"),
    "swift01_20220526T180000-0400_rec_44.10N": ("2022-05-26", "18:00:00", "swift01"),
    "20190831T063000+1000_REC_[-11.1+131.1]": ("2019-08-31", "06:30:00", ""),
    "pond 2019-08-31 06.30.00": ("2019-08-31", "06:30:00", "pond"),
    "20190831063000": ("2019-08-31", "06:30:00", ""),
    "pond_20190831": ("2019-08-31", "", "pond"),
    "20191399_20190831_063000": ("2019-08-31", "06:30:00", "20191399"),
    "1-100032-A": ("", "", ""),
    "XC201908": ("", "", ""),
    "20190831_2_best": ("2019-08-31", "", ""),
    "10000000": ("", "", ""),
    # Other numbers before the time.
    "DM_2020_06_20220601_210000": ("2022-06-01", "21:00:00", "DM_2020_06"),
    "site2022-10_20230831_063000": ("2023-08-31", "06:30:00", "site2022-10"),
    "S20230101_20230831_063000": ("2023-08-31", "06:30:00", "S20230101"),
    "PLOT_01_02_2019-08-31_06-30-00": ("2019-08-31", "06:30:00", "PLOT_01_02"),
    "PLOT-1_20190831_063000": ("2019-08-31", "06:30:00", "PLOT-1"),
    # Unknown is better than hour and minute as a date, or a catalogue number as a time.
    "REC_31-08-2019_06-30-00": ("", "", ""),
    "REC_31_08_2019_06_30_00": ("", "", ""),
    "59123456": ("", "", ""),
}


@pytest.mark.parametrize("stem", NAMES)
def test_names_say_when_and_where(stem):
    assert by_name(stem) == NAMES[stem]


def test_clips_are_later_than_their_recording_also_past_midnight():
    late = by_name("S1_20191231_235950")
    assert late.after(12.6) == ("2020-01-01", "00:00:02", "S1")
    assert Made("2019-12-31").after(12.6) == ("2019-12-31", "", "")


@pytest.fixture
def wav(tmp_path):
    """A recording with a chunk after its sound."""

    def wav(name: str, chunk: bytes, content: bytes) -> str:
        path = tmp_path / name
        soundfile.write(path, np.zeros(80), 8000, subtype="PCM_16")
        content += b"\0" * (len(content) % 2)
        data = path.read_bytes() + chunk + struct.pack("<I", len(content)) + content
        path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
        return str(path)

    return wav


COMMENT = (
    "Recorded at 21:00:30 31/08/2019{}{} by AudioMoth 24F3190361CB1F5B at medium gain while "
    "battery was 4.1V and temperature was 12.3C."
)


@pytest.mark.parametrize(
    "more",
    [
        ("", ""),  # of the first firmware
        (" (UTC)", ""),
        (" (UTC+2)", ""),
        (" (UTC-3:30)", " during deployment 0123456789abcdef"),
    ],
)
def test_the_comment_of_an_audiomoth_says_what_the_name_does_not(wav, more):
    text = COMMENT.format(*more).encode()
    info = b"INFOICMT" + struct.pack("<I", len(text)) + text
    path = wav("call.WAV", b"LIST", info)
    assert made(path) == ("2019-08-31", "21:00:30", "24F3190361CB1F5B")
    assert made(wav("59123456.WAV", b"LIST", info)) == made(path)
    assert made(wav("POND_20200101_000000.WAV", b"LIST", info)).site == "POND"
    assert made(wav("20200101_000000.WAV", b"LIST", info)) == (
        *("2020-01-01", "00:00:00", "24F3190361CB1F5B"),
    )


def test_guano_metadata_say_what_the_name_does_not_if_the_package_is_there(wav, monkeypatch):
    text = (
        b"GUANO|Version: 1.0\nTimestamp: 2021-06-01T22:15:00-04:00\nWA|Song Meter|Prefix: ROOST\n"
    )
    path = wav("bat.wav", b"guan", text)
    monkeypatch.setitem(__import__("sys").modules, "guano", None)
    assert made(path) == ("", "", "")
    made.cache_clear()
    monkeypatch.undo()
    pytest.importorskip("guano")
    assert made(path) == ("2021-06-01", "22:15:00", "ROOST")


def test_a_file_that_is_no_sound_or_is_gone_says_nothing(tmp_path):
    (tmp_path / "notes.wav").write_text("no sound")
    assert made(str(tmp_path / "notes.wav")) == Made()
    assert made(str(Path(tmp_path, "gone.wav"))) == Made()
