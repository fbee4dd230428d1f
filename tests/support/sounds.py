"""Made-up sound: files of it, good and bad, and tables that name them."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from weakneg.audio import decode, sources
from weakneg.audio.decode import open_audio
from weakneg.audio.errors import AudioError
from weakneg.audio.status_table import StatusRow, write_status
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import OF_STORES

RATE = 16_000
ALL = 1e6
"""Seconds: longer than any file here."""

SETTINGS = AudioSettings(clip_seconds=1.0).model_dump(exclude=OF_STORES)
TEN_SECONDS = AudioSettings().model_dump(exclude=OF_STORES)


def tone(rate: int = RATE, seconds: float = 1.0, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype("f4")


def noise(seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(RATE * seconds)).astype("f4")


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how: str) -> Path:
    soundfile.write(str(path), samples, rate, **({"subtype": "FLOAT"} | how))
    return path


def read(path: str | os.PathLike, start=None, end=None) -> decode.Sound:
    """The whole of a file, or of its part."""
    with open_audio(path, RATE, start, end) as recording:
        return recording.read(0.0, ALL)


def reason(path: str | os.PathLike) -> str:
    """Why a file cannot be used."""
    with pytest.raises(AudioError) as error:
        read(path)
    return error.value.reason


def bad_files(folder: Path) -> dict[str, tuple[str, Path]]:
    """What is wrong -> the reason that is given, and a file."""

    def raw(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    wav = write(folder / "whole.wav", tone(), subtype="PCM_16").read_bytes()
    fast = wav[:24] + (2**31 - 1).to_bytes(4, "little") + wav[28:]
    with_nan, with_infinity = tone(), tone()
    with_nan[5], with_infinity[7] = np.nan, -np.inf
    os.mkfifo(folder / "fifo")
    return {
        "missing": ("missing", folder / "nowhere.wav"),
        "a name that no file can have": ("unreadable", folder / ("x" * 300)),
        "a folder": ("missing", folder),
        "a pipe": ("missing", folder / "fifo"),
        "no bytes": ("empty", raw("empty.wav", b"")),
        "no samples": ("empty", write(folder / "none.wav", np.zeros(0, "f4"))),
        "a page of the web": ("unreadable", raw("page.mp3", b"<html>404 not found</html>" * 99)),
        "random bytes": ("unreadable", raw("random.wav", os.urandom(5000))),
        "a cut header": ("unreadable", raw("header.wav", wav[:20])),
        "a rate of gigahertz": ("unreadable", raw("fast.wav", fast)),
        "zeros": ("silent", write(folder / "zeros.wav", np.zeros(RATE, "f4"))),
        "a constant": ("silent", write(folder / "constant.wav", np.full(RATE, 0.3, "f4"))),
        "opposite channels": (
            "cancelled",
            write(folder / "opposite.wav", np.stack([tone(), -tone()], 1)),
        ),
        "NaN": ("not_finite", write(folder / "nan.wav", with_nan)),
        "infinite": ("not_finite", write(folder / "infinite.wav", with_infinity)),
    }


def fake_ffmpeg(monkeypatch, folder: Path, script: str) -> None:
    """Let a script of the shell be ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sources, "find_ffmpeg", lambda: str(path))


def ok(
    recording: str, path: Path, start: float | None = None, end: float | None = None
) -> StatusRow:
    """A recording whose sound is in a file."""
    return StatusRow(recording, str(path), start, end, "ok", "")


def status_table(path: Path, rows: list[StatusRow]) -> Path:
    write_status(path, rows)
    return path


def texts(values: h5py.Dataset) -> list:
    return np.char.decode(values[...], "utf-8").tolist()
