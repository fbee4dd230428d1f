"""What CIFAR-10 and CIFAR-100 share: how their files are fetched, checked and read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The files are
Python 2 pickles, and unpickling can run any code. So a file is read only if its md5 is the
published one, and then by an unpickler that accepts nothing but arrays and plain values.
"""

import io
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weakneg.datasets import Folder, Images
from weakneg.datasets.local_copy import find_local_copy, how_to_name_one, md5_of, read_checked
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole

IMAGE_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Cifar:
    """A published CIFAR archive.

    Attributes
    ----------
    name : str
        Name of the data set in this project.
    url, archive_md5 : str
        Address and md5 of the tar.gz.
    folder : str
        Folder inside the archive that holds the batch files.
    train, test : mapping of str to str
        Batch file -> published md5, in the order of the images.
    label_key : str
        Entry of a batch that holds the class numbers.
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
        """Paths of the batch files, relative to the folder of the data set."""
        return tuple(f"{self.folder}/{file}" for file in (*self.train, *self.test))

    def fetch(self, folder: Folder, local_copy: Folder | None = None) -> None:
        """Put the batch files into a folder, each checked by its md5.

        Parameters
        ----------
        folder : path
            Where to put them. Intact files that it already has are kept. A downloaded archive stays
            there, so that it is downloaded only once.
        local_copy : path, optional
            A folder that has the batch files, or its parent. By default they come from the folder
            that WEAKNEG_DATA names, if it has them, and are downloaded otherwise.

        Raises
        ------
        UserError
            When the local copy does not exist, a file is missing or is not the published one, or
            the download fails.
        """
        folder = Path(folder)
        published = {**self.train, **self.test}
        if all(md5_of(folder / self.folder / file) == published[file] for file in published):
            return
        source = find_local_copy(self.name, self.folder, published, local_copy)
        name_one = how_to_name_one(self.name, self.folder)
        if source is None:
            self._download(folder, instead=f"run again, or {name_one}")
            return
        for file in published:
            content = read_checked(source / file, published[file], f"replace it, or {name_one}")
            with replace_when_whole(folder / self.folder / file) as temporary:
                temporary.write_bytes(content)

    def load(self, split: str, folder: Folder) -> Images:
        """Load the images of a split.

        Parameters
        ----------
        split : {"train", "test"}
            Which split.
        folder : path
            The folder that `fetch` put the files into.

        Returns
        -------
        Images
            In the order of the batch files.

        Raises
        ------
        UserError
            When a file is missing or is not the published one.
        """
        x, labels = [], []
        for file, md5 in {"train": self.train, "test": self.test}[split].items():
            path = Path(folder) / self.folder / file
            content = read_checked(path, md5, "delete it, so that the next run fetches it again")
            batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
            x.append(batch["data"].reshape(-1, *IMAGE_SHAPE))
            labels.append(np.asarray(batch[self.label_key], dtype=np.int64))
        y = np.concatenate(labels)
        return Images(x=np.concatenate(x), y=y, id=np.arange(len(y), dtype=np.int64))

    def _download(self, folder: Path, instead: str) -> None:
        archive = folder / self.url.rsplit("/", 1)[-1]
        if md5_of(archive) != self.archive_md5:
            download(self.url, archive, md5=self.archive_md5, instead=instead)
        with tarfile.open(archive) as tar:
            for member in tar:  # one pass: a compressed archive cannot be searched
                if member.name in self.files:
                    file = tar.extractfile(member)
                    assert file is not None  # the md5 says that it is the published archive
                    with replace_when_whole(folder / member.name) as temporary:
                        temporary.write_bytes(file.read())


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, strings, numbers and numpy arrays; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.array(0).__reduce__()[0]  # numpy's function, wherever it is today
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            # Python 2 wrote the flags as 0 and 1; today's numpy warns about those.
            return lambda dtype, align, copy: np.dtype(dtype, align=bool(align), copy=bool(copy))
        raise pickle.UnpicklingError(f"a CIFAR file must not use {module}.{name}")
