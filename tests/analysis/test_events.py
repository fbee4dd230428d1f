"""Event detection: what is measured is what the definitions say, on the frames that there are."""

import sys

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from weakneg.analysis.events import ALL, Clips, clips_of, library, measure
from weakneg.analysis.places import Places
from weakneg.datasets.listened import HeardClip
from weakneg.errors import UserError
from weakneg.workspace.start import check_packages

MEANS = {"Dog": {"heard": ["Bark", "Howl"]}, "Cat": {"heard": ["Meow"]}}
SECONDS = np.arange(11.0)


def heard(*sounds) -> HeardClip:
    return HeardClip("x", None, frozenset(name for name, *_ in sounds), sounds)


def clips(*of_rows, edges=SECONDS, lengths=None, ends=None) -> Clips:
    lengths = lengths or [len(edges) - 1] * len(of_rows)
    mask = np.arange(len(edges) - 1) < np.array(lengths)[:, None]
    ends = edges[mask.sum(1)] if ends is None else np.array(ends)
    return clips_of(dict(enumerate(of_rows)), MEANS, Places(mask, edges, ends))


def some(n=80, seed=0) -> tuple[list[np.ndarray], Clips]:
    """Events of whole seconds, and what an imperfect model says of the seconds."""
    random = np.random.default_rng(seed)
    rows, parts = [], []
    for number in range(n):
        onset = random.integers(0, 6)
        offset = onset + random.integers(1, 5)
        kind = ("Bark", "Meow")[number % 2]
        rows.append(heard((kind, float(onset), float(offset))))
        said = random.normal(size=(10, 2))
        said[onset:offset, number % 2] += 2
        parts.append(said)
    return parts, clips(*rows)


def test_what_touches_or_overlaps_is_one_event_of_its_class():
    sounds = ("Bark", 1, 2), ("Howl", 1.5, 3), ("Bark", 3, 4), ("Meow", 3.5, 5), ("Bark", 6, 7)
    found = clips(heard(*sounds))
    assert found.events == [[(1, 4, "0"), (6, 7, "0"), (3.5, 5, "1")]]


def test_events_end_with_the_sound_of_their_clip():
    found = clips(heard(("Bark", 2, 9), ("Meow", 4, 5)), lengths=[3])
    assert found.events == [[(2, 3.0, "0")]]
    assert found.edges[0].tolist() == [0, 1, 2, 3]


def test_frames_begin_and_end_with_the_sound_of_their_clip():
    edges = np.array([-0.5, 0.5, 1.5, 2.5])
    found = clips(heard(("Bark", 1.5, 3)), heard(), edges=edges, lengths=[3, 2], ends=[2.0, 1.7])
    assert [each.tolist() for each in found.edges] == [[0, 0.5, 1.5, 2.0], [0, 0.5, 1.7]]
    assert found.events == [[(1.5, 2.0, "0")], []]


class TestMeasures:
    @pytest.fixture(autouse=True)
    def _needs_the_library(self):
        pytest.importorskip("sed_scores_eval", reason="pip install -e '.[sed]' builds it")

    def test_f1_is_the_best_one_over_all_thresholds(self):
        parts, of_clips = some()
        found = measure(parts, of_clips)["segment_f1"]
        said = np.stack(parts)
        for column, name in enumerate(MEANS):
            holds = np.zeros(said.shape[:2], bool)
            for row, events in enumerate(of_clips.events):
                for onset, offset, label in events:
                    if label == str(column):
                        holds[row, int(onset) : int(offset)] = True
            precision, recall, _ = precision_recall_curve(holds.ravel(), said[..., column].ravel())
            best = (2 * precision * recall / (precision + recall)).max()
            assert found[name] == pytest.approx(best)
        assert found[ALL] == pytest.approx((found["Dog"] + found["Cat"]) / 2)

    def test_a_frame_that_reaches_beyond_its_clip_makes_no_segment(self):
        said = np.array([[0.0, 0], [0, 0], [1, 0]])
        edges = np.array([-0.4, 0.4, 1.2, 2.1])
        found = measure([said], clips(heard(("Bark", 1.5, 2)), edges=edges, ends=[2.0]))
        assert found["segment_f1"][ALL] == 1

    def test_a_model_that_knows_all_has_no_mistakes(self):
        _, of_clips = some()
        parts = [np.zeros((10, 2)) for _ in of_clips.events]
        for said, events in zip(parts, of_clips.events, strict=True):
            for onset, offset, label in events:
                said[int(onset) : int(offset), int(label)] = 1
        for values in measure(parts, of_clips).values():
            assert values == {ALL: 1, "Dog": 1, "Cat": 1}

    def test_only_the_order_of_scores_matters(self):
        parts, of_clips = some()
        other = measure([1 / (1 + np.exp(-said - 3)) for said in parts], of_clips)
        for name, values in measure(parts, of_clips).items():
            assert values == pytest.approx(other[name])

    def test_hearing_the_right_class_at_the_wrong_time_is_seen_by_psds_1(self):
        _, of_clips = some()
        parts = []
        for events in of_clips.events:
            said = np.zeros((10, 2))
            for _, _, label in events:
                said[:, int(label)] = 1  # from beginning to end
            parts.append(said)
        found = measure(parts, of_clips)
        assert found["psds2"][ALL] > 0.9
        assert found["psds1"][ALL] < 0.1

    def test_a_class_without_an_event_is_left_out(self):
        said = np.zeros((10, 2))
        said[1, 1] = 1
        found = measure([said], clips(heard(("Meow", 1, 2))))
        assert all(values == {ALL: 1, "Cat": 1} for values in found.values())

    def test_a_list_without_times_is_said(self):
        with pytest.raises(UserError, match="begin and end"):
            measure([np.zeros((10, 2))], clips(heard()))


def test_that_the_library_is_missing_is_said_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[sed\]'"):
        library()


def test_that_the_library_is_missing_is_said_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr("weakneg.workspace.start.find_spec", lambda name: None)
    check_packages({"train_run", "play_pointing_game"})
    with pytest.raises(UserError, match=r"not installed\): pip install -e '\.\[sed\]'"):
        check_packages({"train_run", "measure_event_detection"})
