"""The device that a job runs on, chosen on the machine where it runs, and its set-up."""

import ctypes
import platform
import resource
import sys
from pathlib import Path

import torch

from weakneg.errors import UserError

# Options of glibc's `mallopt`, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def prepare(device: str, threads: int) -> torch.device:
    """Choose the device of a job and set PyTorch up for reproducible training.

    Parameters
    ----------
    device : str
        auto, cpu, cuda or cuda:N; an empty name means auto.
    threads : int
        CPU threads that PyTorch may use: those that the workflow gave to the job.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    UserError
        When there is no such device.
    """
    device = device or "auto"
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False  # its 10 bits blur the ranking of a pool
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        count = torch.cuda.device_count()
        if count == 0:
            raise UserError(
                f"device: {device} was requested, but this machine has no CUDA device; use cpu "
                "or auto."
            )
        index = torch.device(device).index
        if index is not None and index >= count:
            raise UserError(
                f"device: {device} does not exist; use one of cuda:0 to cuda:{count - 1}."
            )
    elif device == "cpu":
        _keep_memory()
    else:
        raise UserError(f"device: {device!r} is not a device; use auto, cpu, cuda or cuda:N.")
    return torch.device(device)


def _keep_memory() -> None:
    """Keep freed memory in the process (glibc only).

    A step allocates and frees tensors of several hundred kB. By default glibc returns each to the
    system and requests fresh pages for the next, which costs a fifth of the training time.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def describe(device: torch.device) -> str:
    """Name of the graphics card, or of the processor with its instruction set, for the record.

    Processors of one name can differ in their instruction sets, and kernels of each round
    differently.
    """
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"cpu: {name}, {torch.backends.cpu.get_cpu_capability()}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work, so that times can be measured."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Peak memory of this process, in bytes, on the graphics card or, on a CPU, in total."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
