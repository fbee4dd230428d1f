"""What crowsetta, an independent reader, finds in the tables and tracks of `detections`."""

from pathlib import Path

import crowsetta
import numpy as np
import pandas as pd
import pytest
import soundfile
from pandera.errors import SchemaError

from weakneg.command_line import main
from weakneg.datasets import formats
from weakneg.datasets.formats import Table

HEADER = "recording,start,end,study,class,strategy,seeds,score,problem"
FOUND = {  # recording -> start, end and class of its detections
    "owls.wav": [(0.0, 4.0, "Owl"), (2.0, 4.0, 'Owl, "barred"'), (6.0, 8.0, "Owl")],
    "odd.wav": [(1 / 3, 2 / 3, "Été 鳥"), (0.75, 1.0, "3")],
    "na.wav": [(0.0, 2.0, "NA"), (0.0, 2.0, "Owl")],
    "none.wav": [],
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the files of a format; returns the one of each recording."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for recording, found in FOUND.items():
        soundfile.write(recording, np.zeros(8), 32_000)
        rows.append((recording, 8, 9, "birds", "Owl", "random", "0", 0.1, ""))
        rows += [
            (recording, *place, "birds", name, "random", "0", 0.9, "") for *place, name in found
        ]
    pd.DataFrame(rows, columns=HEADER.split(",")).to_csv("scores.csv", index=False)

    def write(format: str) -> dict[str, Path]:
        shared = ["--format", format, "--output", "out", "--threshold", "0.5"]
        assert main(["detections", "scores.csv", *shared]) == 0
        return {name: next(Path("out").glob(f"{name}.*")) for name in FOUND}

    return write


READ = ("owls.wav", "odd.wav")


def test_a_table_of_raven_has_the_times_frequencies_and_labels_of_the_detections(written):
    files = written("raven")
    for name in READ:
        boxes = crowsetta.formats.bbox.Raven.from_file(files[name], annot_col="Species").to_bbox()
        assert [(box.label, box.low_freq, box.high_freq) for box in boxes] == [
            (label, 0.0, 16_000.0) for _, _, label in FOUND[name]
        ]
        times = [(box.onset, box.offset) for box in boxes]
        np.testing.assert_allclose(times, [place for *place, _ in FOUND[name]], atol=1e-8)


def test_a_track_of_audacity_has_the_times_and_labels_of_the_detections(written):
    files = written("audacity")
    for name in READ:
        track = crowsetta.formats.seq.AudSeq.from_file(files[name]).to_seq(round_times=False)
        assert track.labels.tolist() == [label for *_, label in FOUND[name]]
        times = np.stack([track.onsets_s, track.offsets_s], 1)
        np.testing.assert_allclose(times, [place for *place, _ in FOUND[name]], atol=1e-6)


@pytest.mark.parametrize(
    ("format", "reader", "empty"),
    [
        ("raven", crowsetta.formats.bbox.Raven, "there are no rows"),
        ("audacity", crowsetta.formats.seq.AudSeq, "No columns to parse"),
    ],
)
def test_what_crowsetta_cannot_read_is_right_all_the_same(written, format, reader, empty):
    """It refuses recordings without detections and, as missing values, labels like NA.

    Raven and Audacity write such files, too, and this project reads them.
    """
    files = written(format)
    columns = {"annot_col": "Species"} if format == "raven" else {}
    with pytest.raises(ValueError, match=empty):
        reader.from_file(files["none.wav"], **columns)
    with pytest.raises(SchemaError, match="non-nullable"):
        reader.from_file(files["na.wav"], **columns)
    rows = [*formats.rows(Table("out", format, min_confidence=0.0))]
    mine = {(row.file, *row.times, *row.labels) for row in rows if row.labels and row.times}
    expected = {(name, *found) for name in ("na.wav", "owls.wav") for found in FOUND[name]}
    assert {found for found in mine if found[0] != "odd.wav"} == expected
    assert "none.wav" in {row.file for row in rows}
