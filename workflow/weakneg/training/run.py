"""Training of the seeds of a (class, strategy) pair."""

import hashlib
import io
import json
import math
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from weakneg.bags.draw import Bags
from weakneg.bags.hidden import hidden_bags, observe, without_labels
from weakneg.bags.manifest import read_bags
from weakneg.bags.split import split_validation
from weakneg.config.stages import RunSettings
from weakneg.features.store import Store, open_store
from weakneg.io.files import replace_when_whole, unreadable
from weakneg.io.hdf5 import content_digest
from weakneg.io.parquet import write_table
from weakneg.jobs.device import describe, prepare
from weakneg.jobs.gpus import Device
from weakneg.jobs.scratch import Staged
from weakneg.stages import Threads, stage
from weakneg.training import together
from weakneg.training.data import BagData, draw_of
from weakneg.training.loop import State, train_seeds
from weakneg.training.noise import open_noise

_SAVE_EVERY = 1.0  # seconds


@stage
def train_run(
    study: str,
    class_name: str,
    strategy: str,
    settings: RunSettings,
    store: Staged,
    manifest: Path,
    run: Path,
    threads: Threads,
    weights: Path | None = None,
    noise: Path | None = None,
    device: Device = "",
    fingerprint: str = "",
) -> None:
    """Train the seeds of a (class, strategy) pair.

    Parameters
    ----------
    study, class_name, strategy : str
        Which run it is, for the record.
    settings : RunSettings
        Model, sampling, training, augmentation, strategy and seeds.
    store, manifest : Path
        The training split's features and bags.
    run : Path
        Folder of the run. It gets model.pt, history.parquet, timing.parquet, selection.h5 and
        run.json, and in `seeds/` the state of each seed after its last finished epoch or, where
        epochs are short, one that ended up to a second before it. A killed job continues from there
        and ends with the same files; adding a seed leaves the others unchanged.
    threads : int
        CPU threads.
    weights : Path
        torchvision's ImageNet weights, if the encoder starts from them.
    noise : Path
        The background noise, if augmentation adds any.
    device : str
        auto, cpu, cuda or cuda:N; by default what WEAKNEG_DEVICE says, or auto.
    fingerprint : str
        Fingerprint of the code, for the record; a seed starts over when it has changed.

    Raises
    ------
    UserError
        When an input cannot be used, or training diverges.
    """
    identity = {
        "study": study,
        "class": class_name,
        "strategy": strategy,
        "fingerprint": fingerprint,
    }
    on_device = prepare(device, threads)
    imagenet = None if weights is None else _imagenet(weights)
    states: dict[int, State] = {}
    hidden: dict[int, np.ndarray] = {}
    with (
        open_store(store) as features,
        nullcontext() if noise is None else open_noise(noise, on_device) as background,
    ):
        draws = read_bags(manifest, features, settings.classes or class_name)
        inputs = _digest_of(features) + (background.digest if background else "")
        data: BagData | None = None
        drawn: Bags | None = None
        for group in together.groups(settings, on_device):
            seeds: dict[int, tuple[BagData, str]] = {}
            for seed in group:
                bags = draw_of(draws, seed, settings.draw_per_seed, manifest)
                if data is None or bags is not drawn:
                    data, drawn = BagData(features, bags, on_device, noise=background), bags
                of_seed = data
                if settings.hidden_positives:
                    # From here on, nothing knows what was hidden: only the record names it.
                    rows = hidden_bags(bags.label, settings.hidden_positives, seed)
                    bags = without_labels(bags, rows)
                    of_seed = data.relabelled(bags)
                    fraction = settings.training.validation_fraction
                    train, _ = split_validation(bags.label, fraction, seed, bags.group)
                    hidden[seed] = np.intersect1d(rows, train)
                elif settings.observed is not None:
                    bags = observe(bags, settings.observed, seed)
                    of_seed = data.relabelled(bags)
                seeds[seed] = of_seed, _key(settings, seed, fingerprint, inputs, bags)
            states |= _train_seeds(run / "seeds", seeds, settings, imagenet)
        assert data is not None  # a study has at least one seed
        _write_run(run, states, settings, identity, features, data.instance_shape, hidden)


