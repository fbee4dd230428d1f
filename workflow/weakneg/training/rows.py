"""Rows of a feature store on the device: all of them, or, where they do not fit, some at a time.

Both give the same numbers.
"""

import math
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import h5py
import numpy as np
import torch
from torch import Tensor

from weakneg.io.hdf5 import read_rows
from weakneg.io.progress import Progress

_BLOCK_BYTES = 64 << 20
_BATCHES_AHEAD = 4
_SHARE = 0.5  # of the free memory of a card; the rest is for the training, and for other jobs


class ResidentRows:
    """Rows that are on the device: x (n, ...), as stored."""

    def __init__(self, x: Tensor):
        self._x = x

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """x[batch] of each batch in turn; (b,) integers, 0..n-1."""
        for numbers in together(batches, self._x.device):
            yield self._x[numbers]


class StreamedRows:
    """The same of rows that stay in the file, from which a thread reads a few batches ahead."""

    def __init__(self, data: h5py.Dataset | np.ndarray, rows: np.ndarray, device: torch.device):
        self._data, self._rows, self._device = data, rows, device

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
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
    """The batches on a device, in one copy: before each copy from the host a GPU is waited for."""
    if not batches:
        return []
    return torch.cat(list(batches)).to(device).split([len(batch) for batch in batches])


def load_rows(
    data: h5py.Dataset | np.ndarray,
    rows: np.ndarray,
    device: torch.device,
    resident_bytes: int | None = None,
) -> ResidentRows | StreamedRows:
    """The rows numbered `rows` (n,) of `data`, in that order.

    resident_bytes: how much may be put on the device; if None, all on a CPU, and on a card half of
        the memory that is free
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
            pass  # another job on the card was faster
    print(
        f"{n_bytes / 1e9:.1f} GB of features do not fit on {device}: they are read again and again",
        file=sys.stderr,
    )
    return StreamedRows(data, rows, device)


def _on_device(data: h5py.Dataset | np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """In large reads, through one block of pinned memory; on a CPU, to where it stays."""
    x = _empty(data, len(rows), device=device)
    per_block = max(1, _BLOCK_BYTES // _row_bytes(data))
    staging = None
    if device.type == "cuda":
        staging = _empty(data, min(per_block, len(rows)), pinned=True)
    with Progress("reading features", len(rows), "clips", even_if_quick=False) as progress:
        for first in range(0, len(rows), per_block):
            block = x[first : first + per_block]
            on_host = block if staging is None else staging[: len(block)]
            read_rows(data, rows[first : first + per_block], on_host.numpy())
            if staging is not None:
                block.copy_(on_host)  # and waits, since the next block is read into the same memory
            progress.add(len(block))
    return x


def _empty(
    data: h5py.Dataset | np.ndarray,
    n: int,
    device: torch.device | None = None,
    pinned: bool = False,
) -> Tensor:
    dtype = torch.from_numpy(np.empty(0, data.dtype)).dtype
    return torch.empty((n, *data.shape[1:]), dtype=dtype, device=device, pin_memory=pinned)


def _row_bytes(data: h5py.Dataset | np.ndarray) -> int:
    return math.prod(data.shape[1:]) * data.dtype.itemsize
