"""A made-up study of sound: its list, stores and problems."""

import csv
from pathlib import Path

import h5py
import numpy as np

from weakneg.audio.recordings import Recording, write_recordings
from weakneg.datasets import Problem
from weakneg.features.store import Store, write_store

SECONDS, FRAMES, BINS = 2.0, 20, 32
SETTINGS = {
    **{"sample_rate": 16000, "mel_bins": BINS, "frame_length_ms": 25.0, "frame_shift_ms": 100.0},
    **{"window": "hanning", "clip_seconds": SECONDS},
}
LOST = ("private", "decode_error")  # every tenth recording, the one or the other


def make_sound(folder: Path, classes: list[str], n_recordings: int) -> dict:
    """The list, the stores and the problems of a made-up study; what `read_sound` needs of it.

    Recording r is a clip of class r modulo the number of classes, and every third one is of the
    class after it too. Clips of class c are c + 1 dB softer than -10, and full scale in band c.
    """
    rng = np.random.default_rng(0)
    listed, problems = [], [Problem._fields]
    for split, n in (("train", n_recordings), ("test", n_recordings // 2)):
        rows = []
        for r in range(n):
            numbers = [r % len(classes)] + [(r + 1) % len(classes)] * (r % 3 == 0)
            labels = [classes[c] for c in dict.fromkeys(numbers)]
            row = {"id": f"-{split} {r}@", "split": split, "file": f"{r}.wav", "labels": labels}
            row["events"] = [(label, 0.5, 1.0) for label in labels]
            listed.append(row)
            if r % 10 == 9:
                problems.append((split, row["id"], f"{LOST[r % 20 > 10]}: gone", "excluded"))
                continue
            rows.append((row, numbers))
        x = rng.uniform(-15, -8, (len(rows), FRAMES, BINS)).astype(np.float16)
        length = rng.integers(FRAMES // 2, FRAMES, len(rows), endpoint=True)
        y = np.zeros((len(rows), len(classes)), np.uint8)
        for clip, (_, numbers) in enumerate(rows):
            y[clip, numbers] = 1
            x[clip, 5:10, numbers[0] % BINS] = 0
            x[clip, length[clip] :] = 0
        ids = np.array([row["id"] for row, _ in rows])
        start = np.zeros(len(rows))
        store = Store(
            **{"x": x, "id": ids, "y": y, "class_names": tuple(classes), "length": length},
            **{"mean": np.zeros(1), "std": np.ones(1), "kind": "spectrograms", "start": start},
            parameters=SETTINGS,
        )
        write_store(folder / f"{split}.h5", store)
        with h5py.File(folder / f"{split}.h5", "a") as file:
            file["recording"] = np.char.encode(ids, "utf-8")
            file["end"] = length * 0.1
            file["level"] = np.array([-10.0 - numbers[0] for _, numbers in rows], np.float32)
    write_recordings(folder / "recordings.csv", map(Recording.of, listed))
    with (folder / "problems.csv").open("w", newline="") as file:
        csv.writer(file).writerows(problems)
    return {
        "recordings": str(folder / "recordings.csv"),
        "stores": {split: str(folder / f"{split}.h5") for split in ("train", "test")},
        "problems": str(folder / "problems.csv"),
    }


def names(n):
    """Names of n classes."""
    return [f"Class, number {c} of the $5 ones" for c in range(n)]
