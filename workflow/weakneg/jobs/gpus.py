"""A GPU for each job, on a machine with several GPUs and no scheduler to assign them."""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, TextIO
from urllib.parse import quote

from pydantic import AfterValidator

from weakneg.errors import UserError

_INSTALLED = Path("/proc/driver/nvidia/gpus")
_HELD: dict[str, TextIO] = {}  # open for as long as the process lives
_PATIENCE = 0.2  # seconds between looks for a free GPU


def take_gpu(device: str) -> None:
    """Take a GPU that no other job of this user holds on this machine, and hide the others.

    Does nothing unless the environment variable WEAKNEG_GPUS says how many GPUs jobs share (the
    workflow sets it to N of `--resources gpu=N`) and the device is auto or cuda. If
    CUDA_VISIBLE_DEVICES is set, the shared GPUs are the first ones that it names. Must be called
    before CUDA is initialised.

    A lock on a file holds the GPU and is released when the process ends, even if it is killed.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    UserError
        When there are fewer GPUs than WEAKNEG_GPUS says.
    """
    gpus = _shared_gpus()
    if not gpus or device not in ("auto", "cuda"):
        return
    folder = Path(tempfile.gettempdir()) / f"weakneg-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for gpu in gpus:
        _HELD[gpu] = open(folder / f"{quote(gpu, safe='')}.lock", "w")  # noqa: SIM115
    gpu = _first_free(_HELD)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    print(f"using GPU {gpu}", file=sys.stderr, flush=True)


def _shared_gpus() -> list[str]:
    """CUDA's names of the GPUs to share: numbers, or those in CUDA_VISIBLE_DEVICES."""
    count = int(os.environ.get("WEAKNEG_GPUS") or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        # As CUDA does, up to the first negative number; and each once.
        here = list(dict.fromkeys(takewhile(lambda name: not name.startswith("-"), names)))
        source = f"CUDA_VISIBLE_DEVICES={visible}"
    elif _INSTALLED.is_dir():
        here = [str(number) for number in range(len(list(_INSTALLED.iterdir())))]
        source = "this machine"
    else:  # the number of installed GPUs is unknown
        return [str(number) for number in range(count)]
    if count > len(here):
        raise UserError(f"--resources gpu={count}: {source} has only {len(here)} GPUs: lower gpu.")
    return here[:count]


def _first_free(files: Mapping[str, TextIO]) -> str:
    waiting = False
    while True:
        for gpu, file in files.items():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return gpu
        if not waiting:
            print("waiting for a free GPU", file=sys.stderr, flush=True)
            waiting = True
        time.sleep(_PATIENCE)


def _given(device: str) -> str:
    name = device or os.environ.get("WEAKNEG_DEVICE") or "auto"
    take_gpu(name)
    return name


Device = Annotated[str, AfterValidator(_given)]
"""The device of a job: auto, cpu, cuda or cuda:N; by default the environment variable
WEAKNEG_DEVICE, or else auto. Where jobs share GPUs, the command line takes one when it reads the
option."""
