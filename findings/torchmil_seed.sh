#!/bin/sh
# torchmil 1.0.2 (the current release on 2026-11-29): the seed of its synthetic data sets does nothing.
#
# SCStandardMILDataset, MCStandardMILDataset and FalseFrequencyMILDataset, the unit tests of Raff and
# Holt (arXiv 2310.17867), take a seed and pass it to NumPy, but draw with PyTorch. The same seed
# gives other bags each time, and after torch.manual_seed(0) the seeds 0 and 1 give the same bags.
#
# The negative bags of FalseFrequencyMILDataset hold one of two concepts, which has mean 2 or 3. It is
# always the one with mean 2, so that the other concept alone tells positive bags: a model passes
# the test without learning what it tests.
#
# Output seen, with torch 2.14.1 (whose packages take about 6 GB):
#
#     SCStandardMILDataset: same seed, same bags: False; seeds 0 and 1 after torch.manual_seed(0): True
#     MCStandardMILDataset: same seed, same bags: False; seeds 0 and 1 after torch.manual_seed(0): True
#     FalseFrequencyMILDataset: same seed, same bags: False; seeds 0 and 1 after torch.manual_seed(0): True
#     negative bags of FalseFrequencyMILDataset with the concept of mean 2: 200, of mean 3: 0
#
# Exits with 0 if this still happens, with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torchmil==1.0.2 torch==2.14.1 tensordict==0.15.3 numpy==2.4.6
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torchmil.datasets import (
    FalseFrequencyMILDataset,
    MCStandardMILDataset,
    SCStandardMILDataset,
)


def bags(kind, seed):
    size = {"B": 2} if kind is SCStandardMILDataset else {}
    dataset = kind(D=2, num_bags=4, seed=seed, **size)
    return [dataset[i]["X"].tolist() for i in range(4)]


as_described = True
for kind in (SCStandardMILDataset, MCStandardMILDataset, FalseFrequencyMILDataset):
    repeated = bags(kind, 0) == bags(kind, 0)
    of_seeds = []
    for seed in (0, 1):
        torch.manual_seed(0)
        of_seeds.append(bags(kind, seed))
    ignored = of_seeds[0] == of_seeds[1]
    as_described &= ignored and not repeated
    print(
        f"{kind.__name__}: same seed, same bags: {repeated}; "
        f"seeds 0 and 1 after torch.manual_seed(0): {ignored}"
    )

dataset = FalseFrequencyMILDataset(D=16, num_bags=400)
bags = [dataset[i] for i in range(400)]
means = [bag["X"][bag["y_inst"] == 1].mean().item() for bag in bags if bag["Y"] == 0]
first, second = (sum(abs(mean - concept) < 0.5 for mean in means) for concept in (2, 3))
print(
    "negative bags of FalseFrequencyMILDataset with the concept of mean 2: "
    f"{first}, of mean 3: {second}"
)
sys.exit(not (as_described and second == 0))
PYTHON
