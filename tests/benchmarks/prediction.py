"""How fast recordings are scored, against opensoundscape, side by side in one run.

    python tests/benchmarks/prediction.py results/soundscapes/runs/siren/random \\
        --opensoundscape PYTHON [--minutes 60] [--rate 32000] [--rounds 3] [--default-size]

PYTHON is that of an environment with opensoundscape (0.13.2 was measured). Both score the same
recordings, WAV files of one minute in 16 bits, from files to a table, start-up included, with a
network of the same size: one seed of a run of the study `soundscapes`, and for opensoundscape the
same encoder, with the mean over its instances and a layer of one output, on spectrograms of as many
bands and frames (--default-size: the 224 x 224 that it makes by default). It gets 64 clips at a
time and as many workers as there are cores.

Every round runs each once, in turn; the figures are medians over rounds. Memory is that of the
largest process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
OTHER = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from opensoundscape.ml.cnn import SpectrogramClassifier
from weakneg.models.cnn import CNN

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.last = CNN(), torch.nn.Linear(CNN.embedding_size, 1)

    def forward(self, x):
        return self.last(self.encoder(x[:, 0]).mean(1))

if __name__ == "__main__":
    size = {} if sys.argv[3] == "default" else {"height": 64, "width": 200}
    model = SpectrogramClassifier(Network(), ["Siren"], 4.0, 16000, channels=1, **size)
    model.device = "cpu"
    scores = model.predict(
        sys.argv[5:], batch_size=64, num_workers=int(sys.argv[2]), activation_layer="sigmoid"
    )
    scores.to_csv(sys.argv[4])
"""


class Cost(NamedTuple):
    """What a command took: seconds on the clock and of a processor, and megabytes."""

    clock: float
    processor: float
    memory: float


def cost(command: list[str], environment: dict[str, str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(said)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--opensoundscape", required=True, metavar="PYTHON")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=32_000)
    parser.add_argument("--default-size", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cores = str(os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        files = []
        for minute in range(given.minutes):
            files.append(f"{folder}/{minute}.wav")
            noise = 0.1 * rng.standard_normal(60 * given.rate)
            soundfile.write(files[-1], noise, given.rate, subtype="PCM_16")
        script = Path(folder, "other.py")
        script.write_text(OTHER)
        workflow = str(ROOT / "workflow")
        ours = [sys.executable, "-m", "weakneg", "predict", *files, "--models", str(given.run)]
        ours += ["--output", f"{folder}/ours.csv", "--seeds", "0", "--threads", cores]
        size = "default" if given.default_size else "same"
        theirs = [given.opensoundscape, str(script), workflow, cores, size]
        theirs += [f"{folder}/theirs.csv", *files]
        costs: dict[str, list[Cost]] = {"weakneg": [], "opensoundscape": []}
        for number in range(given.rounds):
            costs["weakneg"].append(cost(ours, {"PYTHONPATH": workflow}))
            costs["opensoundscape"].append(cost(theirs, {}))
            for name, found in costs.items():
                print(f"round {number + 1}  {name:14}  {found[-1]}", file=sys.stderr, flush=True)
            ours_scored, theirs_scored = (
                len(Path(folder, f"{name}.csv").read_text(encoding="utf-8").splitlines()) - 1
                for name in ("ours", "theirs")
            )
            print(f"clips scored: {ours_scored} and {theirs_scored}", file=sys.stderr)
    print("| | seconds | of a processor | times real time | memory, MB |")
    print("|---|---:|---:|---:|---:|")
    for name, found in costs.items():
        clock, processor, memory = (statistics.median(each) for each in zip(*found, strict=True))
        speed = 60 * given.minutes / clock
        print(f"| {name} | {clock:.1f} | {processor:.1f} | {speed:.0f} | {memory:.0f} |")
    for part in ("clock", "processor"):
        ratios = [
            getattr(b, part) / getattr(a, part)
            for a, b in zip(costs["weakneg"], costs["opensoundscape"], strict=True)
        ]
        print(f"ratio of {part}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
