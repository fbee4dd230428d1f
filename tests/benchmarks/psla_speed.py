"""PSLA at AudioSet's size: how fast we load, train and score, against PSLA's own way.

    python tests/benchmarks/psla_speed.py --device cuda --together 1 2 4 --output psla_speed.csv

The store is made up: as many clips as the balanced training list has, random log-mels and waveforms
in shards as the workflow writes them, and three classes of 127, 250 and 6,013 positives (the
smallest, the median and the largest of the 40). The settings are those of the study `audioset`, but
for what options change. Only the times mean anything.

PSLA's way is that of its code: float32 (convolutions in TF32 where PyTorch does so by default),
workers that read a waveform, mix it with another, compute kaldi.fbank and mask it, clip by clip.
The network is ours.
"""

import argparse
import contextlib
import csv
import gc
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
import torchaudio
import yaml
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "workflow"))

from weakneg.audio.mel import LogMel
from weakneg.bags.manifest import list_clips, read_bags
from weakneg.config.load import load_study
from weakneg.config.stages import RunSettings, ShardSettings
from weakneg.datasets import audioset
from weakneg.estimate.cost import study_cost
from weakneg.features.store import FORMAT_VERSION, Store, open_store
from weakneg.io.hdf5 import Digest
from weakneg.jobs.device import describe, peak_memory_bytes, prepare, synchronise
from weakneg.models import bag_classifier
from weakneg.models.folding import folded
from weakneg.training.data import BagData
from weakneg.training.loop import train_seed
from weakneg.training.run import _save

AUDIOSET_CLIPS = audioset.DATASET.split_sizes["train"]
AUDIOSET_COUNTS = sorted(audioset.DATASET.training_counts, reverse=True)[:40]
POSITIVES = {"small": 127, "median": 250, "large": 6013}
SHARD = 500  # clips
PARTS = ("limits", "loading", "runs", "psla", "scoring", "streaming", "together")
COLUMNS = ("part", "case", "measure", "value", "unit")


