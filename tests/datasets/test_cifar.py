"""The data sets: what arrives is what was published, or one clear line says why not."""

import hashlib
import http.server
import io
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from workspace import ROOT

from weakneg import datasets
from weakneg.config.classes import class_slug
from weakneg.datasets import Dataset, cifar10, cifar100, digits
from weakneg.datasets.cifar import Cifar
from weakneg.datasets.local_copy import check_named
from weakneg.errors import UserError
from weakneg.io import download

DATA = Path(os.environ.get("WEAKNEG_DATA", os.devnull))

needs_cifar10 = pytest.mark.skipif(
    not (DATA / "cifar-10-batches-py").is_dir(),
    reason="needs the real CIFAR-10: name the folder of cifar-10-batches-py in WEAKNEG_DATA",
)


@pytest.fixture(autouse=True)
def no_shared_data(monkeypatch):
    """A test sees no local copy but the one it makes, and does not wait between downloads."""
    monkeypatch.delenv("WEAKNEG_DATA", raising=False)
    monkeypatch.setattr(download, "_RETRY_SECONDS", (0,))


# A made-up data set in CIFAR's layout: two training batches of 4 images and a test batch of 3.


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as in the published files."""

    def save_python2_string(self, content: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch = pickle._Pickler.dispatch | {bytes: save_python2_string}


def _pickled(entries: dict) -> bytes:
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(entries)
    return buffer.getvalue().replace(b"numpy._core.", b"numpy.core.")  # the path of that time


def _entries(n: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        "labels": rng.integers(0, 10, n).tolist(),
    }


ENTRIES = {"batch_1": _entries(4, 1), "batch_2": _entries(4, 2), "test_batch": _entries(3, 3)}
BATCHES = {name: _pickled(entries) for name, entries in ENTRIES.items()}


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in reversed(BATCHES.items()):
            member = tarfile.TarInfo(f"tiny-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = _archive()

TINY = Cifar(
    name="tiny",
    url="http://127.0.0.1:9/tiny-python.tar.gz",
    archive_md5=_md5(ARCHIVE),
    folder="tiny-batches-py",
    train={name: _md5(BATCHES[name]) for name in ("batch_1", "batch_2")},
    test={"test_batch": _md5(BATCHES["test_batch"])},
    label_key="labels",
)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A sound local copy of the made-up data set."""
    folder = tmp_path / "copies" / TINY.folder
    folder.mkdir(parents=True)
    for name, content in BATCHES.items():
        (folder / name).write_bytes(content)
    return folder


def _assert_tiny_is_whole(folder: Path) -> None:
    for name, content in BATCHES.items():
        assert (folder / TINY.folder / name).read_bytes() == content
    for split, names in (("train", ("batch_1", "batch_2")), ("test", ("test_batch",))):
        images = TINY.load(split, folder)
        pixels = np.vstack([ENTRIES[name]["data"] for name in names])
        assert np.array_equal(images.x, pixels.reshape(-1, 3, 32, 32))
        assert images.y.tolist() == [y for name in names for y in ENTRIES[name]["labels"]]


