"""The figure of a study's sound: its numbers are those of the stores, and its bytes repeat."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import h5py
import matplotlib
import numpy as np
import pandas as pd
import pytest

from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import Recording, write_recordings
from weakneg.datasets import Problem
from weakneg.errors import UserError
from weakneg.features.store import Store, write_store
from weakneg.report.figures.sound import ALL_CLIPS, draw_overview, draw_sound, read_sound
from weakneg.report.figures.style import house_style

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


def study(classes):
    return {"title": "Toy", "note": "A note.", "classes": classes}


def names(n):
    return [f"Class, number {c} of the $5 ones" for c in range(n)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_sound(tmp_path_factory.mktemp("sound"), names(12), 120)


def figure_of(made, classes):
    with house_style():
        return draw_overview(read_sound(**made, classes=classes), study(classes))


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def spectrograms(figure):
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_table_counts_what_the_store_and_the_list_hold(made, split):
    classes = names(12)[3:9]
    table = read_sound(**made, classes=classes).table
    table = table[table["split"] == split].set_index("class")
    assert list(table.index) == [ALL_CLIPS, *classes]
    listed = pd.read_csv(made["recordings"], keep_default_na=False)
    listed = listed[listed["split"] == split]
    with h5py.File(made["stores"][split]) as store:
        y = pd.DataFrame(store["y"][...], columns=names(12))
        found = set(np.char.decode(store["id"][...], "utf-8"))
        level, seconds = pd.Series(store["level"][...]), pd.Series(store["end"][...])
    for name in classes:
        mine = listed[[name in labels.split(";") for labels in listed["labels"]]]
        row = table.loc[name]
        assert row["clips"] == y[name].sum()
        assert row["recordings"] == len(mine)
        assert row["lost"] == len(mine) - mine["id"].isin(found).sum()
        assert row["level_50"] == pytest.approx(level[y[name] == 1].median())
        assert row["seconds_95"] == pytest.approx(seconds[y[name] == 1].quantile(0.95))
    assert table.loc[ALL_CLIPS, "clips"] == len(y)
    assert table.loc[ALL_CLIPS, "recordings"] == len(listed)
    assert table.loc[ALL_CLIPS, "lost"] == len(listed) // 10


def test_it_says_how_many_recordings_were_lost_and_why(made):
    assert "18 of 180 recordings lost (9 private, 9 decode error)" in " ".join(
        " ".join(texts(figure_of(made, names(12)))).split()
    )


def test_a_recording_of_which_one_clip_is_left_is_not_lost(made, tmp_path):
    """Of recordings that are cut into clips, problems name the clip."""
    before = read_sound(**made, classes=names(12))
    first = pd.read_csv(made["recordings"]).loc[0, "id"]
    gone = pd.read_csv(made["recordings"]).loc[9, "id"]
    lines = Path(made["problems"]).read_text().replace(f"{gone},", f"{gone}@1.5,")
    lines += f"train,{first}@2,silent: no sound,excluded\r\n"
    lines += f"train,{first},clipped: a bit,kept\r\n"
    (tmp_path / "problems.csv").write_text(lines)
    after = read_sound(**{**made, "problems": tmp_path / "problems.csv"}, classes=names(12))
    assert after.lost == before.lost
    pd.testing.assert_frame_equal(after.table, before.table)


@pytest.mark.parametrize("n_classes", [1, 12])
def test_every_class_has_a_row_and_what_is_drawn_fits_the_page(made, n_classes):
    figure = figure_of(made, names(12)[:n_classes])
    figure.draw_without_rendering()
    drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert (drawn.min >= page.min - 0.01).all()
    assert (drawn.max <= page.max + 0.01).all()
    labels = [text for text in texts(figure) if text.startswith("Class")]
    rows = [tick.get_text() for tick in figure.axes[-4].get_yticklabels()]
    assert rows[0] == ALL_CLIPS
    assert len(rows) == n_classes + 1
    assert len(set(rows)) == n_classes + 1
    assert set(rows[1:]) <= set(labels)


def test_spectrograms_are_of_clips_of_their_class_without_padding(made):
    classes = names(12)[:4]
    sound = read_sound(**made, classes=classes)
    with h5py.File(made["stores"]["train"]) as store:
        y, x, length = store["y"][...], store["x"][...], store["length"][...]
    assert set(sound.examples) == set(classes)
    for c, name in enumerate(classes):
        mine = [x[clip, : length[clip]] for clip in np.flatnonzero(y[:, c])]
        assert len(sound.examples[name]) == 3
        for example in sound.examples[name]:
            assert any(np.array_equal(example.log_mel, clip) for clip in mine)
            assert example.heard == [(0.5, 1.0)]


def test_of_many_classes_the_largest_and_the_smallest_are_shown(tmp_path):
    made = make_sound(tmp_path, names(40), 100)  # the last twenty classes have fewer clips
    figure = figure_of(made, names(40))
    assert len(figure.axes[-4].get_yticklabels()) == 41
    sound = read_sound(**made, classes=names(40))
    train = sound.table[sound.table["split"] == "train"].set_index("class")["clips"][names(40)]
    shown = train[list(sound.examples)]
    assert len(shown) == 8
    assert (shown.iloc[0], shown.iloc[-1]) == (train.max(), train.min())


def test_axes_are_in_seconds_and_hertz(made):
    figure = figure_of(made, names(12)[:2])
    first, mel = spectrograms(figure)[0], LogMel.of(SETTINGS)
    labels = {"250 Hz": 250, "1 kHz": 1000, "4 kHz": 4000}
    assert [tick.get_text() for tick in first.get_yticklabels()] == list(labels)
    np.testing.assert_allclose(first.get_yticks(), [mel.bin_at(f) for f in labels.values()])
    assert first.get_xlim() == (0, SECONDS)
    assert spectrograms(figure)[-1].get_xlabel() == "seconds"


@pytest.mark.parametrize("hertz", [300, 1000, 3500, 7000])
def test_a_tone_is_loudest_at_the_bin_that_the_axis_says(hertz):
    import torch

    mel = LogMel(16000, 64, 25.0, 10.0, "hanning")
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(16000) / 16000)
    assert abs(mel(tone).mean(0).argmax().item() - mel.bin_at(hertz)) <= 0.75


def test_bytes_are_the_same_in_another_process(made, tmp_path):
    script = (
        "import json, sys\n"
        "from weakneg.report.figures.sound import draw_sound\n"
        "made, study, folder = json.loads(sys.argv[1])\n"
        "files = [f'{folder}/sound.{kind}' for kind in ('pdf', 'png', 'svg')]\n"
        "stores = {f'{split}_store': path for split, path in made.pop('stores').items()}\n"
        "draw_sound(**made, **stores, settings=study, table=f'{folder}/sound.csv', outputs=files)\n"
    )
    arguments = json.dumps([made, study(names(12)[:2]), str(tmp_path / "one")])
    subprocess.run([sys.executable, "-c", script, arguments], check=True)
    files = [tmp_path / "two" / f"sound.{kind}" for kind in ("pdf", "png", "svg")]
    stores = {f"{split}_store": path for split, path in made["stores"].items()}
    files_read = {name: path for name, path in made.items() if name != "stores"} | stores
    draw_sound(
        **files_read,
        settings=study(names(12)[:2]),
        table=tmp_path / "two" / "sound.csv",
        outputs=files,
    )
    for file in (*files, tmp_path / "two" / "sound.csv"):
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


def test_only_the_spectrograms_that_are_shown_are_read(made, monkeypatch):
    read = []
    original = h5py.Dataset.__getitem__

    def counted(self, key, **options):
        if self.name == "/x":
            read.append(key)
        return original(self, key, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    read_sound(**made, classes=names(12)[:2])
    assert len(read) == 10
    assert all(isinstance(row, int) for row, _ in read)


def test_a_missing_shard_is_one_line(made, tmp_path):
    store = tmp_path / "train.h5"
    store.write_bytes(Path(made["stores"]["train"]).read_bytes())
    with h5py.File(store, "a") as file:
        file["x"][...] = np.nan  # what a virtual data set gives
    made = {**made, "stores": {**made["stores"], "train": store}}
    with pytest.raises(UserError, match=r"train\.h5: the shard that holds clip '-train \d+@' is"):
        read_sound(**made, classes=names(12))
