"""Background noise on the device, ready to be added to clips."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from weakneg.io.hdf5 import content_digest, open_file
from weakneg.training.rows import ResidentRows, StreamedRows, load_rows


@dataclass(frozen=True)
class Noise:
    """Clips of noise.

    Attributes
    ----------
    waveforms : ResidentRows or StreamedRows
        Rows (n, S) int16, padded with zeros; 32767 is full scale.
    length : (n,) int64
        How many samples of each are sound, on the CPU.
    digest : str
        Hash of the waveforms.
    """

    waveforms: ResidentRows | StreamedRows
    length: Tensor
    digest: str


@contextmanager
def open_noise(path: Path, device: torch.device) -> Iterator[Noise]:
    """Open a shard of noise, see `weakneg.audio.noise`, as a context manager.

    Parameters
    ----------
    path : Path
        The shard.
    device : torch.device
        Where the noise is needed.

    Yields
    ------
    Noise

    Raises
    ------
    UserError
        When the file cannot be read.
    """
    with open_file(path, "delete it, so that the next run makes it again") as file:
        data = file["waveform"]
        rows = load_rows(data, np.arange(len(data)), device)
        yield Noise(rows, torch.from_numpy(file["length"][...]), content_digest(data))