def _train_seeds(
    folder: Path,
    seeds: Mapping[int, tuple[BagData, str]],
    settings: RunSettings,
    imagenet: dict[str, Tensor] | None,
) -> dict[int, State]:
    """Train seeds, of which `seeds` has the bags and the key.

    They continue from the states in `folder` that have the same key, since these belong to the same
    training.
    """
    device = next(iter(seeds.values()))[0].device
    made_with = {
        "device": describe(device),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }

    saved: dict[int, float] = {}

    def after_epoch(seed: int, state: State) -> None:
        # To save after each of many short epochs would take a quarter of the time.
        if state["finished"] or time.monotonic() - saved.get(seed, -math.inf) >= _SAVE_EVERY:
            _save(folder / f"{seed}.pt", state | {"key": seeds[seed][1], "made_with": made_with})
            saved[seed] = time.monotonic()
        last, seconds = state["history"][-1], state["timing"][-1]
        print(
            f"seed {seed}  epoch {last['epoch']}/{settings.training.epochs}"
            f"  loss {last['train_loss']:.4f}  validation AP {last['validation_ap']:.4f}"
            f"  {sum(v for k, v in seconds.items() if k.startswith('seconds')):.1f} s",
            file=sys.stderr,
            flush=True,
        )

    found: dict[int, State] = {}
    waiting: dict[int, tuple[BagData, State | None]] = {}
    for seed, (data, key) in seeds.items():
        state = _saved_state(folder / f"{seed}.pt", key)
        if state is not None:
            print(
                f"seed {seed}  continues after epoch {state['epoch']}", file=sys.stderr, flush=True
            )
        if state is not None and state["finished"]:
            found[seed] = state
        else:
            waiting[seed] = data, state
    trained = train_seeds(waiting, settings, after_epoch, imagenet)
    found |= {seed: state | {"made_with": made_with} for seed, state in trained.items()}
    return {seed: found[seed] for seed in seeds}


