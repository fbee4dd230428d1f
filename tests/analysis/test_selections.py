"""Selections and the bags they are of: what counts, and bad input."""

import h5py
import numpy as np
import pandas as pd
import pytest
from selections import LABEL, Made, choose_dogs, image_bags, one_line, write_clips

from weakneg.analysis.selections import read_clips
from weakneg.bags.manifest import write_manifest


def test_selections_of_the_warm_up_do_not_count(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    nan = [np.nan, np.nan]
    for strategy in ("random", "badge"):
        chosen = {1: (pool[:2], nan), 2: (pool[2:4], nan), 3: pool[4:6], 6: pool[4:6]}
        made.choose("a", strategy, {0: chosen}, warmup_epochs=2)
    tables = made.audit()
    assert tables["selection_overlap"]["epoch"].tolist() == [3, 6]
    assert tables["selection_turnover"]["distinct"].tolist() == [2, 2, 2, 2]
    assert tables["most_selected"]["times"].tolist() == [2, 2]
    assert tables["most_selected"]["mean_score"].tolist() == [1, 1]


def test_padding_is_no_bag(tmp_path):
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    made.choose("a", "random", {0: {1: pool[:4], 2: pool[:1]}})
    made.choose("a", "badge", {0: {1: pool[:1], 2: pool[:2], 3: pool[:0]}})
    tables = made.audit()
    assert tables["selection_overlap"]["jaccard"].tolist() == [1 / 4, 1 / 2]
    assert tables["most_selected"]["times"].tolist() == [2, 1]


def test_the_effective_number_of_bags_is_shown_where_there_are_weights(tmp_path):
    """Weights of 3 and 1 are worth 16 / 10 bags of two; padding is no bag."""
    made = Made(tmp_path, ["random", "badge"], {"a": LABEL})
    pool = made.pool("a", 0)
    for strategy in ("random", "badge"):
        made.choose("a", strategy, {0: {1: pool[:2], 2: pool[:1]}})
    plain = made.audit()
    assert "effective" not in plain["selection_turnover"]
    assert "Effective" not in plain["markdown"]
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        file["seed_0/weights"] = np.array([[3, 1], [2, np.nan]], dtype=np.float32)
    tables = made.audit()
    assert tables["selection_turnover"]["effective"].tolist() == pytest.approx([1, 1, 0.8, 1])
    rows = [line for line in tables["markdown"].splitlines() if line.startswith("| BADGE")]
    assert "| 90.0% " in rows[-1]


def test_clips_keep_ids_that_look_like_something_else(tmp_path):
    ids = ["NA", "007", "1e5", " x ", "nan", "--", "=1+1"]
    write_clips(tmp_path / "train.csv", [["Car"]] * len(ids), ids)
    clips = read_clips(tmp_path / "train.csv")
    assert clips["id"].tolist() == ids
    assert clips["bag"].tolist() == list(range(1000, 1007))
    assert clips["start"].tolist() == [10.0 * row for row in range(7)]


def test_an_empty_line_in_a_manifest_of_clips_is_nothing(clips):
    path = clips.manifests[0]
    before = read_clips(path)
    path.write_text(path.read_text().replace("\n", "\n\n", 2))
    pd.testing.assert_frame_equal(read_clips(path), before)


def test_a_run_without_selections_is_named(made):
    path = made.folder_of("b", "badge") / "selection.h5"
    path.unlink()
    one_line(made, rf"^{path} does not exist; train this run first\.$")
    path.write_bytes(b"no HDF5")
    one_line(made, rf"^{path} is truncated or damaged: delete the folder and train")


def test_a_seed_without_selections_is_named(made):
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        del file["seed_1"]
    one_line(made, rf"^{path} is damaged or lacks seed 1:")


def test_arrays_that_do_not_fit_are_refused(made):
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        epoch = file["seed_1/epoch"][:1]
        del file["seed_1/epoch"]
        file["seed_1/epoch"] = epoch
    one_line(made, rf"^{path} is damaged or lacks seed 1:")


def test_weights_that_do_not_fit_are_refused(made):
    path = made.folder_of("a", "badge") / "selection.h5"
    with h5py.File(path, "a") as file:
        file["seed_1/weights"] = file["seed_1/scores"][:, 1:]
    one_line(made, rf"^{path} is damaged or lacks seed 1:")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (16, "the manifest has 16 bags, but no row 16"),
        (-2, "the manifest has 16 bags, but no row -2"),
        (0, "row 0 of the manifest is not in the pool"),  # a positive one
    ],
)
def test_rows_that_cannot_have_been_chosen_are_named(made, row, match):
    pool = made.pool("a", 0)
    chosen = {0: {1: [*pool[:3], row]}, 1: {1: made.pool("a", 1)[:4]}}
    made.choose("a", "badge", chosen)
    path = made.folder_of("a", "badge") / "selection.h5"
    one_line(made, rf"^{path}, seed 0: {match}, so it was trained with another manifest")


def test_a_pool_of_another_size_is_named(made):
    made.choose("a", "badge", {0: {1: made.pool("a", 0)[:4]}}, n_pool={"0": 8})
    one_line(made, r"run\.json: the pool of seed 0 has 8 bags, but .*0\.csv|a\.csv gives 9; train")


def test_a_class_without_manifest_is_named(made):
    path = made.manifests[1]
    path.unlink()
    one_line(made, rf"^{path} cannot be read \(No such file or directory\)")
    del made.manifests[1]
    one_line(made, r"^Study made: 1 manifests are named, but it has 2; name .* each of its classes")


def test_a_manifest_that_lacks_the_draw_is_named(made):
    write_manifest(made.manifests[0], {4: image_bags(LABEL)})
    one_line(made, rf"^{made.manifests[0]} has no draw 0: delete it")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("bag,id", "bag,name", " has no column id, it needs bag, id, start"),
        ("1000,", "one,", ", line 2: invalid literal .* 'one'; list the clips again"),
        ("10.000", "soon", ", line 3: could not convert string to float: 'soon'; list"),
        ("Animal", "Animals", " has no clip of the class 'Animal': list the clips again"),
        ("1000,", "1000,more,", ", line 2 has 6 values, the header has 5"),
    ],
)
def test_a_bad_manifest_of_clips_is_named(clips, old, new, match):
    choose_dogs(clips)
    path = clips.manifests[0]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    one_line(clips, rf"^{path}{match}")


def test_an_empty_or_missing_manifest_of_clips_is_named(clips):
    choose_dogs(clips)
    path = clips.manifests[0]
    path.write_text("bag,id,start,instances,labels\n")
    one_line(clips, rf"^{path} has no bags: draw them again")
    path.unlink()
    one_line(clips, rf"^{path} cannot be read \(No such file or directory\): draw the bags")
    clips.manifests = []
    one_line(clips, r"^Study made: 0 manifests are named, but it has 2; name .* all clips\.$")
