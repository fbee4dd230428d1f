"""Every data set can be loaded by stages, which depend on no more of it than they use."""

import pytest

from weakneg import datasets
from weakneg.datasets import Dataset
from weakneg.workspace.fingerprint import explain, plugin_module

LOADERS = {"images": "load_images", "clips": "load_clips", "spectrograms": "recordings"}
every_dataset = pytest.mark.parametrize("name", datasets.names())


@every_dataset
def test_a_data_set_is_made_by_keywords_alone(name):
    assert "kind" in plugin_module(f"datasets.{name}").definitions["DATASET"].parts


@every_dataset
def test_a_data_set_has_the_function_that_its_kind_needs(name):
    data = datasets.load(name)
    loaders = {loader for loader in LOADERS.values() if getattr(data, loader, None) is not None}
    assert loaders == {LOADERS[data.kind]}
    # Spectrograms need it; of other published clips it may be known.
    assert data.split_sizes is not None or data.kind != "spectrograms"
    if isinstance(data, Dataset):
        assert bool(data.files) is (data.fetch is not None)


@pytest.mark.parametrize("name", ["audioset_vggish", "cifar10"])
def test_features_do_not_depend_on_how_the_files_are_fetched(name):
    parts = explain(
        "weakneg.features.build:build_features", ["features.from_files", f"datasets.{name}"]
    )
    assert f"weakneg.datasets.{name}:DATASET.kind" in parts
    assert not {part for part in parts if part.endswith(("DATASET.fetch", f"{name}:fetch"))}