class Report:
    """Rows of the table, printed and written as they come, so that a later failure loses none."""

    def __init__(self, path: Path | None):
        self._path, self.rows = path, []

    def add(self, part: str, case: str, measure: str, value: float | str, unit: str = "") -> None:
        self.rows.append((part, case, measure, value, unit))
        shown = value if isinstance(value, str) else f"{value:.4g}"
        print(f"{part:11} {case:22} {measure:34} {shown:>12} {unit}", flush=True)
        if self._path is not None:
            with open(self._path, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                writer.writerows(self.rows)

    def value(self, *key: str) -> float | None:
        """Of part, case and measure; None where it was not measured."""
        return next((row[3] for row in self.rows if row[:3] == key), None)


# ----------------------------------------------------------------------------- the store
def make_store(folder: Path, clips: int, audio: dict, frames: int, positives: dict) -> None:
    """Write train.h5 over its shards, and train.csv, as the workflow does."""
    rng = np.random.default_rng(0)
    samples = round(audio["sample_rate"] * audio["clip_seconds"])
    real = LogMel.of(audio).n_frames(samples)
    n = min(clips, SHARD)
    x = np.zeros((n, frames, audio["mel_bins"]), np.float16)
    for row in x:
        row[:real] = rng.standard_normal((real, row.shape[1]), np.float32) * 4.6 - 4.6
    waveform = rng.integers(-9999, 9999, (n, samples), np.int16)
    y = np.zeros((clips, len(positives)), np.uint8)
    for of_class, count in zip(y.T, positives.values(), strict=True):
        of_class[rng.permutation(clips)[:count]] = 1
    columns = {
        "id": np.char.encode(np.array([f"clip {number}" for number in range(clips)])),
        "y": y,
        "length": np.full(clips, real),
        "start": np.zeros(clips),
        "mean": np.array([-4.6]),
        "std": np.array([4.6]),
    }
    with h5py.File(folder / "train.h5", "w") as store:
        for name, values in columns.items():
            store[name] = values
        for name, block in (("x", x), ("waveform", waveform)):
            layout = h5py.VirtualLayout((clips, *block.shape[1:]), block.dtype)
            for first in range(0, clips, SHARD):
                shape = (min(SHARD, clips - first), *block.shape[1:])
                shard = f"{first // SHARD:03}.h5"
                with h5py.File(folder / shard, "a") as file:
                    data = file.create_dataset(name, shape, block.dtype, chunks=(1, *shape[1:]))
                    digest = Digest()
                    for row in range(shape[0]):
                        # Other clips next to each other in every shard.
                        values = block[(row * (first // SHARD + 1)) % n]
                        data.id.write_direct_chunk((row, *[0] * values.ndim), values)
                        digest.add(values)
                    digest.write(data)
                layout[first : first + shape[0]] = h5py.VirtualSource(shard, name, shape)
            store.create_virtual_dataset(name, layout)
        store.attrs["format_version"] = FORMAT_VERSION
        store.attrs["kind"] = "spectrograms"
        store.attrs["parameters"] = json.dumps(audio)
        store.attrs["class_names"] = json.dumps(list(positives))
    list_clips(folder / "train.h5", folder / "train.csv")


@contextlib.contextmanager
def opened(
    folder: Path, case: str, device: torch.device, resident_bytes: int | None = None
) -> Iterator[tuple[Store, BagData]]:
    """The store, and its bags with the labels of a class."""
    with open_store(folder / "train.h5") as store:
        bags = read_bags(folder / "train.csv", store, case)[0]
        yield store, BagData(store, bags, device, resident_bytes)


# ----------------------------------------------------------------------------- the limits
def per_call(call: Callable, device: torch.device, seconds: float = 1.0) -> float:
    """Seconds that a call takes, of as many as fit in `seconds`."""
    call()
    synchronise(device)
    n, start = 0, time.perf_counter()
    while True:
        call()
        n += 1
        if n % 10 == 0 or device.type == "cpu":
            synchronise(device)
            if time.perf_counter() - start > seconds:
                return (time.perf_counter() - start) / n


def measure_limits(report: Report, device: torch.device, size: int) -> None:
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    flops = 2 * size**3 / per_call(lambda: a @ b, device)
    report.add("limits", "", "bf16 matrix product", flops / 1e12, "TFLOP/s")
    source = torch.empty(size * size * 16, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * source.nbytes / per_call(lambda: target.copy_(source), device)
    report.add("limits", "", "copy on the device, read and written", bandwidth / 1e9, "GB/s")
    host = torch.empty(size * size, dtype=torch.uint8, pin_memory=device.type == "cuda")
    on_device = torch.empty_like(host, device=device)
    rate = host.nbytes / per_call(lambda: on_device.copy_(host), device)
    report.add("limits", "", "copy from the host", rate / 1e9, "GB/s")


def work_per_clip(settings: RunSettings, shape: tuple[int, int], device: torch.device) -> dict:
    """Arithmetic of a clip, scored and trained; and bytes of one that is scored.

    The bytes are those of layers that read and write once each.
    """
    model = folded(bag_classifier.load(settings.model, shape).to(device).eval())
    x = torch.randn(2, 1, *shape, device=device)
    moved = 0

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal moved
        moved += inputs[0].numel() + output.numel()

    leaves = [
        module
        for module in model.encoder.modules()
        if not list(module.children()) and not isinstance(module, nn.Identity)
    ]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.score(x, None, True)
    flops = counter.get_total_flops() / len(x)
    for hook in hooks:
        hook.remove()
    bytes_per_number = 2 if settings.model.precision == "bfloat16" else 4
    return {
        "scored": flops,
        "trained": 3 * flops,  # backwards, twice as much
        "bytes": moved / len(x) * bytes_per_number,
    }


class Utilisation:
    """Mean share of time in which the card did anything, as the driver samples it; NaN without."""

    def __init__(self, device: torch.device):
        self._device, self._samples, self._ended = device, [], threading.Event()

    def _sample(self) -> None:
        while not self._ended.wait(0.2):
            try:
                self._samples.append(torch.cuda.utilization(self._device))
            except Exception:  # no driver library for Python, or none that answers here
                return

    def __enter__(self) -> "Utilisation":
        self._thread = threading.Thread(target=self._sample)
        if self._device.type == "cuda":
            self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def percent(self) -> float:
        return statistics.mean(self._samples) if self._samples else math.nan


# ----------------------------------------------------------------------------- our way
def train_epochs(
    data: BagData, settings: RunSettings, folder: Path, after_first: Callable = lambda: None
) -> dict:
    """Train a seed as the workflow does, its state saved after each epoch; what it took.

    Rates and seconds are those of the epochs after the first, in which everything warms up.
    """
    if data.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(data.device)
    ends = [time.perf_counter()]

    def after_epoch(state: dict) -> None:
        _save(folder / "state.pt", state)
        synchronise(data.device)
        ends.append(time.perf_counter())
        if len(ends) == 2:
            after_first()
            ends.append(time.perf_counter())

    with Utilisation(data.device) as utilisation:
        state = train_seed(data, settings, 0, None, after_epoch)
    (folder / "state.pt").unlink()
    timing = state["timing"][1:]
    trained = np.diff([row["bags_trained"] for row in state["history"]]).tolist()

    def mean_seconds(phase: str) -> float:
        return statistics.mean(row[f"seconds_{phase}"] for row in timing)

    n_scored = state["n_pool"] * settings.sampling.candidate_fraction
    n_validated = len(data.label) - state["n_positive"] - state["n_pool"]
    epoch = (ends[-1] - ends[2]) / len(timing)
    phases = {phase: mean_seconds(phase) for phase in ("scoring", "selecting", "training")}
    phases["evaluating"] = mean_seconds("evaluating")
    return {
        "first_epoch": ends[1] - ends[0],
        "epoch": epoch,
        **phases,
        "other": epoch - sum(phases.values()),
        "trained": statistics.mean(trained),
        "scored": n_scored,
        "validated": n_validated,
        "training_rate": statistics.mean(trained) / phases["training"],
        "scoring_rate": n_scored / phases["scoring"] if phases["scoring"] else math.nan,
        "seconds": ends[-1] - ends[2],
        "memory": peak_memory_bytes(data.device),
        "utilisation": utilisation.percent,
    }


def measure_loading(report: Report, folder: Path, device: torch.device) -> None:
    start = time.perf_counter()
    with opened(folder, "small", device) as (store, data):
        synchronise(device)
        spectrograms = time.perf_counter() - start
        start = time.perf_counter()
        next(data.waveforms([data.rows(np.arange(1))]))
        synchronise(device)
        waveforms = time.perf_counter() - start
        for what, seconds, of in (
            ("spectrograms", spectrograms, store.x),
            ("waveforms", waveforms, store.waveform),
        ):
            size = math.prod(of.shape) * of.dtype.itemsize / 1e9
            report.add("loading", what, "size", size, "GB")
            report.add("loading", what, "time", seconds, "s")
            rate = size / seconds
            report.add("loading", what, "rate", rate, "GB/s")
            limit = report.value("limits", "", "copy from the host")
            if limit:
                report.add("loading", what, "of the copy from the host", 100 * rate / limit, "%")


def report_training(report: Report, part: str, case: str, found: dict, work: dict) -> None:
    """Peak memory includes the data."""
    report.add(part, case, "training", found["training_rate"], "clips/s")
    report.add(part, case, "scoring", found["scoring_rate"], "clips/s")
    for phase in ("epoch", "scoring", "selecting", "training", "evaluating", "other"):
        name = "epoch" if phase == "epoch" else f"{phase}, of an epoch"
        report.add(part, case, name, found[phase], "s")
    report.add(part, case, "first epoch", found["first_epoch"], "s")
    report.add(part, case, "peak memory", found["memory"] / 1e9, "GB")
    if not math.isnan(found["utilisation"]):
        report.add(part, case, "utilisation", found["utilisation"], "%")
    peak = report.value("limits", "", "bf16 matrix product")
    if peak:
        for phase, flops in (("training", "trained"), ("scoring", "scored")):
            rate = found[f"{phase}_rate"] * work[flops] / 1e12
            report.add(part, case, f"{phase}, arithmetic", rate, "TFLOP/s")
            report.add(part, case, f"{phase}, of the card's", 100 * rate / peak, "%")
        bandwidth = report.value("limits", "", "copy on the device, read and written")
        moved = found["scoring_rate"] * work["bytes"] / 1e9
        report.add(part, case, "scoring, of the bandwidth", 100 * moved / bandwidth, "%")


def measure_runs(
    report: Report,
    folder: Path,
    device: torch.device,
    settings: RunSettings,
    work: dict,
    epochs: int,
    positives: dict,
) -> None:
    """A class of each size; a run has `epochs`."""
    for case in POSITIVES:
        with opened(folder, case, device) as (_, data):
            found = train_epochs(data, settings, folder)
        report_training(report, "runs", case, found, work)
        for measure in ("trained", "scored", "validated"):
            report.add("runs", case, f"clips {measure}, of an epoch", found[measure])
        seconds = found["first_epoch"] + (epochs - 1) * found["epoch"]
        report.add("runs", case, f"run of {epochs} epochs", seconds, "s")
    counts = np.array(AUDIOSET_COUNTS) * positives["large"] / POSITIVES["large"]
    measure = f"run of {epochs} epochs"
    seconds = [report.value("runs", case, measure) for case in POSITIVES]
    mean = float(np.interp(counts, list(positives.values()), seconds).mean())
    report.add("runs", "mean of 40 classes", measure, mean, "s")
    whole = settings.training.model_copy(update={"epochs": epochs})
    study = load_study("audioset").model_copy(
        update={"training": whole, "sampling": settings.sampling}
    )
    rates = [report.value("runs", "large", what) for what in ("training", "scoring")]
    hours = study_cost(study).hours(*rates)
    report.add("runs", "the study audioset", "on one such device", hours, "h")
    report.add("runs", "the study audioset", "on eight", hours / 8, "h")


def measure_scoring(
    report: Report,
    folder: Path,
    device: torch.device,
    settings: RunSettings,
    sizes: list[int],
) -> None:
    with opened(folder, "small", device) as (_, data):
        for size in sizes:
            data.score_batch_limit = None
            training = settings.training.model_copy(update={"score_batch_size": size, "epochs": 2})
            changed = settings.model_copy(update={"training": training})
            found = train_epochs(data, changed, folder)
            case = f"batches of {size}"
            report.add("scoring", case, "scoring", found["scoring_rate"], "clips/s")
            report.add("scoring", case, "peak memory", found["memory"] / 1e9, "GB")
            if data.score_batch_limit:
                limit = data.score_batch_limit
                report.add("scoring", case, "too large, scored in batches of", limit)


def measure_streaming(
    report: Report, folder: Path, device: torch.device, settings: RunSettings, work: dict
) -> None:
    with opened(folder, "median", device, resident_bytes=0) as (_, data):
        found = train_epochs(data, settings, folder)
    report_training(report, "streaming", "median", found, work)


# ----------------------------------------------------------------------------- PSLA's way
class Clips(Dataset):
    """As PSLA's `AudiosetDataset`: (T, F) normalised log-mels and a label, each when asked for."""

    def __init__(self, store: Path, rows: np.ndarray, label: np.ndarray, audio: dict, frames: int):
        self._store, self._rows, self._label = store, rows, label
        self._audio, self._frames = audio, frames
        self.training = True
        self._file = None
        self._masks = (
            torchaudio.transforms.FrequencyMasking(48),
            torchaudio.transforms.TimeMasking(192),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def _waveform(self, number: int) -> torch.Tensor:
        if self._file is None:  # in the worker: an open file does not survive a fork
            self._file = h5py.File(self._store, "r")
        samples = self._file["waveform"][self._rows[number]]
        waveform = torch.from_numpy(samples.astype(np.float32) / 32768)[None]
        return waveform - waveform.mean()

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        waveform, label = self._waveform(number), float(self._label[number])
        if self.training and np.random.random() < 0.5:
            other, weight = np.random.randint(len(self)), np.random.beta(10, 10)
            waveform = weight * waveform + (1 - weight) * self._waveform(other)
            waveform = waveform - waveform.mean()
            label = weight * label + (1 - weight) * float(self._label[other])
        x = torchaudio.compliance.kaldi.fbank(
            waveform,
            htk_compat=True,
            sample_frequency=self._audio["sample_rate"],
            use_energy=False,
            window_type="hanning",
            num_mel_bins=self._audio["mel_bins"],
            dither=0.0,
            frame_shift=10,
        )
        x = pad(x, (0, 0, 0, self._frames - len(x)))
        if self.training:
            x = x.T[None]
            for mask in self._masks:
                x = mask(x)
            x = x[0].T
        return (x + 4.6476) / 4.5699, torch.tensor(label)


def psla_rates(
    folder: Path,
    device: torch.device,
    settings: RunSettings,
    clips: int,
    workers: int,
) -> tuple[float, float]:
    """Clips trained and scored per second, the start of the workers included as in every epoch."""
    with open_store(folder / "train.h5") as store:
        n = min(clips, len(store.x))
        shape, audio = store.x.shape[1:], dict(store.parameters)
        label = store.positive("large")[:n].astype(np.float32)
    dataset = Clips(folder / "train.h5", np.arange(n), label, audio, shape[0])
    single = settings.model.model_copy(update={"precision": "float32"})
    model = bag_classifier.load(single, shape).to(device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=1e-3, weight_decay=5e-7, betas=(0.95, 0.999)
    )
    loading = {"num_workers": workers, "pin_memory": device.type == "cuda", "batch_size": 32}

    def step(x: torch.Tensor, label: torch.Tensor) -> None:
        x, label = x.to(device, non_blocking=True), label.to(device, non_blocking=True)
        loss = binary_cross_entropy_with_logits(model(x[:, None]), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def score(x: torch.Tensor, label: torch.Tensor) -> None:
        model(x[:, None].to(device, non_blocking=True)).cpu()

    rates = []
    # As PyTorch does by itself; `prepare` chose otherwise for our way.
    with torch.backends.cudnn.flags(enabled=True, deterministic=False, allow_tf32=True):
        for training, use in ((True, step), (False, score)):
            model.train(training)
            dataset.training = training
            for _ in range(3):
                use(torch.randn(min(n, 32), *shape), torch.zeros(min(n, 32)))  # warms up
            synchronise(device)
            start = time.perf_counter()
            for batch in DataLoader(dataset, shuffle=training, **loading):
                use(*batch)
            synchronise(device)
            rates.append(n / (time.perf_counter() - start))
    return rates[0], rates[1]


def measure_psla(
    report: Report,
    folder: Path,
    device: torch.device,
    settings: RunSettings,
    clips: int,
    workers: int,
    epochs: int,
) -> None:
    training, scoring = psla_rates(folder, device, settings, clips, workers)
    report.add("psla", "", "workers", workers)
    report.add("psla", "", "training", training, "clips/s")
    report.add("psla", "", "scoring", scoring, "clips/s")
    for case in POSITIVES:
        ours = report.value("runs", case, f"run of {epochs} epochs")
        if ours is None:
            continue
        trained, scored, validated = (
            report.value("runs", case, f"clips {what}, of an epoch")
            for what in ("trained", "scored", "validated")
        )
        seconds = epochs * (trained / training + (scored + validated) / scoring)
        report.add("psla", case, f"run of {epochs} epochs", seconds, "s")
        report.add("psla", case, "run, relative to ours", seconds / ours)
        for what, rate in (("training", training), ("scoring", scoring)):
            ratio = report.value("runs", case, what) / rate
            report.add("psla", case, f"our clips/s in {what}, relative", ratio)


# ----------------------------------------------------------------------------- several at once
def be_one_of_several(
    folder: Path, number: int, device: torch.device, settings: RunSettings
) -> None:
    """Train; wait for a line of the parent after the first epoch, and print what it took."""

    def wait_for_the_others() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    own = folder / f"process_{number}"
    own.mkdir(exist_ok=True)
    with opened(folder, "median", device) as (_, data):
        found = train_epochs(data, settings, own, after_first=wait_for_the_others)
    print(json.dumps(found))


def measure_together(
    report: Report, folder: Path, device: torch.device, command: list[str], counts: list[int]
) -> None:
    """So many processes, each training a seed of the median class, on one device."""
    alone = None
    for count in counts:
        processes = []
        try:
            for number in range(count):
                options = ["--folder", str(folder), "--process", str(number)]
                processes.append(
                    subprocess.Popen(
                        [*command, *options],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            for process in processes:
                line = process.stdout.readline()
                if line != "ready\n":
                    raise RuntimeError(f"one of {count} processes ended early: {line!r}")
            if device.type == "cuda":
                free, total = torch.cuda.mem_get_info(device)
                memory = (total - free) / 1e9
                report.add("together", str(count), "memory of the card in use", memory, "GB")
            for process in processes:
                process.stdin.write("\n")
                process.stdin.flush()
            found = [json.loads(process.communicate()[0]) for process in processes]
        finally:
            for process in processes:
                process.kill()
        # While all of them trained, which began together.
        epochs = sum(1 / each["epoch"] for each in found) * 60
        alone = alone or epochs
        report.add("together", str(count), "epochs of the median class", epochs, "per minute")
        report.add("together", str(count), f"relative to {counts[0]}", epochs / alone)


# ----------------------------------------------------------------------------- the command
def study_settings(args: argparse.Namespace) -> tuple[RunSettings, dict, int]:
    """Settings of a run of a few epochs, those of the features, and the epochs of the study."""
    study = load_study("audioset")
    settings = RunSettings.of(study, args.strategy).model_dump()
    settings["model"]["name"] = args.model
    for entry in args.set:
        key, _, value = entry.partition("=")
        section, _, name = key.partition(".")
        settings[section][name] = yaml.safe_load(value)
    epochs = settings["training"]["epochs"]
    settings["training"] |= {"epochs": args.epochs, "patience": None}
    audio = ShardSettings.of(study).model_dump()
    if args.small:
        settings["training"] |= {"batch_size": 8, "score_batch_size": 16}
        settings["augmentation"] |= {"frequency_mask": 8, "time_mask": 8}
        audio |= {"clip_seconds": 1.0, "frames": 104, "mel_bins": 64}
    return RunSettings.model_validate(settings), audio, epochs


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="auto")
    add("--output", type=Path, help="a CSV file of what is printed")
    add("--folder", type=Path, help="where the store is made, and kept (default: temporary)")
    add("--clips", type=int, help=f"default: {AUDIOSET_CLIPS}, and 48 with --small")
    add("--model", default="efficientnet_b2")
    add("--strategy", default="gradient_embedding")
    add("--set", nargs="*", default=[], metavar="KEY=VALUE", help="e.g. model.precision=float32")
    add("--epochs", type=int, help="measured, the first one apart; default: 4, and 2 with --small")
    add("--score-batch-sizes", type=int, nargs="*", help="default: 64 128 256 512 1024")
    add("--together", type=int, nargs="*", default=[1, 2], help="processes at once, e.g. 1 2 4")
    add("--workers", type=int, help="of PSLA's way; default: 32 as in its code, or all cores")
    add("--psla-clips", type=int, help="default: 8192, and 16 with --small")
    add("--parts", nargs="*", choices=PARTS, default=PARTS)
    add("--small", action="store_true", help="a trial of all of this, in a minute of a CPU")
    add("--process", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name, usual, small in (
        ("clips", AUDIOSET_CLIPS, 48),
        ("epochs", 4, 2),
        ("score_batch_sizes", [64, 128, 256, 512, 1024], [8, 16]),
        ("workers", min(32, os.cpu_count()), 1),
        ("psla_clips", 8192, 16),
    ):
        if getattr(args, name) is None:
            setattr(args, name, small if args.small else usual)
    if args.epochs < 2:
        parser.error("--epochs must be at least 2: the first one only warms up")
    return args


def main() -> int:
    args = parse()
    device = prepare(args.device, threads=1)
    settings, audio, epochs = study_settings(args)
    if args.process is not None:
        be_one_of_several(args.folder, args.process, device, settings)
        return 0

    report = Report(args.output)
    for name, value in {
        "command": shlex.join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%d"),
        "device": describe(device),
        "host": f"{os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "h5py": h5py.__version__,
        "settings": settings.model_dump_json(),
    }.items():
        report.add("provenance", "", name, value)
    scale = args.clips / AUDIOSET_CLIPS
    positives = {
        case: max(6 + 2 * number, round(n * scale))
        for number, (case, n) in enumerate(POSITIVES.items())
    }
    frames = audio["frames"]
    failed = []
    with contextlib.ExitStack() as stack:
        folder = args.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "train.csv").exists():
            start = time.perf_counter()
            make_store(folder, args.clips, audio, frames, positives)
            report.add("store", "", "made in", time.perf_counter() - start, "s")
        report.add("store", "", "clips", args.clips)
        for case, count in positives.items():
            report.add("store", case, "positives", count)
        work = work_per_clip(settings, (frames, audio["mel_bins"]), device)
        report.add("store", "", "arithmetic of a clip, scored", work["scored"] / 1e9, "GFLOP")
        report.add("store", "", "arithmetic of a clip, trained", work["trained"] / 1e9, "GFLOP")
        report.add("store", "", "traffic of a clip, scored", work["bytes"] / 1e6, "MB")
        command = [sys.executable, *sys.argv]
        parts = {
            "limits": lambda: measure_limits(report, device, 256 if args.small else 8192),
            "loading": lambda: measure_loading(report, folder, device),
            "runs": lambda: measure_runs(report, folder, device, settings, work, epochs, positives),
            "scoring": lambda: measure_scoring(
                report, folder, device, settings, args.score_batch_sizes
            ),
            "streaming": lambda: measure_streaming(report, folder, device, settings, work),
            "psla": lambda: measure_psla(
                report, folder, device, settings, args.psla_clips, args.workers, epochs
            ),
            "together": lambda: measure_together(report, folder, device, command, args.together),
        }
        for part in args.parts:
            try:
                parts[part]()
            except Exception:  # time on a card is rare: go on with the rest
                traceback.print_exc()
                failed.append(part)
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
