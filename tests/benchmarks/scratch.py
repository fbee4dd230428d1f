"""Reading a feature store where it is, or a copy of it on a disk of the node.

python tests/benchmarks/scratch.py STORAGE SCRATCH [--megabytes 1000] [--rounds 3]

STORAGE and SCRATCH are folders: the shared file system and the node's own disk. What the page cache
holds of a file is dropped before each reading, except where the line says otherwise.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.features.store import Store, read_store, write_store
from weakneg.jobs.scratch import staged


def drop_from_cache(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(function, *arguments) -> float:
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("storage", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    n = args.megabytes * 1_000_000 // 4096
    times: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        with (
            tempfile.TemporaryDirectory(dir=args.storage) as storage,
            tempfile.TemporaryDirectory(dir=args.scratch) as scratch,
        ):
            os.environ["WEAKNEG_SCRATCH"] = scratch
            path = Path(storage) / "train.h5"
            x = np.random.default_rng(0).integers(0, 255, (n, 4096), dtype=np.uint8)
            y, ones = np.zeros((n, 1), dtype=np.uint8), np.ones(1)
            write_store(path, Store(x, np.arange(n), y, ("a",), ones, ones, "images", {}))
            drop_from_cache(path)
            times.setdefault("where it is", []).append(seconds(read_store, path))
            times.setdefault("where it is, cached", []).append(seconds(read_store, path))
            drop_from_cache(path)
            times.setdefault("copying", []).append(seconds(staged, path))
            copy = staged(path)
            times.setdefault("the copy, cached", []).append(seconds(read_store, copy))
            drop_from_cache(copy)
            times.setdefault("the copy", []).append(seconds(read_store, copy))
    for what, measured in times.items():
        print(f"{what}: {np.median(measured):.2f} s")


if __name__ == "__main__":
    main()
