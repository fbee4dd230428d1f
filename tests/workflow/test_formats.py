"""Recordings annotated in each format, from the annotations to a trained model."""

import csv
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
import scipy.io
import soundfile
from by_position import train_run

from weakneg.audio.acquire import acquire_shard
from weakneg.audio.recordings import SPLITS, list_recordings
from weakneg.audio.shards import compute_shard
from weakneg.bags.manifest import list_clips
from weakneg.config.classes import class_names
from weakneg.config.load import load_study
from weakneg.config.stages import (
    AcquireSettings,
    FeaturesSettings,
    ListSettings,
    RunSettings,
    ShardSettings,
)
from weakneg.datasets import recordings
from weakneg.features.build import build_features
from weakneg.features.store import read_store

RATE = 16_000
STUDY = """\
title: Mine
dataset: {dataset}
audio: {{clip_seconds: 1.0, mel_bins: 16, frame_shift_ms: 20}}
model: {{name: cnn}}
training: {{epochs: 1, batch_size: 8, validation_fraction: 0.3}}
sampling: {{negatives_per_positive: 1.0}}
classes: [Dog]
strategies: [random]
seeds: 1
"""


class Event(NamedTuple):
    """The one event of a recording of two seconds."""

    stem: str
    label: str
    onset: float
    offset: float

    @property
    def fold(self) -> int:
        return int(self.stem[1:3]) % 4 // 2


# Every other recording has a dog in its first second, the others a cat in their second.
EVENTS = [
    Event(f"r{n:02}_0", *(("Cat", 1.2, 1.8) if n % 2 else ("Dog", 0.2, 0.8))) for n in range(40)
]


def table(path: str, header: str, row: Callable[[Event], str], events=EVENTS) -> str:
    Path(path).write_text("\n".join([header, *map(row, events)]) + "\n")
    return path


def folder_of(name: str, suffix: str, content: Callable[[Event], str]) -> str:
    Path(name).mkdir()
    for event in EVENTS:
        Path(name, event.stem + suffix).write_text(content(event))
    return name


def own() -> dict:
    row = "{0.stem}.wav,{0.label},{0.onset},{0.offset}".format
    return {"list": table("list.csv", "file,labels,onset,offset", row)}


def raven() -> dict:
    names = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Species")
    row = "1\tSpectrogram 1\t1\t{0.onset}\t{0.offset}\t{0.label}\n".format
    header = "\t".join(names) + "\n"
    return {"list": folder_of("raven", ".Table.1.selections.txt", lambda e: header + row(e))}


def audacity() -> dict:
    return {"list": folder_of("tracks", ".txt", "{0.onset}\t{0.offset}\t{0.label}\n".format)}


def dcase_strong() -> dict:
    row = "{0.stem}.wav\t{0.onset}\t{0.offset}\t{0.label}".format
    return {"list": table("strong.tsv", "filename\tonset\toffset\tevent_label", row)}


def dcase_weak() -> dict:
    return {"list": table("weak.tsv", "filename\tevent_labels", "{0.stem}.wav\t{0.label}".format)}


def fsd50k() -> dict:
    Path("truth").mkdir()
    dev, held_out = ([e for e in EVENTS if e.fold == fold] for fold in (0, 1))
    table("truth/dev.csv", "fname,labels,mids,split", "{0.stem},{0.label},x,train".format, dev)
    table("truth/eval.csv", "fname,labels,mids", "{0.stem},{0.label},x".format, held_out)
    return {"list": "truth"}


def esc50() -> dict:
    row = "{0.stem}.wav,{0.fold},0,{0.label},True,{0.stem},A".format
    header = "filename,fold,target,category,esc10,src_file,take"
    return {"list": table("esc50.csv", header, row), "test_split": "1"}


def urbansound8k() -> dict:
    for event in EVENTS:
        place = Path(f"sounds/fold{event.fold}")
        place.mkdir(exist_ok=True)
        (place / f"{event.stem}.wav").symlink_to(f"../{event.stem}.wav")
    row = "{0.stem}.wav,{0.stem},0,2,1,{0.fold},0,{0.label}".format
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    return {"list": table("UrbanSound8K.csv", header, row), "test_split": "1"}


def audioset_strong() -> dict:
    row = "{0.stem}\t{0.onset}\t{0.offset}\t{0.label}".format
    header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
    return {"list": table("audioset.tsv", header, row)}


def birdnet() -> dict:
    row = "{0.onset},{0.offset},x,{0.label},0.9,sounds/{0.stem}.wav".format
    header = "Start (s),End (s),Scientific name,Common name,Confidence,File"
    return {"list": table("results.csv", header, row), "min_confidence": 0.5}


def any_table() -> dict:
    row = "{0.stem};{0.label};{0.onset};{0.offset}".format
    names = {"file": "rec", "labels": "what", "onset": "from", "offset": "to"}
    return {
        "list": table("mine.txt", "rec;what;from;to", row),
        "columns": names | {"separator": ";"},
        "file_suffix": ".wav",
    }


def textgrid() -> dict:
    def content(event: Event) -> str:
        entries = [(0, event.onset, ""), (event.onset, event.offset, event.label)]
        entries.append((event.offset, 2, ""))
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "2"]
        lines += ["<exists>", "1", '"IntervalTier"', '"species"', "0", "2", "3"]
        lines += [f'{start}\n{end}\n"{label}"' for start, end, label in entries]
        return "\n".join(lines) + "\n"

    return {"list": folder_of("grids", ".TextGrid", content)}


