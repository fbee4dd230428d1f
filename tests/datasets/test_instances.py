"""A person's own bags of feature vectors: from CSV, Parquet or HDF5 to a trained model."""

import hashlib
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from by_position import build_features, score_run, train_run
from sklearn.metrics import roc_auc_score

from weakneg.bags.manifest import list_clips, read_bags
from weakneg.config.load import load_study
from weakneg.config.stages import RunSettings, ScoreSettings
from weakneg.datasets import UNKNOWN, instances
from weakneg.errors import UserError
from weakneg.features.store import read_store

FORMATS = ("csv", "parquet", "h5")


def make_drugs(n_bags: int = 240, n_features: int = 166) -> pd.DataFrame:
    """Bags as in Musk: a molecule smells of musk if one of its 2 to 40 conformations has a shape.

    With another shape it smells sweet. Features differ by orders of magnitude.
    """
    rng = np.random.default_rng(3)
    shapes = rng.normal(size=(2, n_features)) / 2
    scale, offset = 10.0 ** rng.integers(-3, 4, n_features), 100.0
    parts = []
    for number in range(n_bags):
        size = rng.integers(2, 40, endpoint=True)
        x = rng.normal(size=(size, n_features))
        smells = rng.random(2) < (0.4, 0.3)
        for smell in np.flatnonzero(smells):
            x[rng.integers(size, size=max(1, size // 5))] += shapes[smell] * 3
        part = pd.DataFrame(x * scale + offset, columns=[f"f{f}" for f in range(n_features)])
        names = [name for name, has in zip(("musk", "sweet, ö"), smells, strict=True) if has]
        part.insert(0, "bag", f"-molecule {number}")
        part.insert(1, "labels", ";".join(names))
        part.insert(2, "split", "test" if number % 3 == 0 else "train")
        parts.append(part)
    return pd.concat(parts).sample(frac=1, random_state=0)  # bags in pieces


def write(table: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)  # with the index of pandas, which is no feature
    else:
        with h5py.File(path, "w") as file:
            for name in [name for name in instances.COLUMNS if name in table]:
                values = table[name]
                file[name] = values.astype("S") if name == "split" else values.to_list()
            file["x"] = table.drop(columns=list(instances.COLUMNS), errors="ignore").to_numpy(
                np.float64
            )
    return str(path)


def build(list_file: str, folder: Path, test_split="test", unlisted="negative"):
    """The stores of both splits."""
    files = [folder / name for name in ("train.h5", "test.h5", "problems.csv")]
    build_features("instances", None, *files, list_file, test_split, unlisted)
    for split, file in zip(("train", "test"), files, strict=False):
        list_clips(file, folder / f"{split}.csv")
    return {split: read_store(folder / f"{split}.h5") for split in ("train", "test")}


@pytest.fixture(scope="module")
def drugs() -> pd.DataFrame:
    return make_drugs()


@pytest.fixture(scope="module")
def built(drugs, tmp_path_factory) -> Path:
    """A folder for each format, with the stores and the manifests of bags."""
    root = tmp_path_factory.mktemp("drugs")
    for kind in FORMATS:
        build(write(drugs, root / f"drugs.{kind}"), root / kind)
    return root


def small(**columns) -> pd.DataFrame:
    """Two bags of each split, of both labels."""
    table = pd.DataFrame(
        {
            "bag": ["a", "a", "b", "c", "c", "d"],
            "labels": ["musk", "musk", "", "musk", "musk", ""],
            "split": ["train"] * 3 + ["test"] * 3,
            "f0": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "f1": [0.5, 0.25, 1.0, 2.0, 4.0, 8.0],
        }
    )
    return table.assign(**columns)


# ----------------------------------------------------------------------------- stores
def test_all_formats_give_the_same_bytes(built):
    for name in ("train.h5", "test.h5", "train.csv", "test.csv"):
        contents = {kind: (built / kind / name).read_bytes() for kind in FORMATS}
        assert len({hashlib.sha256(content).digest() for content in contents.values()}) == 1, name


def test_bags_that_do_not_fit_in_memory_when_padded_are_named(tmp_path, monkeypatch):
    def zeros(shape, *args):
        if np.prod(shape) > 10:
            raise MemoryError
        return allocate(shape, *args)

    allocate = np.zeros
    table = small(bag=["a", "a", "a", "b", "c", "d"], labels=["musk"] * 3 + ["", "musk", ""])
    file = write(table.assign(split=["train"] * 4 + ["test"] * 2), tmp_path / "x.csv")
    monkeypatch.setattr(np, "zeros", zeros)
    with pytest.raises(UserError, match=r"x\.csv: 2 bags .* the largest, 3 .* median is 2\)"):
        instances.load_clips(file, "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_bags_keep_their_instances_in_order_their_size_and_their_labels(drugs, built, split):
    store = read_store(built / "csv" / f"{split}.h5")
    mine = drugs[drugs["split"] == split]
    assert store.id.tolist() == sorted(mine["bag"].unique())
    assert store.class_names == ("musk", "sweet, ö")
    assert store.x.dtype == np.float32
    for bag_id, x, length, y in zip(store.id, store.x, store.length, store.y, strict=True):
        rows = mine[mine["bag"] == bag_id]
        assert length == len(rows)
        expected = rows.drop(columns=["bag", "labels", "split"]).to_numpy().astype(np.float32)
        np.testing.assert_array_equal(x[:length], expected)
        assert not x[length:].any()
        labels = rows["labels"].iloc[0].split(";")
        assert [name in labels for name in store.class_names] == y.tolist()
    bags = read_bags(built / "csv" / f"{split}.csv", store, "sweet, ö")[0]
    np.testing.assert_array_equal(bags.label, store.y[:, 1])
    np.testing.assert_array_equal(bags.mask.sum(1), store.length)


def test_features_are_normalised_as_in_the_training_split(drugs, built):
    train = drugs[drugs["split"] == "train"].drop(columns=["bag", "labels", "split"])
    for split in ("train", "test"):
        store = read_store(built / "h5" / f"{split}.h5")
        np.testing.assert_allclose(store.mean, train.mean(), rtol=1e-6)
        np.testing.assert_allclose(store.std, train.std(ddof=0), rtol=1e-4)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_read_in_small_pieces_gives_the_same(drugs, built, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(instances, "_PIECE", 166 * 90)
    monkeypatch.setattr(instances, "_BLOCK_BYTES", 200_000)
    instances._bags.cache_clear()
    build(str(built / f"drugs.{kind}"), tmp_path)
    assert (tmp_path / "train.h5").read_bytes() == (built / kind / "train.h5").read_bytes()


def test_numbers_may_be_ids_labels_flags_and_features(tmp_path):
    table = small(bag=[1, 1, 2, 3, 3, 4], labels=[1, 1, 0, 1, 1, 0], f0=[0, 1, 2, 3, 4, 5])
    table["f1"] = [True, False, True, True, False, True]
    stores = [
        build(write(table, tmp_path / f"t.{kind}"), tmp_path / kind) for kind in ("parquet", "h5")
    ]
    for store in stores:
        assert store["train"].id.tolist() == ["1", "2"]
        assert store["train"].class_names == ("0", "1")
        assert store["train"].x[0].tolist() == [[0, 1], [1, 0]]


def test_a_feature_that_is_always_the_same_is_no_division_by_zero(tmp_path):
    stores = build(write(small(f1=[0.1] * 5 + [7]), tmp_path / "t.csv"), tmp_path)
    assert stores["train"].std[1] == 1
    assert np.isfinite((stores["test"].x - stores["test"].mean) / stores["test"].std).all()


def test_without_a_column_a_quarter_of_the_bags_is_drawn_and_added_bags_move_none(tmp_path):
    ids = [f"bag {number}" for number in range(400)]
    table = pd.DataFrame({"bag": ids, "labels": "", "f0": 0.5})
    before = build(write(table[:300], tmp_path / "t.csv"), tmp_path / "before")
    assert 50 <= len(before["test"].id) <= 100
    after = build(write(table, tmp_path / "more.csv"), tmp_path / "after")
    for split in ("train", "test"):
        assert set(before[split].id) <= set(after[split].id)


def test_folds_are_splits(tmp_path):
    table = small(split=["1", "1", "2", "3", "3", "2"])
    stores = build(write(table, tmp_path / "folds.csv"), tmp_path, test_split="2")
    assert (stores["train"].id.tolist(), stores["test"].id.tolist()) == (["a", "c"], ["b", "d"])


@pytest.mark.parametrize("kind", FORMATS)
def test_bags_of_a_group_are_never_divided(tmp_path, kind):
    ids = [f"bag {number}" for number in range(200)]
    groups = [f"patient {number % 40}" if number < 180 else "" for number in range(200)]
    table = pd.DataFrame({"bag": ids, "labels": "", "group": groups, "f0": 0.5})
    stores = build(write(table, tmp_path / f"t.{kind}"), tmp_path)
    group_of = {bag: group or bag for bag, group in zip(ids, groups, strict=True)}
    for store in stores.values():
        assert store.x.shape[2] == 1
        assert store.group.tolist() == [group_of[bag] for bag in store.id]
    train, test = (set(stores[split].group) for split in ("train", "test"))
    assert train.isdisjoint(test)
    assert len(test) > 5
    manifest = pd.read_csv(tmp_path / "train.csv", dtype=str)
    assert manifest["group"].tolist() == stores["train"].group.tolist()


def test_a_label_said_twice_of_a_bag_counts_once(tmp_path):
    file = write(small(labels=["musk;musk"] * 2 + [""] + ["musk"] * 2 + [""]), tmp_path / "t.csv")
    assert instances.class_sizes(file, "test") == {"train": {"musk": 1}, "test": {"musk": 1}}


# ----------------------------------------------------------------------------- mistakes
def without(*columns):
    return lambda table: table.drop(columns=list(columns))


def with_values(**columns):
    return lambda table: table.assign(**columns)


MISTAKES = {
    "no column bag": (without("bag"), "has no column bag; it needs bag and labels"),
    "no column labels": (without("labels"), "has no column labels; it needs bag and labels"),
    "no features": (without("f0", "f1"), "has no features|must have the features"),
    "no rows": (lambda table: table[:0], "has no instances"),
    "NaN": (with_values(f1=[0, 0, 0, np.nan, 0, 0]), "(f1|x.:, 1.) of row 4, in the bag 'c', is"),
    "infinite": (with_values(f0=[0, 0, np.inf, 0, 0, 0]), "row 3, in the bag 'b', is missing or"),
    "too large": (with_values(f0=[0, 0, 1e40, 0, 0, 0]), "row 3, in the bag 'b', is missing or"),
    "bag in both splits": (
        with_values(split=["train", "test"] + ["train"] * 2 + ["test"] * 2),
        "the bag 'a' is in the splits 'train' and 'test'",
    ),
    "bag in two folds": (
        with_values(split=["1", "11", "test", "test", "2", "2"]),
        "the bag 'a' is in the splits '1' and '11'",
    ),
    "labels that differ": (
        with_values(labels=["musk", "", "", "", "", ""]),
        "the bag 'a' is labelled 'musk' and ''",
    ),
    "unknown split": (with_values(split="dev"), "'a' has the split 'dev', allowed are train"),
    "empty split": (with_values(split="train"), "no bag is in the split test"),
    "bag in two groups": (
        with_values(group=["x", "y", "", "", "", ""]),
        "the bag 'a' is in the groups 'x' and 'y'",
    ),
    "bag without a name": (with_values(bag=["a", "a", " ", "c", "c", "d"]), "row 3 has no bag"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_table_is_one_line_that_names_it(tmp_path, kind, mistake):
    change, words = MISTAKES[mistake]
    file = write(change(small()), tmp_path / f"mine.{kind}")
    with pytest.raises(UserError, match=rf"mine\.{kind}.* ?({words})") as caught:
        build(file, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "No such file"),
        ("none.h5", None, "No such file"),
        ("none.parquet", None, "No such file"),
        ("mine.xlsx", b"", "is not a file of instances: its name must end in one of"),
        ("mine.h5", b"bag,labels,f0\n", "cannot be read"),
        ("mine.parquet", b"bag,labels,f0\n", "cannot be read"),
        ("mine.csv", b"", "has no column bag"),
        ("mine.csv", b"bag,labels,f0\n\xff,a,1\n", "mine.csv"),
        ("mine.csv", b"bag,labels,f0\na,b,1\na,b\n", "Expected 3 columns, got 2"),
        (
            "mine.csv",
            b"bag,labels,split,f0\na,,train,1\nb,,test,two\n",
            "Row #3.*invalid value 'two'",
        ),
        ("mine.csv", b"bag,labels,f0,f0\na,b,1,1\n", "has two columns 'f0'"),
        ("mine.csv", b",bag,labels,f0\n0,a,b,1\n", "has a column without a name.*index=False"),
        ("mine.csv", b"bag,labels,Split,f0\na,b,1,1\n", "has a column 'Split': call it 'split'"),
        ("mine.csv", b"bag,labels, group,f0\na,b,1,1\n", "has a column ' group': call it 'group'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        build(str(tmp_path / name), tmp_path / "out")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hdf5_arrays_must_fit_each_other(tmp_path):
    write(small(), tmp_path / "mine.h5")
    with h5py.File(tmp_path / "mine.h5", "a") as file:
        del file["bag"]
        file["bag"] = ["a", "b"]
    with pytest.raises(UserError, match="bag must be an array of 6 values, one for each row of x"):
        build(str(tmp_path / "mine.h5"), tmp_path)


def test_text_is_no_feature_and_a_fraction_no_name(tmp_path):
    file = write(small(f0=list("abcdef")), tmp_path / "text.parquet")
    with pytest.raises(UserError, match=r"the column f0 holds .*string, but a feature is a number"):
        build(file, tmp_path)
    file = write(small(bag=[1.5, 1.5, 2, 3, 3, 4]), tmp_path / "fraction.parquet")
    with pytest.raises(UserError, match="bag holds double, but must hold text or whole numbers"):
        build(file, tmp_path)


def test_a_mark_of_spreadsheets_spaces_and_quotes_are_read(tmp_path):
    text = '\ufeffbag,labels,split,f0\n" a",musk ; "" ,train,1\nb,"""q"", r",test,2e0\n'
    (tmp_path / "mine.csv").write_text(text)
    stores = build(str(tmp_path / "mine.csv"), tmp_path)
    assert stores["train"].id.tolist() == ["a"]
    assert stores["train"].class_names == ('""', '"q", r', "musk")


# ----------------------------------------------------------------------------- studies
STUDY = """
title: Drugs
dataset: {name: instances, list: drugs.csv}
model: {name: mlp, pooling: attention}
training: {epochs: 15, batch_size: 16, validation_fraction: 0.2}
classes: [musk]
strategies: [random, badge]
seeds: 1
"""


def study_of(folder: Path, text: str):
    (folder / "mine.yaml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_study(folder / "mine.yaml")


@pytest.mark.parametrize("strategy", ["random", "badge"])
def test_a_trained_model_is_far_better_than_chance(built, tmp_path, strategy):
    study = study_of(built, STUDY)
    folder = built / "parquet"
    identity = {"study": "s", "class": "musk", "strategy": strategy, "fingerprint": "f"}
    run = RunSettings.model_validate(RunSettings.of(study, strategy).model_dump())
    train_run(folder / "train.h5", folder / "train.csv", tmp_path, run, identity, "cpu", 1)
    score_run(
        *(folder / "test.h5", folder / "test.csv", tmp_path / "model.pt", "musk"),
        tmp_path / "scores.parquet",
        ScoreSettings.model_validate(ScoreSettings.of(study).model_dump()),
        "cpu",
        1,
    )
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    store = read_store(folder / "test.h5")
    np.testing.assert_array_equal(scores["label"], store.y[:, 0])
    assert roc_auc_score(scores["label"], scores["score"]) > 0.85


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[musk]", "[musk, roar]", "classes.1.: 'roar' is not a class of instances"),
        (", list: drugs.csv", "", "dataset.list: is missing"),
        (
            "list: drugs.csv",
            "list: drugs.csv, folder: x",
            "dataset.folder: instances does not use it",
        ),
        (
            "name: mlp",
            "name: simple_cnn",
            "'simple_cnn' is not a model for the clips of instances.*Allowed: mlp",
        ),
        (
            "classes: [musk]",
            "classes: all\nbags: {bag_size: 3}",
            "bags: instances already consists of bags",
        ),
    ],
)
def test_a_mistake_in_the_study_is_named(built, tmp_path, old, new, words):
    (tmp_path / "drugs.csv").symlink_to(built / "drugs.csv")
    with pytest.raises(UserError, match=words):
        study_of(tmp_path, STUDY.replace(old, new))


def test_a_class_that_a_split_lacks_is_named(tmp_path):
    write(small(labels=["musk", "musk", "", "", "", ""]), tmp_path / "drugs.csv")
    words = r"too few bags of musk \(1 for training, 0 for testing\).*drugs\.csv"
    with pytest.raises(UserError, match=words):
        study_of(tmp_path, STUDY)


# ----------------------------------------------------------------------------- what is not listed
def three_valued(**columns) -> pd.DataFrame:
    """Four bags of each split: musk, known not to be, and two that nobody measured."""
    names = [f"{split}{n}" for split in ("train", "test") for n in range(4)]
    table = pd.DataFrame(
        {
            "bag": names,
            "labels": ["musk", "", "", "sweet"] * 2,
            "negatives": ["sweet", "musk", "", ""] * 2,
            "split": ["train"] * 4 + ["test"] * 4,
            "f0": np.arange(8.0),
        }
    )
    return table.assign(**columns)


@pytest.mark.parametrize("kind", FORMATS)
def test_bags_in_neither_column_are_unknown_if_the_study_says_so(tmp_path, kind):
    file = write(three_valued(), tmp_path / f"drugs.{kind}")
    stores = {
        unlisted: build(file, tmp_path / unlisted, unlisted=unlisted)
        for unlisted in ("negative", "unknown")
    }
    for split in ("train", "test"):
        known = stores["unknown"][split].y.tolist()
        assert known == [[1, 0], [0, UNKNOWN], [UNKNOWN, UNKNOWN], [UNKNOWN, 1]]
        assert stores["negative"][split].y.tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
        manifest = tmp_path / "unknown" / f"{split}.csv"
        bags = read_bags(manifest, stores["unknown"][split], "musk")[0]
        assert bags.label.tolist() == [1, 0, -1, -1]
    # Where everything else is negative, the column makes no difference to any byte.
    without = write(three_valued().drop(columns="negatives"), tmp_path / f"plain.{kind}")
    build(without, tmp_path / "plain")
    for name in ("train.h5", "test.h5", "train.csv", "test.csv"):
        assert (tmp_path / "plain" / name).read_bytes() == (
            tmp_path / "negative" / name
        ).read_bytes()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"negatives": ["musk", *[""] * 7]}, "in the bag 'train0': 'musk' is in labels and in neg"),
        ({"bag": [*"aabcdefg"], "labels": ""}, "the bag 'a' is known to lack 'sweet' and 'musk'"),
    ],
)
def test_negatives_that_contradict_are_named(tmp_path, rows, words):
    file = write(three_valued(**rows), tmp_path / "drugs.csv")
    with pytest.raises(UserError, match=words):
        instances.load_clips(file, "test")


def test_a_class_without_known_negatives_is_named(tmp_path):
    text = STUDY.replace("list: drugs.csv", "list: drugs.csv, unlisted: unknown")
    write(three_valued(negatives=["", "musk", *[""] * 6]), tmp_path / "drugs.csv")
    words = r"bags that are known not to hold musk \(1 for training, 0 for testing\)"
    with pytest.raises(UserError, match=words):
        study_of(tmp_path, text)
    write(three_valued(), tmp_path / "drugs.csv")
    for function in (instances._bags, instances._split_bags):
        function.cache_clear()
    assert study_of(tmp_path, text).classes == ["musk"]
