"""How fast sound becomes features, against PSLA's way, side by side in one run.

    python tests/benchmarks/audio_features.py [--rounds 5] [--clips 32]

Ours decodes, resamples, computes log-mels and writes the shard; PSLA's way (soundfile, torchaudio's
resampling and kaldi.fbank, clip by clip) stores nothing. Both decode by libsndfile, but for FLAC,
which ours decodes by miniaudio. Clips have ten seconds: those of ESC-10 twice over, if WEAKNEG_DATA
names a folder that has it, else noise; a shard holds each several times. Each way runs on one
thread.

Every round times each way once, in turn; the figure is the median over rounds of the ratio to ours.
Times are those that a processor spent, so that other work on the machine counts little.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
import soundfile
import torch
import torchaudio

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.audio.decode import open_audio
from weakneg.audio.mel import LogMel
from weakneg.audio.shards import compute_shard
from weakneg.audio.status_table import StatusRow, write_status
from weakneg.config.sections import AudioSettings
from weakneg.config.stages import OF_STORES, ShardSettings

SETTINGS = AudioSettings().model_dump(exclude=OF_STORES)
RATE, SECONDS = 16_000, 10.0
AUDIOSET_CLIPS, AUDIOSET_SHARDS = 22_160, 45
TIMES = 6  # that each clip is in the shard, so that the beginning and the end of one count little
FORMATS = (
    *(("flac", "PCM_16", 16_000), ("wav", "PCM_16", 16_000)),
    *(("flac", "PCM_16", 44_100), ("ogg", "VORBIS", 44_100)),
)


def sounds(clips: int, rate: int) -> list[np.ndarray]:
    """Mono, ten seconds, at `rate`."""
    folder = Path(os.environ.get("WEAKNEG_DATA", ""), "esc10")
    files = sorted(folder.glob("*/*.ogg"))
    if not files:
        generator = np.random.default_rng(0)
        return [0.1 * generator.standard_normal(round(rate * SECONDS)) for _ in range(clips)]
    made = []
    for path in files[:: max(1, len(files) // clips)][:clips]:
        with open_audio(path, rate) as recording:
            waveform = recording.read(0.0, 2 * SECONDS).waveform
        made.append(np.resize(waveform, round(rate * SECONDS)))
    return made


def write_files(folder: Path, clips: int, container: str, subtype: str, rate: int) -> list[Path]:
    files = []
    for number, waveform in enumerate(sounds(clips, rate)):
        files.append(folder / f"{number}_{rate}.{container}")
        soundfile.write(files[-1], waveform, rate, subtype=subtype)
    return files


def status_of(path: Path, files: list[Path]) -> Path:
    rows = (StatusRow(str(n), str(name), None, None, "ok", "") for n, name in enumerate(files))
    write_status(path, rows)
    return path


def psla(files: list[Path]) -> None:
    for path in files:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        waveform = torch.from_numpy(samples.T)
        if rate != RATE:
            waveform = torchaudio.functional.resample(waveform, rate, RATE)
        waveform = waveform - waveform.mean()
        kaldi(waveform[:1])


def kaldi(waveform: torch.Tensor) -> torch.Tensor:
    return torchaudio.compliance.kaldi.fbank(
        waveform,
        htk_compat=True,
        sample_frequency=RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )


def libsndfile(files: list[Path]) -> None:
    for path in files:
        soundfile.read(path, dtype="float32", always_2d=True)


def decode(files: list[Path]) -> None:
    for path in files:
        with open_audio(path, RATE) as recording:
            recording.read(0.0, 2 * SECONDS)


def write_shard(status: Path, folder: Path) -> None:
    shard = folder / "shard.h5"
    shard.unlink(missing_ok=True)
    compute_shard(status, ShardSettings(**SETTINGS), shard, 1)


def seconds(call: Callable) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(title: str, ways: dict[str, Callable], rounds: int, clips: int) -> float:
    """Print each way's time and how many times that of the first way it is; returns the first."""
    times = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            with redirect_stderr(StringIO()):
                elapsed = seconds(call)
            if number:  # the first round warms up
                times[name].append(elapsed / clips)
    ours = next(iter(times.values()))
    print(f"\n{title}, milliseconds a clip")
    for name, values in times.items():
        ratio = statistics.median(v / o for v, o in zip(values, ours, strict=True))
        print(f"  {name:44} {1e3 * statistics.median(values):8.2f}   x {ratio:.2f}")
    return statistics.median(ours)


