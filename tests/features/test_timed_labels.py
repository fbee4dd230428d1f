"""When the labels of clips sound: in the clip, in its channel, and only where somebody said so."""

import math

import h5py
import pytest

from weakneg.audio.recordings import Recording
from weakneg.features.timed_labels import timed_labels
from weakneg.io.hdf5 import encoded


@pytest.fixture
def store(tmp_path):
    """Makes a store with the columns of clips that matter here."""

    def make(clips, channel=None):
        path = tmp_path / "test.h5"
        ids, names, starts, ends = zip(*clips, strict=True)
        with h5py.File(path, "w") as file:
            file["id"], file["recording"] = encoded(list(ids)), encoded(list(names))
            file["start"], file["end"] = starts, ends
            if channel is not None:
                file["channel"] = channel
        return path

    return make


def recording(name, *events, labels=None, channels=()):
    of_events = dict.fromkeys(label for label, _, _ in events)
    labels = tuple(of_events) if labels is None else labels
    return Recording(name, "test", "", None, None, labels, events, event_channels=channels)


def test_events_are_cut_to_their_clips(store):
    path = store([("r@0", "r", 0.0, 4.0), ("r@4", "r", 4.0, 8.0), ("r@8", "r", 8.0, 12.0)])
    found = timed_labels(path, [recording("r", ("Wren", 1.5, 5.0), ("Owl", 4.0, 4.5))])
    assert [clip.sounds for clip in found] == [
        (("Wren", 1.5, 4.0),),
        (("Wren", 0.0, 1.0), ("Owl", 0.0, 0.5)),
        (),
    ]
    assert [clip.labels for clip in found] == [{"Wren"}, {"Wren", "Owl"}, set()]
    assert [clip.id for clip in found] == ["r@0", "r@4", "r@8"]


def test_a_recording_without_labels_is_silent_and_one_without_times_is_not_known(store):
    path = store([("a", "a", 0.0, 4.0), ("b", "b", 0.0, 4.0)])
    found = timed_labels(path, [recording("a"), recording("b", labels=("Wren",))])
    assert [(clip.id, clip.sounds) for clip in found] == [("a", ())]


def test_a_channel_has_its_own_events(store):
    clips = [("r@ch1", "r", 0.0, 4.0), ("r@ch2", "r", 0.0, 4.0)]
    events = ("Wren", 1.0, 2.0), ("Owl", 2.0, 3.0), ("Rain", 0.0, 4.0)
    found = timed_labels(store(clips, [1, 2]), [recording("r", *events, channels=(1, 2, 0))])
    assert [clip.labels for clip in found] == [{"Wren", "Rain"}, {"Owl", "Rain"}]


def test_a_label_of_a_channel_without_times_is_not_known(store):
    clips = [("r@ch1", "r", 0.0, 4.0), ("r@ch2", "r", 0.0, 4.0)]
    listed = recording("r", ("Wren", 0.0, math.inf), channels=(1,))
    found = timed_labels(store(clips, [1, 2]), [listed])
    assert [(clip.id, clip.sounds) for clip in found] == [("r@ch2", ())]
