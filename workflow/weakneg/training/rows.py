"""Rows of a feature store on the device: all of them, or a few at a time if they do not fit.

Both give the same numbers.
"""

import math
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from weakneg.io.hdf5 import Rows, read_rows
from weakneg.io.progress import Progress

BLOCK_BYTES = 64 << 20
_BATCHES_AHEAD = 4
_SHARE = 0.5  # of the free memory of a GPU; the rest is for training and for other jobs


class ResidentRows:
    """Rows that are held on the device.

    Parameters
    ----------
    x : (n, ...) tensor
        The rows, as stored.
    places : (B, M) int64 tensor, optional
        Rows of each of B bags; by default each row is a bag.
    """

    def __init__(self, x: Tensor, places: Tensor | None = None) -> None:
        self._x, self._places = x, places

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield, for each batch (b,) of numbers of bags, their rows, (b, ...) or (b, M, ...)."""
        for numbers in together(batches, self._x.device):
            places = numbers if self._places is None else self._places[numbers]
            # Faster than indexing, which allows for more.
            yield self._x.index_select(0, places.flatten()).unflatten(0, places.shape)


class StreamedRows:
    """Rows that stay in the file, from which a thread reads a few batches ahead.

    Parameters
    ----------
    data : (N, ...) data set or array
        The file's rows.
    rows : (n,) int64
        Which of them to use.
    device : torch.device
        Where batches are needed.
    """

    def __init__(self, data: Rows, rows: np.ndarray, device: torch.device) -> None:
        self._data, self._rows, self._device = data, rows, device

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the rows of each batch (b,) of integers 0..n-1, as `ResidentRows.batches` does."""
        on_host = together(batches, torch.device("cpu"))
        waiting = (self._rows[numbers.numpy()] for numbers in on_host)
        with ThreadPoolExecutor(1) as pool:
            ahead = deque(pool.submit(self._read, rows) for rows in islice(waiting, _BATCHES_AHEAD))
            while ahead:
                x = ahead.popleft().result()
                ahead.extend(pool.submit(self._read, rows) for rows in islice(waiting, 1))
                yield x.to(self._device, non_blocking=True)

    def _read(self, rows: np.ndarray) -> Tensor:
        x = _empty(self._data, len(rows), pinned=self._device.type == "cuda")
        read_rows(self._data, rows, x.numpy())
        return x


def together(batches: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
    """Copy batches to a device, all in one copy, since each copy waits for the GPU."""
    if not batches:
        return []
    return torch.cat(list(batches)).to(device).split([len(batch) for batch in batches])


def load_rows(
    data: Rows,
    rows: np.ndarray,
    device: torch.device,
    resident_bytes: int | None = None,
) -> ResidentRows | StreamedRows:
    """Load rows of a feature store, or prepare to read them when they are needed.

    Parameters
    ----------
    data : (N, ...) data set or array
        The rows in the store.
    rows : (n,) int64
        Numbers of the rows to load, in this order.
    device : torch.device
        Where they are needed.
    resident_bytes : int, optional
        How many bytes may be held on the device; by default no limit on a CPU, and half of the free
        memory on a GPU.

    Returns
    -------
    ResidentRows or StreamedRows
        Streamed rows if they do not fit.
    """
    n_bytes = len(rows) * _row_bytes(data)
    if resident_bytes is None:
        resident_bytes = (
            int(_SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else n_bytes
        )
    if n_bytes <= resident_bytes:
        try:
            return ResidentRows(_on_device(data, rows, device))
        except torch.OutOfMemoryError:
            pass  # another job on the GPU was faster
    print(
        f"{n_bytes / 1e9:.1f} GB of features do not fit on {device}: they are read from the file "
        "in every epoch",
        file=sys.stderr,
    )
    return StreamedRows(data, rows, device)


def _on_device(data: Rows, rows: np.ndarray, device: torch.device) -> Tensor:
    """Load rows in large reads; to a GPU through a block of pinned memory, on a CPU directly."""
    x = _empty(data, len(rows), device=device)
    per_block = max(1, BLOCK_BYTES // _row_bytes(data))
    staging = None
    if device.type == "cuda":
        staging = _empty(data, min(per_block, len(rows)), pinned=True)
    with Progress("reading features", len(rows), "clips", even_if_quick=False) as progress:
        for first in range(0, len(rows), per_block):
            block = x[first : first + per_block]
            on_host = block if staging is None else staging[: len(block)]
            read_rows(data, rows[first : first + per_block], on_host.numpy())
            if staging is not None:
                block.copy_(on_host)  # waits, since the next block goes into the same memory
            progress.add(len(block))
    return x


def _empty(
    data: Rows,
    n: int,
    device: torch.device | None = None,
    pinned: bool = False,
) -> Tensor:
    dtype = torch.from_numpy(np.empty(0, data.dtype)).dtype
    return torch.empty((n, *data.shape[1:]), dtype=dtype, device=device, pin_memory=pinned)


def _row_bytes(data: Rows) -> int:
    return math.prod(data.shape[1:]) * data.dtype.itemsize
