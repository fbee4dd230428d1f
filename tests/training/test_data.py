"""Bags on their way to a model: the same numbers, wherever they lie and however they come."""

import errno
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from by_position import train_run

from weakneg.bags.draw import Bags
from weakneg.bags.manifest import list_clips
from weakneg.config.stages import RunSettings
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store, read_store, write_store
from weakneg.models.scores import BagScores
from weakneg.training import data as data_module
from weakneg.training import rows as rows_module
from weakneg.training.data import BagData, score_bags
from weakneg.training.rows import StreamedRows
from weakneg.training.run import _digest_of

N, SHAPE, SAMPLES = 60, (24, 8), 320
CPU = torch.device("cpu")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
DEVICES = [CPU, pytest.param(torch.device("cuda"), marks=NO_GPU)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """train.h5, spectrograms and waveforms, and train.csv."""
    folder = tmp_path_factory.mktemp("spectrograms")
    rng = np.random.default_rng(0)
    y = (rng.random((N, 1)) < 0.4).astype(np.uint8)
    store = Store(
        x=(rng.normal(-4, 4, (N, *SHAPE)) + 3 * y[:, :, None]).astype(np.float16),
        id=np.array([f"clip {i}" for i in range(N)]),
        y=y,
        class_names=("Hum",),
        mean=np.array([-3.3]),
        std=np.array([4.7]),
        kind="spectrograms",
        parameters={"mel_bins": SHAPE[1]},
        length=np.full(N, SHAPE[0]),
        start=np.zeros(N),
        waveform=rng.integers(-32768, 32767, (N, SAMPLES), np.int16),
    )
    write_store(folder / "train.h5", store)
    list_clips(folder / "train.h5", folder / "train.csv")
    return folder


def bags_of(clips: np.ndarray) -> Bags:
    """Each of these rows of the store as a bag."""
    label = np.arange(len(clips)) % 2
    return Bags(clips, label.astype(np.int8), np.full(len(clips), np.nan), clips[:, None])


def batches_of(n: int, *sizes: int) -> list[torch.Tensor]:
    """Batches of random rows, some of them more than once."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(n, (size,), generator=generator) for size in sizes]


# ----------------------------------------------------------------------------- spectrograms
def test_a_state_of_training_belongs_to_the_padding_that_it_heard(folder, tmp_path):
    store, heard = read_store(folder / "train.h5"), set()
    for padding in ("masked", "heard"):
        parameters = dict(store.parameters) | {"padding": padding}
        write_store(tmp_path / "train.h5", replace(store, parameters=parameters))
        with open_store(tmp_path / "train.h5") as features:
            heard.add(_digest_of(features))
    assert len(heard) == 2


@pytest.mark.parametrize("padding", ["masked", "heard", None])
@pytest.mark.parametrize("shorter", [0, 7])
def test_the_padding_of_spectrograms_is_masked_where_the_study_says_so(folder, padding, shorter):
    """And where there is any; stores of older versions do not say."""
    store = read_store(folder / "train.h5")
    store = replace(store, length=store.length - shorter * (np.arange(N) % 2))
    if padding:
        store = replace(store, parameters=dict(store.parameters) | {"padding": padding})
    data = BagData(store, bags_of(np.arange(N)), CPU)
    _, sound = data.input(torch.tensor([4, 5]))
    if padding == "masked" and shorter:
        assert sound.sum(1).tolist() == [24, 17]
        assert sound[1].tolist() == [True] * 17 + [False] * 7
    else:
        assert sound is None


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("resident_bytes", [None, 0], ids=["resident", "streamed"])
def test_spectrograms_and_waveforms_come_as_stored(folder, device, resident_bytes, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 7 * 2 * np.prod(SHAPE))
    clips = np.array([3, 4, 5, 40, 41, 0, 59, *range(10, 30)])  # in a manifest's own order
    with open_store(folder / "train.h5") as store:
        data = BagData(store, bags_of(clips), device, resident_bytes)
        batches = batches_of(len(clips), 8, 8, 1, 20, 0, 8, 8, 3)
        inputs, waveforms = list(data.inputs(batches)), list(data.waveforms(batches))
        normalised = [data.input(data.rows(batch.numpy())) for batch in batches]
    stored = read_store(folder / "train.h5", waveforms=True)
    assert len(inputs) == len(waveforms) == len(batches)
    assert (data.instance_shape, data.audio) == (SHAPE, {"mel_bins": 8})
    for batch, (x, mask), waveform, same in zip(
        batches, inputs, waveforms, normalised, strict=True
    ):
        rows = clips[batch.numpy()]
        assert (mask, same[1]) == (None, None)
        assert x.device == waveform.device == data.label.device
        np.testing.assert_array_equal(x.cpu().numpy(), stored.x[rows][:, None], strict=True)
        np.testing.assert_array_equal(waveform.cpu().numpy(), stored.waveform[rows], strict=True)
        expected = (stored.x[rows].astype(float) + 3.3) / 4.7
        assert same[0].dtype == torch.float32
        np.testing.assert_allclose(same[0].cpu()[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_a_run_is_the_same_whether_its_data_are_resident_or_streamed(folder, tmp_path, monkeypatch):
    settings = {
        "model": {"name": "cnn"},
        "sampling": {"negatives_per_positive": 1.0},
        "training": {"epochs": 2, "validation_fraction": 0.3, "batch_size": 8},
        "strategy": "badge",
        "options": {},
        "seeds": [0],
        "draw_per_seed": False,
    }
    settings = RunSettings.model_validate(settings)
    identity = {"study": "s", "class": "Hum", "strategy": "badge", "fingerprint": "f"}
    files = (folder / "train.h5", folder / "train.csv")
    train_run(*files, tmp_path / "resident", settings, identity, "cpu", 1)

    streamed = []

    def stream(data, rows, device, resident_bytes):
        streamed.append(len(rows))
        return StreamedRows(data, rows, device)

    monkeypatch.setattr(data_module, "load_rows", stream)
    train_run(*files, tmp_path / "streamed", settings, identity, "cpu", 1)
    assert streamed == [N]
    for name in ("model.pt", "history.parquet", "selection.h5"):
        resident = (tmp_path / "resident" / name).read_bytes()
        assert (tmp_path / "streamed" / name).read_bytes() == resident, name


def test_loading_needs_no_memory_besides_that_of_the_data(folder, tmp_path):
    store = read_store(folder / "train.h5")
    x = np.zeros((N, 1024, 128), np.float16)  # 16 MB, in PyTorch's memory and not Python's
    write_store(tmp_path / "large.h5", replace(store, x=x))
    with open_store(tmp_path / "large.h5") as large:
        tracemalloc.start()
        data = BagData(large, bags_of(np.arange(N)), CPU)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert data.input(torch.arange(2))[0].shape == (2, 1, 1024, 128)
    assert peak < x.nbytes / 10


def test_streaming_says_why_it_is_slow(folder, capsys):
    with open_store(folder / "train.h5") as store:
        BagData(store, bags_of(np.arange(N)), CPU)
        assert capsys.readouterr().err == ""
        BagData(store, bags_of(np.arange(N)), CPU, N * 2 * int(np.prod(SHAPE)) - 1)
        assert "do not fit on cpu" in capsys.readouterr().err


def test_a_store_that_cannot_be_read_any_more_is_named(folder, monkeypatch):
    def fail(*args):
        raise OSError(errno.ESTALE, "Stale file handle")

    with open_store(folder / "train.h5") as store:
        streamed = BagData(store, bags_of(np.arange(N)), CPU, 0)
        monkeypatch.setattr(h5py.Dataset, "read_direct", fail)
        for read in (
            lambda: BagData(store, bags_of(np.arange(N)), CPU),
            lambda: list(streamed.inputs(batches_of(N, 4, 4))),
        ):
            with pytest.raises(UserError, match=r"train\.h5 cannot be read .*Stale"):
                read()


def test_without_waveforms_the_key_is_named_that_keeps_them(folder):
    data = BagData(read_store(folder / "train.h5"), bags_of(np.arange(N)), CPU)
    with pytest.raises(UserError, match="audio: waveform: true"):
        data.waveforms([torch.arange(2)])


# ----------------------------------------------------------------------------- others
@pytest.mark.parametrize(("kind", "shape"), [("images", (3, 4, 4)), ("clips", (2, 5))])
def test_images_and_vectors_are_those_of_the_store_to_the_last_bit(kind, shape, monkeypatch):
    monkeypatch.setattr(data_module, "BLOCK_BYTES", 7 * int(np.prod(shape)))
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (40, *shape), np.uint8)
    channels = shape[0] if kind == "images" else shape[1]
    mean, std = rng.uniform(50, 99, channels), rng.uniform(9, 60, channels)
    store = Store(x, np.arange(40), np.zeros((40, 0)), (), mean, std, kind, {})
    x_of_store = x.reshape(-1, *x.shape[2:]) if kind == "clips" else x
    instances = rng.permutation(40)[:36].reshape(12, 3)
    instances[4, 2] = -1
    bags = replace(bags_of(np.arange(12)), instances=instances)
    data = BagData(store, bags, CPU)
    assert data.audio is None
    batches = batches_of(12, 5, 7, 1)
    as_float = torch.from_numpy(mean).float(), torch.from_numpy(std).float()
    if kind == "images":
        as_float = [each[:, None, None] for each in as_float]
    for batch, (x, mask) in zip(batches, data.inputs(batches), strict=True):
        of_batch = instances[batch.numpy()]
        raw = torch.from_numpy(x_of_store[of_batch])
        expected = raw.float().sub(as_float[0]).div(as_float[1])
        np.testing.assert_array_equal(data.normalise(x), expected, strict=True)
        np.testing.assert_array_equal(data.input(batch)[0], expected, strict=True)
        np.testing.assert_array_equal(mask, of_batch >= 0)


def bags_of_sizes(sizes: np.ndarray, n_features: int) -> tuple[Store, Bags]:
    """Clips of these many frames, each a bag."""
    x = np.zeros((len(sizes), sizes.max(), n_features), np.float32)  # no memory before it is used
    numbers = np.arange(sizes.max()) + sizes.max() * np.arange(len(sizes))[:, None]
    instances = np.where(np.arange(sizes.max()) < sizes[:, None], numbers, -1)
    one = np.ones(n_features)
    store = Store(x, np.arange(len(x)), np.zeros((len(x), 0)), (), one, one, "clips", {})
    return store, replace(bags_of(np.arange(len(x))), instances=instances)


def test_one_huge_bag_does_not_make_all_bags_huge():
    store, bags = bags_of_sizes(np.array([*[2] * 300, 5_000, 3]), 100)
    tracemalloc.start()
    data = BagData(store, bags, CPU)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.input(torch.tensor([0, 300]))[0].shape == (2, 5_000, 100)
    assert peak < store.x.nbytes / 5


def test_a_batch_larger_than_the_memory_is_one_sentence_and_scoring_takes_fewer(monkeypatch):
    store, bags = bags_of_sizes(np.array([*[2] * 8, 1000]), 3)
    data = BagData(store, bags, CPU)
    memory = SimpleNamespace(available=3 * 1000 * 3 * 4)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    with pytest.raises(UserError, match=r"^4 bags .* largest, 1000 .* median is 2\).*batch_size"):
        list(data.inputs([torch.arange(4)]))
    assert len(score_bags(Small(9), data, torch.arange(9), 4).logits) == 9
    assert data.score_batch_limit == 2


# ----------------------------------------------------------------------------- memory of a card
class Small(torch.nn.Module):
    """Scores bags by their sum; as if on a card with the memory for so many bags."""

    def __init__(self, room: int):
        super().__init__()
        self.room, self.sizes = room, []

    def score(self, x, mask, gradients):
        self.sizes.append(len(x))
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        x = x.flatten(1)
        return BagScores(x.sum(1), x[:, :3], x[:, 3:] if gradients else None)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("room", [1, 3, 20])
def test_out_of_memory_halves_the_batch_for_good_and_changes_no_score(
    folder, gradients, room, capsys
):
    data = BagData(read_store(folder / "train.h5"), bags_of(np.arange(N)), CPU)
    rows = torch.arange(N).flip(0)
    plain = score_bags(Small(N), data, rows, 16, gradients=gradients)
    assert capsys.readouterr().err == ""
    model = Small(room)
    scores = score_bags(model, data, rows, 16, gradients=gradients)
    for name in ("logits", "embeddings", "gradient_directions"):
        of_plain, of_small = getattr(plain, name), getattr(scores, name)
        assert (of_plain is None) == (of_small is None)
        assert of_plain is None or torch.equal(of_plain, of_small)
    fits, halved = {1: (1, 4), 3: (2, 3), 20: (16, 0)}[room]
    assert capsys.readouterr().err.count("score_batch_size") == halved
    model.sizes.clear()
    score_bags(model, data, rows, 16, gradients=gradients)
    assert max(model.sizes) == fits


def test_a_card_too_small_for_one_bag_is_one_sentence(folder):
    data = BagData(read_store(folder / "train.h5"), bags_of(np.arange(N)), CPU)
    with pytest.raises(
        UserError, match=r"^not enough memory on cpu to score a single bag: run fewer"
    ):
        score_bags(Small(0), data, torch.arange(N), 16)
