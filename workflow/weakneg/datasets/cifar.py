"""What CIFAR-10 and CIFAR-100 share: where they come from, how they are checked and read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The files are
Python 2 pickles, and a pickle can run any code when it is read: a file is read only after its md5
was found to be the published one, and then by an unpickler that knows arrays and nothing else.
"""

import hashlib
import io
import os
import pickle
import socket
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from weakneg.datasets import Images
from weakneg.errors import UserError
from weakneg.files import replace_when_whole

IMAGE_SHAPE = (3, 32, 32)

DATA_VARIABLE = "WEAKNEG_DATA"
"""Environment variable: a folder of local copies, one folder per data set as published."""

_STALLED_SECONDS = 60


@dataclass(frozen=True)
class Cifar:
    """A published CIFAR archive.

    name : name of the data set in this project
    url, archive_md5 : of the tar.gz
    folder : folder inside the archive that holds the batch files
    train, test : batch file -> published md5, in the order of the images
    label_key : entry of a batch that holds the class numbers
    """

    name: str
    url: str
    archive_md5: str
    folder: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    label_key: str

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the batch files, relative to the data set's folder."""
        return tuple(f"{self.folder}/{file}" for file in (*self.train, *self.test))

    def fetch(self, folder: str | os.PathLike, local_copy: str | os.PathLike | None = None) -> None:
        """Put the batch files into `folder`, each checked by its md5.

        They are copied from `local_copy` (the folder of the batch files, or its parent) if given,
        else from the folder that WEAKNEG_DATA names if they are there, else downloaded. Sound files
        that `folder` already has are kept. A downloaded archive stays in `folder`, so that it is
        downloaded once.

        Raises UserError when the local copy is not there, a file is missing or is not the published
        one, or the download fails.
        """
        folder = Path(folder)
        published = self.train | self.test
        if all(_md5_of(folder / self.folder / file) == published[file] for file in published):
            return
        source = self._find_local_copy(local_copy)
        if source is None:
            self._download(folder)
            return
        for file in published:
            content = self._read(
                source / file,
                published[file],
                f"replace it, or name a sound copy of {self.folder} with {self._keys()}",
            )
            with replace_when_whole(folder / self.folder / file) as temporary:
                temporary.write_bytes(content)

    def load(self, split: str, folder: str | os.PathLike) -> Images:
        """Images of `split`, "train" or "test", from the files that `fetch` put into `folder`.

        Raises UserError when a file is missing or is not the published one.
        """
        x, y = [], []
        for file, md5 in {"train": self.train, "test": self.test}[split].items():
            path = Path(folder) / self.folder / file
            content = self._read(path, md5, "delete it, so that the next run fetches it again")
            batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
            x.append(batch["data"].reshape(-1, *IMAGE_SHAPE))
            y.append(np.asarray(batch[self.label_key], dtype=np.int64))
        y = np.concatenate(y)
        return Images(x=np.concatenate(x), y=y, id=np.arange(len(y), dtype=np.int64))

    def _keys(self) -> str:
        return f"the key data: {{{self.name}: ...}} or the environment variable {DATA_VARIABLE}"

    def _find_local_copy(self, named: str | os.PathLike | None) -> Path | None:
        if named is not None:
            for candidate in (Path(named) / self.folder, Path(named)):
                if any((candidate / file).is_file() for file in self.train | self.test):
                    return candidate
            raise UserError(
                f"data: {{{self.name}: {named}}} has none of the files of {self.folder}: name that "
                "folder or its parent, or remove the key so that they are downloaded."
            )
        # The variable serves all data sets, so a folder without this one is no mistake.
        shared = Path(os.environ.get(DATA_VARIABLE) or os.devnull) / self.folder
        return shared if shared.is_dir() else None

    def _read(self, path: Path, md5: str, what_to_do: str) -> bytes:
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{path} cannot be read ({reason}): {what_to_do}.") from error
        found = hashlib.md5(content).hexdigest()
        if found != md5:
            raise UserError(
                f"{path} is not the published file (md5 expected {md5}, found {found}): "
                f"{what_to_do}."
            )
        return content

    def _download(self, folder: Path) -> None:
        archive = folder / self.url.rsplit("/", 1)[-1]
        if _md5_of(archive) != self.archive_md5:
            with replace_when_whole(archive) as temporary:
                self._download_archive(temporary)
        with tarfile.open(archive) as tar:
            for member in tar:  # one pass: a compressed archive cannot be searched
                if member.name in self.files:
                    with replace_when_whole(folder / member.name) as temporary:
                        temporary.write_bytes(tar.extractfile(member).read())

    def _download_archive(self, path: Path) -> None:
        from torchvision.datasets.utils import download_url

        otherwise = f"run again, or name a local copy of {self.folder} with {self._keys()}"
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_STALLED_SECONDS)  # a silent server would hold the job for ever
        try:
            download_url(self.url, path.parent, path.name)
        except (OSError, HTTPException) as error:  # OSError: also urllib's errors and a timeout
            reason = getattr(error, "reason", error)
            raise UserError(
                f"{self.name} could not be downloaded from {self.url} ({reason}): {otherwise}."
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)
        self._read(path, self.archive_md5, otherwise)


def _md5_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, strings, numbers and numpy arrays; refuses everything else."""

    def find_class(self, module: str, name: str):
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.array(0).__reduce__()[0]  # numpy's own, under whatever path it has today
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            # Python 2 wrote the flags as 0 and 1; today's numpy warns about those.
            return lambda dtype, align, copy: np.dtype(dtype, align=bool(align), copy=bool(copy))
        raise pickle.UnpicklingError(f"a CIFAR file has no business with {module}.{name}")