def _imagenet(path: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = torch.load(path, weights_only=True)
    except Exception as error:  # on damaged files torch.load raises nearly anything
        raise unreadable(path, error, "delete it, so that it is downloaded again") from error
    return weights


def _saved_state(path: Path, key: str) -> State | None:
    try:
        # On the CPU, where row numbers belong; a model copies its weights to its own device.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # on damaged files torch.load raises nearly anything
        print(
            f"{path} cannot be read ({type(error).__name__}): this seed starts over",
            file=sys.stderr,
        )
        return None
    return state if isinstance(state, dict) and state.pop("key", None) == key else None


def _key(settings: RunSettings, seed: int, fingerprint: str, inputs: str, bags: Bags) -> str:
    """Hash everything that determines the result of training a seed."""
    decisive = settings.model_dump(exclude={"seeds", "draw_per_seed"})
    # Only where it holds, so that states of other bags stay valid.
    observed = ["negatives observed"] if bags.negatives_observed else []
    text = json.dumps([decisive, seed, fingerprint, inputs, *observed], sort_keys=True)
    more = [each for each in (bags.group, bags.truth) if each is not None]
    arrays = [bags.label, bags.instances, *more]
    return _digest(np.frombuffer(text.encode(), dtype=np.uint8), *arrays)


def _digest_of(features: Store) -> str:
    large = [data for data in (features.x, features.waveform) if data is not None]
    padding = features.parameters.get("padding", "")  # what a model hears of the same x
    return _digest(features.mean, features.std) + "".join(map(content_digest, large)) + padding


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write_run(
    folder: Path,
    states: Mapping[int, State],
    settings: RunSettings,
    identity: Mapping[str, str],
    features: Store,
    instance_shape: Sequence[int],
    hidden: Mapping[int, np.ndarray],
) -> None:
    weights = {
        seed: {name: value.cpu() for name, value in state["best_model"].items()}
        for seed, state in states.items()
    }
    # It contains all that is needed to score other data, so that this file alone can be shared.
    model: dict[str, Any] = {
        **identity,
        **({"classes": settings.classes} if settings.classes is not None else {}),
        "model": settings.model.model_dump(),
        "kind": features.kind,
        "parameters": dict(features.parameters),
        "mean": features.mean.tolist(),
        "std": features.std.tolist(),
        "instance_shape": list(instance_shape),
        "weights": weights,
        # The same keys for all seeds: pickle writes equal strings once only if they are one object.
        "validation": {
            seed: {name: state["validation"][name] for name in ("label", "logit")}
            for seed, state in states.items()
        },
    }
    _save(folder / "model.pt", model)
    for name in ("history", "timing"):
        rows = [{"seed": seed} | row for seed, state in states.items() for row in state[name]]
        write_table(folder / f"{name}.parquet", pa.Table.from_pylist(rows))
    _write_selections(folder / "selection.h5", states, hidden)
    record: dict[str, Any] = {
        **identity,
        "settings": settings.model_dump(),
        **{
            key: {str(seed): state[key] for seed, state in states.items()}
            for key in ("made_with", "n_positive", "n_pool", "thresholds", "tied")
            if key in next(iter(states.values()))
        },
        "budget": {
            str(seed): state["history"][-1]["n_negatives"] for seed, state in states.items()
        },
    }
    with replace_when_whole(folder / "run.json") as path:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _write_selections(
    path: Path, states: Mapping[int, State], hidden: Mapping[int, np.ndarray]
) -> None:
    """Write, for each seed, epoch (E,), bags (E, k) and scores (E, k) of its E selections.

    Bags are row numbers of the manifest, in order of choice. Rows of selections that chose fewer
    than k are filled with -1 and NaN. Where the strategy gives weights, they are written as weights
    (E, k). A record of the negatives that were trained on is written in the same way, as epoch,
    bags, logits and treatment in the folder trained, and the rows of the hidden positives of the
    pool as hidden. Of many classes, nothing is chosen; what became of their labels is in the folder
    labels: epoch (E,), and the arrays of `weakneg.training.labels`, with the epochs first.
    """
    with (
        replace_when_whole(path) as temporary,
        h5py.File(temporary, "w", locking=False) as file,
    ):
        fill = {"bags": -1, "scores": np.nan, "weights": np.nan, "logits": np.nan, "treatment": 0}
        for seed, state in states.items():
            tables = {"": state["selections"], "trained/": state["trained"]}
            for folder, rows in tables.items():
                if not rows:
                    continue
                width = max(len(row["bags"]) for row in rows)
                arrays = {"epoch": np.array([row["epoch"] for row in rows])}
                for name in dict.fromkeys(key for row in rows for key in row if key != "epoch"):
                    # A choice without weights, such as that of the warm-up, has weights of 1.
                    found = [
                        row[name].numpy(force=True)
                        if name in row
                        else np.ones(len(row["bags"]), np.float32)
                        for row in rows
                    ]
                    arrays[name] = np.full((len(rows), width), fill[name], found[0].dtype)
                    for values, of_row in zip(arrays[name], found, strict=True):
                        values[: len(of_row)] = of_row
                for name, values in arrays.items():
                    _write_array(file, f"seed_{seed}/{folder}{name}", values)
            if of_epochs := state.get("labels"):
                for name in of_epochs[0]:
                    values = np.stack([np.asarray(row[name]) for row in of_epochs])
                    _write_array(file, f"seed_{seed}/labels/{name}", values)
            if seed in hidden:
                file.create_dataset(f"seed_{seed}/hidden", data=hidden[seed], track_times=False)


def _write_array(file: h5py.File, name: str, values: np.ndarray) -> None:
    file.create_dataset(name, data=values, compression="gzip", track_times=False)


def _save(path: Path, content: Mapping[str, Any]) -> None:
    # Through a buffer: torch.save writes the name of the file into the file.
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with replace_when_whole(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
