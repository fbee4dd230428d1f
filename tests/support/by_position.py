"""Stages as tests call them: by position, with settings as mappings."""

from collections.abc import Mapping
from pathlib import Path

from weakneg.bags import manifest
from weakneg.config.stages import FeaturesSettings, ManifestSettings, ShardSettings
from weakneg.features import build


def build_features(dataset: str, folder, train_store, test_store, problems, *own_list) -> None:
    """The stores of a data set; `own_list` is a person's own list, its test split, and what is
    not listed."""
    names = dict(zip(("list", "test_split", "unlisted"), own_list, strict=False))
    settings = FeaturesSettings.model_validate({"dataset": {"name": dataset} | names})
    build.build_features(settings, folder, train_store, test_store, problems)


def draw_manifests(train_store, test_store, class_name, settings: Mapping, *manifests) -> None:
    checked = ManifestSettings.model_validate({"seeds": None} | settings)
    manifest.draw_bags(class_name, checked, train_store, test_store, *manifests)


def compute_shard(status, settings: Mapping, output, threads: int) -> None:
    from weakneg.audio import shards

    checked = ShardSettings.model_validate({"waveform": False} | settings)
    shards.compute_shard(Path(status), checked, Path(output), threads)


def train_run(
    store, manifest, folder, settings, identity, device="cpu", threads=1, weights=None
) -> None:
    """Train a run; `identity` has its study, class, strategy and fingerprint."""
    from weakneg.training import run

    run.train_run(
        study=identity["study"],
        class_name=identity["class"],
        strategy=identity["strategy"],
        fingerprint=identity["fingerprint"],
        settings=settings,
        store=store,
        manifest=manifest,
        run=Path(folder),
        device=device,
        threads=threads,
        weights=weights,
    )


def score_run(store, manifest, model, class_name, output, settings, device, threads) -> None:
    from weakneg.training import scoring

    scoring.score_run(class_name, settings, store, manifest, model, output, threads, device)