def compressions() -> dict[str, dict]:
    """Ways to compress a chunk: those of HDF5, and of hdf5plugin where it is installed."""
    ways = {
        "as it is": {},
        "lzf, shuffled": {"compression": "lzf", "shuffle": True},
        "gzip 1, shuffled": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    }
    try:
        import hdf5plugin
    except ImportError:
        return ways
    return ways | {
        "zstd 3, shuffled": {**hdf5plugin.Zstd(clevel=3), "shuffle": True},
        "bitshuffle, lz4": hdf5plugin.Bitshuffle(cname="lz4"),
        "bitshuffle, zstd 3": hdf5plugin.Bitshuffle(cname="zstd", clevel=3),
        "blosc2, lz4, bits shuffled": hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=2),
        "blosc2, zstd 1, bits shuffled": hdf5plugin.Blosc2(cname="zstd", clevel=1, filters=2),
    }


def compare_compressions(folder: Path, shard: Path, rounds: int) -> None:
    with h5py.File(shard) as file:
        x = file["x"][...]
    readers = {}
    sizes = {}
    for name, how in compressions().items():
        path = folder / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=x, chunks=(1, *x.shape[1:]), **how)
        sizes[name] = path.stat().st_size / x.nbytes

        def read(path: Path = path) -> None:
            with h5py.File(path) as file:
                file["x"][...]

        readers[f"{name}: {sizes[name]:.2f} of the size"] = read
    compare("Reading a shard", readers, rounds, len(x))


JOB = """
import resource, sys, time
import weakneg.config.load
from weakneg.audio.shards import compute_shard
from weakneg.config.stages import ShardSettings
settings = ShardSettings(**{settings})
begun = time.monotonic()
imported = time.process_time()
compute_shard(sys.argv[1], settings, sys.argv[2], 1)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(imported, time.monotonic() - begun, peak / 1024)
"""


def run_jobs(folder: Path, statuses: list[Path]) -> list[list[float]]:
    """Shards in processes of their own, all at once.

    Returns of each: seconds of a processor until it began, seconds on the clock from then, and peak
    memory, MiB.
    """
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", JOB.format(settings=SETTINGS), status, folder / f"{number}.h5"],
            cwd=Path(__file__).parents[2] / "workflow",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number, status in enumerate(statuses)
    ]
    return [[float(number) for number in job.communicate()[0].split()] for job in jobs]


def measure_jobs(folder: Path, clips: int) -> float:
    """Print memory and scaling of shards of 16 kHz flac; returns a job's seconds of start-up."""
    files = write_files(folder, clips, *FORMATS[0])
    status = {
        n: status_of(folder / f"{n}.csv", [files[i % clips] for i in range(n)]) for n in (50, 500)
    }
    (small,), (one,) = (run_jobs(folder, [status[n]]) for n in (50, 500))
    two = run_jobs(folder, 2 * [status[500]])
    print(f"\nPeak memory of a shard: {small[2]:.0f} MiB for 50 clips, {one[2]:.0f} MiB for 500")
    slower = max(job[1] for job in two) / one[1]
    print(f"Two shards at once: {2 / slower:.2f} times the clips of one in the same time")
    return one[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ours = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for container, subtype, rate in FORMATS:
            files = TIMES * write_files(folder, args.clips, container, subtype, rate)
            status = status_of(folder / "status.csv", files)
            ways = {
                "ours, with the shard": lambda status=status: write_shard(status, folder),
                "of this, decoding and resampling": lambda files=files: decode(files),
                "PSLA's way": lambda files=files: psla(files),
                "libsndfile alone": lambda files=files: libsndfile(files),
            }
            title = f"{container}, {rate / 1000:g} kHz"
            ours[title] = compare(title, ways, args.rounds, len(files))
        waveforms = torch.from_numpy(np.stack(sounds(args.clips, RATE))).float()
        log_mel = LogMel.of(SETTINGS)
        ways = {
            "ours": lambda: [log_mel(each) for each in waveforms],
            "kaldi.fbank": lambda: [kaldi(each[None]) for each in waveforms],
        }
        compare("Log-mels alone", ways, args.rounds, args.clips)
        compare_compressions(folder, folder / "shard.h5", args.rounds)
        importing = measure_jobs(folder, args.clips)
    print(f"\nStart of a job: {importing:.1f} s")
    for title in ("flac, 16 kHz", "flac, 44.1 kHz"):
        total = AUDIOSET_CLIPS * ours[title] + AUDIOSET_SHARDS * importing
        print(
            f"{AUDIOSET_CLIPS} clips ({title}) in {AUDIOSET_SHARDS} shards: {total / 60:.1f} "
            f"minutes of a processor, {total / 120:.1f} of two"
        )


if __name__ == "__main__":
    main()
