"""What CIFAR-10 and CIFAR-100 share: where they come from, how they are checked and read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The files are
Python 2 pickles, and a pickle can run any code when it is read: a file is read only after its md5
was found to be the published one, and then by an unpickler that knows arrays and nothing else.
"""

import io
import os
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weakneg.datasets import Images
from weakneg.datasets.local_copy import find_local_copy, how_to_name_one, md5_of, read_checked
from weakneg.io.download import download
from weakneg.io.files import replace_when_whole

IMAGE_SHAPE = (3, 32, 32)


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

    def load(self, split: str, folder: str | os.PathLike) -> Images:
        """Images of `split`, "train" or "test", from the files that `fetch` put into `folder`.

        Raises UserError when a file is missing or is not the published one.
        """
        x, y = [], []
        for file, md5 in {"train": self.train, "test": self.test}[split].items():
            path = Path(folder) / self.folder / file
            content = read_checked(path, md5, "delete it, so that the next run fetches it again")
            batch = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
            x.append(batch["data"].reshape(-1, *IMAGE_SHAPE))
            y.append(np.asarray(batch[self.label_key], dtype=np.int64))
        y = np.concatenate(y)
        return Images(x=np.concatenate(x), y=y, id=np.arange(len(y), dtype=np.int64))

    def _download(self, folder: Path, instead: str) -> None:
        archive = folder / self.url.rsplit("/", 1)[-1]
        if md5_of(archive) != self.archive_md5:
            download(self.url, archive, md5=self.archive_md5, instead=instead)
        with tarfile.open(archive) as tar:
            for member in tar:  # one pass: a compressed archive cannot be searched
                if member.name in self.files:
                    with replace_when_whole(folder / member.name) as temporary:
                        temporary.write_bytes(tar.extractfile(member).read())


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
