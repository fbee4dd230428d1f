"""What a study of sound is made of: the numbers are those of the stores and the list."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sound_study import make_sound, names

from weakneg.analysis.sound import ALL_CLIPS, read_sound


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_sound(tmp_path_factory.mktemp("sound"), names(12), 120)


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
