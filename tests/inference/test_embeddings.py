"""The file of embeddings: its rows, and what they are embeddings of."""

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch

from weakneg.command_line import main
from weakneg.inference.embeddings import SCHEMA
from weakneg.inference.trained import read_models


@pytest.fixture(scope="module")
def written(encoded, tmp_path_factory):
    """The tables of clips, of frames and of embeddings of the test recordings."""
    folder = tmp_path_factory.mktemp("written")
    files = [folder / name for name in ("scores.csv", "frames.csv", "embeddings.parquet")]
    options = zip(("--output", "--frames", "--embeddings"), files, strict=True)
    arguments = ["predict", encoded / "test", "--models", *(encoded / "runs").glob("*/random")]
    arguments += [word for option in options for word in option]
    assert main([*map(str, arguments)]) == 0
    assert pyarrow.parquet.read_schema(files[2]).equals(SCHEMA)
    return pd.read_csv(files[0]), pd.read_csv(files[1]), pd.read_parquet(files[2])


def test_every_clip_and_frame_has_a_row_for_each_model_and_seed(written):
    clips, frames, embeddings = written
    key = ["recording", "start", "end", "class"]
    for seed in (0, 3):
        rows = embeddings[embeddings.seed == seed]
        of_clips, of_frames = rows[rows.time.isna()], rows[rows.time.notna()]
        assert of_clips[key].to_numpy().tolist() == clips[key].to_numpy().tolist()
        key_of_frames = [*key, "time"]
        expected = frames[key_of_frames].sort_values(key_of_frames).reset_index(drop=True)
        found = of_frames[key_of_frames].sort_values(key_of_frames).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert set(embeddings.seed) == {0, 3}
    assert {len(each) for each in embeddings.embedding} == {128}


def test_the_embedding_of_a_clip_is_the_mean_of_those_of_its_frames(written):
    _, _, embeddings = written
    key = ["recording", "start", "class", "seed"]
    for _, rows in embeddings.groupby(key):
        (bag,) = rows.embedding[rows.time.isna()]
        np.testing.assert_allclose(
            bag, np.mean(rows.embedding[rows.time.notna()].tolist(), axis=0), rtol=1e-4, atol=1e-6
        )


def test_the_last_layer_makes_the_scores_of_the_embeddings(encoded, written):
    clips, _, embeddings = written
    (model,) = read_models([encoded / "runs/Hum/random"], None, torch.device("cpu"))
    clip = clips[clips["class"] == "Hum"].iloc[0]
    rows = embeddings[
        (embeddings.recording == clip.recording)
        & (embeddings.start == clip.start)
        & (embeddings["class"] == "Hum")
        & embeddings.time.notna()
    ]
    scores = []
    for seed, network in model.networks.items():
        h = torch.from_numpy(np.stack(rows.embedding[rows.seed == seed]))[None]
        logit = network.head.logit(h, torch.ones(h.shape[:2], dtype=torch.bool))
        scores.append(logit.double().sigmoid().item())
    assert clip.score == pytest.approx(np.mean(scores), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--embeddings", "e.parquet", "--resume"], "--resume cannot continue a file of embedd"),
        (["--embeddings", "s.csv"], "s.csv is named for clips and for embeddings: give --embed"),
    ],
)
def test_options_that_exclude_each_other(encoded, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    arguments = ["predict", str(encoded / "test"), "--output", "s.csv", *options]
    assert main([*arguments, "--models", str(encoded / "runs/Hum/random")]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