def _one_sentence(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# ---- every data set ----------------------------------------------------------------------------


def test_a_data_set_is_found_by_its_file():
    assert datasets.names() == [
        *("audioset", "audioset_vggish", "cifar10", "cifar100", "digits", "instances"),
        *("recordings", "soundscapes"),
    ]


# All but a person's own, whose classes are those of a list.
PUBLISHED = [name for name in datasets.names() if isinstance(datasets.load(name), Dataset)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_classes_have_distinct_folder_names(name):
    folders = [class_slug(class_name) for class_name in datasets.load(name).class_names]
    assert len(set(folders)) == len(folders)
    assert all(re.fullmatch("[a-z0-9_]+", folder) for folder in folders)


def test_looking_up_classes_loads_no_heavy_library():
    code = (
        "import sys; from weakneg import datasets; "
        f"[datasets.load(name).class_names for name in {PUBLISHED}]; "
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'pandas') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == "[]"


# ---- digits ------------------------------------------------------------------------------------


def test_digits_splits_share_no_image_and_lose_none():
    train, test = digits.load_images("train"), digits.load_images("test")
    assert sorted([*train.id, *test.id]) == list(range(1797))
    assert (len(train.x), len(test.x)) == (1198, 599)
    share = np.bincount(test.y) / (np.bincount(train.y) + np.bincount(test.y))
    assert np.allclose(share, 1 / 3, atol=0.01)  # stratified


def test_digits_are_the_images_of_scikit_learn_as_they_are():
    from sklearn.datasets import load_digits

    original = load_digits()
    test = digits.load_images("test")
    assert test.x.dtype == np.uint8
    assert np.array_equal(test.x[:, 0], original.images[test.id])
    assert np.array_equal(test.y, original.target[test.id])


# ---- local copies ------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [Path(), Path("..")], ids=["the folder", "its parent"])
def test_a_named_local_copy_is_copied(copy, tmp_path, named):
    TINY.fetch(tmp_path / "resources", copy / named)
    _assert_tiny_is_whole(tmp_path / "resources")


def test_the_environment_variable_names_a_local_copy(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("WEAKNEG_DATA", str(copy.parent))
    TINY.fetch(tmp_path / "resources")
    _assert_tiny_is_whole(tmp_path / "resources")


def test_a_copy_from_a_read_only_folder_can_be_replaced_and_deleted(copy, tmp_path):
    for path in copy.iterdir():
        path.chmod(0o444)
    TINY.fetch(tmp_path / "resources", copy)
    assert all(os.stat(tmp_path / "resources" / file).st_mode & 0o200 for file in TINY.files)


def test_sound_files_are_kept_without_any_source(copy, tmp_path):
    TINY.fetch(tmp_path / "resources", copy)
    TINY.fetch(tmp_path / "resources")  # nothing listens at TINY.url
    _assert_tiny_is_whole(tmp_path / "resources")


def test_a_local_copy_that_is_not_there_is_refused_with_the_key_to_change(tmp_path):
    with pytest.raises(UserError) as error:
        TINY.fetch(tmp_path / "resources", tmp_path / "nowhere")
    message = _one_sentence(error)
    assert str(tmp_path / "nowhere") in message
    assert "tiny-batches-py" in message
    assert "data: {tiny" in message


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _flip])
def test_a_damaged_file_is_refused_with_both_checksums(copy, tmp_path, damage):
    damage(copy / "batch_2")
    with pytest.raises(UserError) as error:
        TINY.fetch(tmp_path / "resources", copy)
    message = _one_sentence(error)
    assert str(copy / "batch_2") in message
    assert TINY.train["batch_2"] in message
    assert _md5((copy / "batch_2").read_bytes()) in message
    assert not (tmp_path / "resources" / TINY.folder / "batch_2").exists()


def test_a_missing_file_is_refused_by_name(copy, tmp_path):
    (copy / "test_batch").unlink()
    with pytest.raises(UserError) as error:
        TINY.fetch(tmp_path / "resources", copy)
    message = _one_sentence(error)
    assert str(copy / "test_batch") in message
    assert "WEAKNEG_DATA" in message


class _Marker:
    """Unpickling one touches the file that it names: a harmless stand-in for hostile code."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_file_is_not_unpickled_before_its_checksum_is_right(copy, tmp_path):
    resources = tmp_path / "resources"
    TINY.fetch(resources, copy)
    marker = tmp_path / "ran"
    (resources / TINY.folder / "batch_1").write_bytes(pickle.dumps(_Marker(marker)))
    with pytest.raises(UserError, match="batch_1 is not the published file"):
        TINY.load("train", resources)
    assert not marker.exists()


def test_even_a_file_of_the_right_checksum_runs_no_code(tmp_path):
    marker = tmp_path / "ran"
    hostile = pickle.dumps(_Marker(marker))
    path = tmp_path / TINY.folder / "batch_1"
    path.parent.mkdir()
    path.write_bytes(hostile)
    with pytest.raises(pickle.UnpicklingError):
        replace(TINY, train={"batch_1": _md5(hostile)}).load("train", tmp_path)
    assert not marker.exists()


def test_a_named_folder_that_is_none_is_refused_before_any_download(tmp_path, monkeypatch):
    check_named({"cifar10": None, "cifar100": str(tmp_path)})
    with pytest.raises(UserError, match=r"^data: \{cifar10: \.\.\.\} names .*/nope, which is not"):
        check_named({"cifar10": f"{tmp_path}/nope"})
    monkeypatch.setenv("WEAKNEG_DATA", f"{tmp_path}/nope")
    with pytest.raises(UserError, match=r"^WEAKNEG_DATA names .*/nope, which is not a folder\.$"):
        check_named({"cifar10": None})


# ---- downloads, from a server on this machine --------------------------------------------------


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves `body` and says that it has `length` bytes; 404 when there is no body."""

    def __init__(self, *request, body, length):
        self.body, self.length = body, length
        super().__init__(*request)

    def do_GET(self):
        if self.body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.length))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Start a server for `body`; returns the made-up data set with its address."""
    servers = []

    def start(body: bytes | None, length: int | None = None) -> Cifar:
        handler = partial(_Server, body=body, length=length or len(body or b""))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return replace(TINY, url=f"http://127.0.0.1:{server.server_port}/tiny-python.tar.gz")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _assert_nothing_was_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []


def test_a_download_is_unpacked_and_happens_once(serve, tmp_path):
    serve(ARCHIVE).fetch(tmp_path)
    _assert_tiny_is_whole(tmp_path)
    (tmp_path / TINY.folder / "batch_1").unlink()
    TINY.fetch(tmp_path)  # nothing listens at TINY.url: from the archive that was kept
    _assert_tiny_is_whole(tmp_path)


def test_a_download_cut_short_is_refused(serve, tmp_path):
    half = len(ARCHIVE) // 2
    with pytest.raises(UserError) as error:
        serve(ARCHIVE[:half], length=len(ARCHIVE)).fetch(tmp_path)
    message = _one_sentence(error)
    assert f"{half} of {len(ARCHIVE)} bytes" in message
    assert "run again" in message
    assert not (tmp_path / "tiny-python.tar.gz").exists()


def test_a_download_of_something_else_is_refused(serve, tmp_path):
    page = b"<html>please log in</html>"
    with pytest.raises(UserError) as error:
        serve(page).fetch(tmp_path)
    assert _md5(page) in _one_sentence(error)
    _assert_nothing_was_left(tmp_path)


def test_a_failed_download_says_how_to_do_without(serve, tmp_path):
    with pytest.raises(UserError) as error:
        serve(None).fetch(tmp_path)
    message = _one_sentence(error)
    assert "Not Found" in message
    assert "data: {tiny: ...}" in message
    assert "WEAKNEG_DATA" in message
    _assert_nothing_was_left(tmp_path)


def test_a_machine_without_network_is_told_to_name_a_local_copy(tmp_path):
    with socket.socket() as reserved:  # bound and not listening: a connection is refused
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/tiny-python.tar.gz"
        with pytest.raises(UserError, match=r"could not be downloaded.*data: \{tiny: \.\.\.\}"):
            replace(TINY, url=url).fetch(tmp_path)


# ---- the published sets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"), [(cifar10, "CIFAR10"), (cifar100, "CIFAR100")], ids=["10", "100"]
)
def test_addresses_and_checksums_are_those_of_torchvision(ours, theirs):
    import torchvision.datasets

    published, theirs = ours._PUBLISHED, getattr(torchvision.datasets, theirs)
    assert published.url == theirs.url
    assert published.archive_md5 == theirs.tgz_md5
    assert published.folder == theirs.base_folder
    assert list(published.train.items()) == [tuple(pair) for pair in theirs.train_list]
    assert list(published.test.items()) == [tuple(pair) for pair in theirs.test_list]


def test_cifar100_has_100_classes_in_alphabetical_order():
    assert len(cifar100.CLASSES) == 100
    assert list(cifar100.CLASSES) == sorted(cifar100.CLASSES)


@needs_cifar10
def test_the_real_cifar10_is_read_as_torchvision_reads_it(tmp_path):
    import torchvision.datasets

    cifar10.DATASET.fetch(tmp_path, DATA)
    assert all((tmp_path / file).is_file() for file in cifar10.DATASET.files)
    for split, n in (("train", 50_000), ("test", 10_000)):
        images = cifar10.DATASET.load_images(split, tmp_path)
        theirs = torchvision.datasets.CIFAR10(DATA, train=split == "train")
        assert images.x.shape == (n, 3, 32, 32)
        assert np.array_equal(images.x, theirs.data.transpose(0, 3, 1, 2))
        assert np.array_equal(images.y, theirs.targets)
        assert list(cifar10.CLASSES) == theirs.classes
        assert np.bincount(images.y).tolist() == [n // 10] * 10