def jams() -> dict:
    def content(event: Event) -> str:
        length = event.offset - event.onset
        data = {"time": event.onset, "duration": length, "value": event.label, "confidence": 1.0}
        annotation = {"namespace": "tag_open", "data": [data], "time": 0, "duration": 2.0}
        annotation |= {"annotation_metadata": {}, "sandbox": {}}
        about = {"duration": 2.0, "jams_version": "0.3.4"}
        return json.dumps({"annotations": [annotation], "file_metadata": about, "sandbox": {}})

    return {"list": folder_of("jams", ".jams", content), "min_confidence": 0.5}


def aoef() -> dict:
    data: dict = {"uuid": str(UUID(int=1)), "name": "mine", "collection_type": "annotation_set"}
    data["tags"] = [{"id": n, "key": "species", "value": v} for n, v in enumerate(("Dog", "Cat"))]
    lists = ("recordings", "clips", "sound_events", "sound_event_annotations", "clip_annotations")
    data |= {name: [] for name in lists}
    for number, event in enumerate(EVENTS):
        sound, clip, heard = (str(UUID(int=10 + 3 * number + i)) for i in range(3))
        shape = {"type": "TimeInterval", "coordinates": [event.onset, event.offset]}
        rows: tuple[dict, ...] = (
            {"path": f"{event.stem}.wav", "duration": 2.0, "channels": 1, "samplerate": RATE},
            {"recording": sound, "start_time": 0.0, "end_time": 2.0},
            {"recording": sound, "geometry": shape},
            {"sound_event": heard, "tags": [number % 2]},
            {"clip": clip, "sound_events": [heard]},
        )
        ids = (sound, clip, heard, heard, clip)
        for name, row, uuid in zip(lists, rows, ids, strict=True):
            data[name].append({"uuid": uuid} | row)
    Path("set.json").write_text(json.dumps({"version": "1.1.0", "data": data}))
    return {"list": "set.json"}


def notmat() -> dict:
    Path("songs").mkdir()
    for event in EVENTS:
        times = {"onsets": 1000 * event.onset, "offsets": 1000 * event.offset}
        letter = {"Dog": "d", "Cat": "c"}[event.label]
        scipy.io.savemat(f"songs/{event.stem}.wav.not.mat", {**times, "labels": letter})
    return {"list": "songs"}


WITHOUT_TIMES = (dcase_weak, fsd50k, esc50, urbansound8k)
LIBRARIES = {textgrid: "praatio", jams: "jams", aoef: "soundevent"}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for event in EVENTS:
        samples = 0.02 * rng.standard_normal(2 * RATE)
        heard = slice(round(event.onset * RATE), round(event.offset * RATE))
        hertz = 400 if event.label == "Dog" else 3000
        samples[heard] += 0.3 * np.sin(2 * np.pi * hertz / RATE * np.arange(2 * RATE))[heard]
        soundfile.write(folder / f"{event.stem}.wav", samples, RATE)
    return folder


def positive_clips(folder: Path, name: str) -> Iterator[tuple[str, float]]:
    for split in SPLITS:
        store = read_store(folder / f"{split}.h5")
        assert store.start is not None
        for number in store.positive(name).nonzero()[0]:
            yield Path(str(store.id[number]).partition("@")[0]).stem, float(store.start[number])


@pytest.mark.parametrize(
    "annotations",
    [
        *(own, raven, audacity, dcase_strong, dcase_weak, fsd50k, esc50, urbansound8k),
        *(audioset_strong, birdnet, any_table, textgrid, jams, aoef, notmat),
    ],
    ids=lambda function: function.__name__,
)
def test_the_same_events_label_the_same_clips_in_each_format(
    annotations, sounds, tmp_path, monkeypatch
):
    if annotations in LIBRARIES:
        importlib.import_module(LIBRARIES[annotations])
    monkeypatch.chdir(tmp_path)
    for function in (recordings._rows, recordings.recordings, class_names):
        function.cache_clear()  # lists of other tests have the same names
    Path("sounds").mkdir()
    for path in sounds.iterdir():
        Path("sounds", path.name).symlink_to(path)
    dataset = {"name": "recordings", "folder": "sounds"} | annotations()
    if annotations is not own:
        dataset["annotated"] = "whole"
    name = "d" if annotations is notmat else "Dog"
    text = STUDY.format(dataset=json.dumps(dataset)).replace("Dog", name)
    Path("mine.yaml").write_text(text)
    study = load_study("mine.yaml")

    list_recordings(ListSettings.of(study), Path(), Path("recordings.csv"))
    shards = []
    for split in SPLITS:
        status, shard = Path(f"{split}.csv"), Path(split, "000.h5")
        shard.parent.mkdir()
        acquired = AcquireSettings.of(study, split, "000")
        acquire_shard(acquired, Path(), split, 0, Path("sounds"), Path("audio"), status)
        compute_shard(status, ShardSettings.of(study), shard, 1)
        shards.append(shard)
    stores = [Path(f"{split}.h5") for split in SPLITS]
    inputs = [Path("recordings.csv"), *shards]
    build_features(FeaturesSettings.of(study), Path(), *stores, Path("problems.csv"), inputs)
    with open("problems.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == []
    list_clips(stores[0], Path("bags.csv"))
    identity = {"study": "mine", "class": name, "strategy": "random", "fingerprint": "f00d"}
    train_run(stores[0], Path("bags.csv"), "run", RunSettings.of(study, "random"), identity)

    starts = (0.0, 1.0) if annotations in WITHOUT_TIMES else (0.0,)
    dogs = {(e.stem, start) for e in EVENTS if e.label == "Dog" for start in starts}
    assert {*positive_clips(tmp_path, name)} == dogs
    record = json.loads(Path("run/run.json").read_text())
    assert record["n_positive"]["0"] > 0
    assert record["n_pool"]["0"] > 0
