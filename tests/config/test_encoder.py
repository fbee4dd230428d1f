"""The encoder of a study: its file must take the sound that the study gives it."""

import shutil
from pathlib import Path

import pytest
import yaml
from encoders import write_encoder

from weakneg.config.load import load_study
from weakneg.config.stages import EmbeddingSettings, FeaturesSettings
from weakneg.errors import UserError
from weakneg.workspace.results import Results


@pytest.fixture
def study(tmp_path, monkeypatch):
    """study(keys of its encoder, other keys...) -> the study, whose encoder is study/tones.onnx."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{n}.wav,{'Dog' * (n % 2)},{'test' if n > 7 else 'train'}" for n in range(12)]
    Path("study/sounds").mkdir(parents=True)
    Path("study/list.csv").write_text("\n".join(["file,labels,split", *rows, ""]))
    write_encoder(Path("study/tones.onnx"))

    def study(encoder: dict | None = None, **keys):
        content = {
            "title": "Mine",
            "dataset": {"name": "recordings", "list": "list.csv", "folder": "sounds"},
            "encoder": {"file": "tones.onnx", "sample_rate": 16000} | (encoder or {}),
            "model": {"name": "mlp"},
            "strategies": ["random"],
        }
        Path("study/mine.yaml").write_text(yaml.safe_dump(content | keys))
        return load_study("study/mine.yaml")

    return study


def test_what_the_file_says_need_not_be_said(study):
    loaded = study()
    assert loaded.kind == "clips"
    assert loaded.encoder.file == "study/tones.onnx"
    assert (loaded.encoder.seconds, loaded.encoder.output) == (0.5, "embedding")
    assert loaded.audio.sample_rate == 16000
    assert Results(loaded).feature_inputs[1:] == [
        f"results/mine/features/embeddings/{split}/000.h5" for split in ("train", "test")
    ]


def test_embeddings_depend_on_the_content_of_the_file_and_not_on_its_place(study):
    of_stages = (EmbeddingSettings, FeaturesSettings)
    first = [settings.of(study()).text() for settings in of_stages]
    Path("elsewhere").mkdir()
    shutil.copy("study/tones.onnx", "elsewhere/same.onnx")
    moved = study({"file": "../elsewhere/same.onnx"})
    assert [settings.of(moved).text() for settings in of_stages] == first
    write_encoder(Path("elsewhere/same.onnx"), gain=2.0)
    other = study({"file": "../elsewhere/same.onnx"})
    assert all(settings.of(other).text() not in first for settings in of_stages)


def test_weights_beside_the_file_are_part_of_its_content(study):
    texts = []
    for folder, gain in (("a", 1.0), ("b", 2.0)):
        Path(folder).mkdir()
        write_encoder(Path(folder, "e.onnx"), gain=gain, beside=True)
        texts.append(EmbeddingSettings.of(study({"file": f"../{folder}/e.onnx"})).text())
    assert Path("a/e.onnx").read_bytes() == Path("b/e.onnx").read_bytes()
    assert texts[0] != texts[1]


@pytest.mark.parametrize(
    ("made", "encoder", "keys", "said"),
    [
        ({}, {"file": "tone.onnx"}, {}, "encoder: tone.onnx cannot be read (No such file"),
        (None, {}, {}, "encoder: study/tones.onnx is not a model that ONNX Runtime can read ("),
        ({"rate": "48000"}, {}, {}, "study/tones.onnx says that it was made for 48000 Hz: set"),
        ({}, {"seconds": 3.0}, {}, "takes 8000 samples, 0.5 s at 16000 Hz, not 3 s: correct"),
        ({"samples": None}, {}, {}, "takes any number of samples: say in seconds how much"),
        ({"batch": 4}, {}, {}, "takes exactly 4 waveforms at a time: export it for any number"),
        ({}, {"output": "embeding"}, {}, "has no output 'embeding': set output to one of embe"),
        (
            {"outputs": ("embedding", "logits")},
            {},
            {},
            "has several outputs: set output to one of embedding, logits",
        ),
        (
            {"outputs": ("embedding", "pairs"), "frames": 4},
            {"output": "pairs"},
            {},
            "the output 'pairs' of study/tones.onnx is not an embedding, which has the shape",
        ),
        ({}, {}, {"audio": {"sample_rate": 8000}}, "audio.sample_rate: must be that of the enc"),
        ({}, {}, {"audio": {"waveform": True}}, "audio.waveform: is for spectrograms, and the e"),
        ({}, {}, {"augmentation": {}}, "augmentation: is for spectrograms, and the encoder make"),
        ({}, {}, {"model": {"name": "cnn"}}, "'cnn' is not a model for the clips of an encoder"),
        ({}, {}, {"dataset": {"name": "digits"}}, "encoder: digits is not an audio data set"),
    ],
)
def test_what_does_not_fit_is_one_sentence(study, made, encoder, keys, said):
    if made is None:
        Path("study/tones.onnx").write_text("<html>not found</html>")
    else:
        write_encoder(Path("study/tones.onnx"), **made)
    with pytest.raises(UserError) as error:
        study(encoder, **keys)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith("..")
