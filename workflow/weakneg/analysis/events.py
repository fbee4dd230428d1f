"""Event detection: how well a model of many classes says when events begin and end.

sed_scores_eval computes all measures. It is an extra (`pip install -e '.[sed]'`), as its wheels are
built where it is installed.

======================  =====================================================================
segment-based F1        of segments of one second, mean over classes; the threshold of a class
                        is the best one on the same clips, so that it is an upper bound
PSDS 1                  area under the PSD-ROC, where a detection must overlap an event by 70%
PSDS 2                  the same with 10%, which confusing classes costs more: it is about which
                        event, not when
======================  =====================================================================

PSDS subtracts the standard deviation over classes, so that it is zero where some classes are
detected and others are not. The mean over the PSDS of single classes does not.

References
----------
Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection" (2016).
Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection" (ICASSP 2020); the
two scenarios are those of task 4 of DCASE 2021 to 2023.
Ebbers, Serizel and Haeb-Umbach, "Threshold-Independent Evaluation of Sound Event Detection Scores"
(ICASSP 2022).
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from weakneg.analysis.places import Means, Places, of_class
from weakneg.config.truth import needs_library
from weakneg.datasets.listened import HeardClip
from weakneg.errors import UserError

PSDS = ("psds1", "psds2")
COLUMNS = [
    *("strategy", "seed", "clips", "classes", "segment_f1", *PSDS),
    *(f"{name}_mean" for name in PSDS),
    "everywhere_f1",
]
"""Of the table of all classes. The means are over the PSDS of single classes; the last is the F1 of
a model to which all frames are the same, so that it finds each class everywhere."""

ALL = ""
"""In the place of a class: all classes."""

_SEGMENT = 1.0  # seconds
_SCENARIOS: dict[str, dict[str, float | None]] = {
    "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_ct": 0.0},
    "psds2": {
        **{"dtc_threshold": 0.1, "gtc_threshold": 0.1},
        **{"cttc_threshold": 0.3, "alpha_ct": 0.5},
    },
}
_MOST_FALSE = 100.0  # effective false positives per hour
_INSTABILITY = 1.0  # weight of the standard deviation over classes

Truth = list[tuple[float, float, str]]
"""The events of a clip: onset, offset and the number of the class as text."""


class Clips(NamedTuple):
    """Clips that people listened to.

    Attributes
    ----------
    classes : tuple of str
        The C classes that they listened for.
    edges : list of ndarray, (m + 1,)
        Of each clip, where its m frames begin and end, in seconds: from its beginning to its end.
    events : list of list
        Of each clip, its events; none touches another of its class.
    """

    classes: tuple[str, ...]
    edges: list[np.ndarray]
    events: list[Truth]


def clips_of(heard: Mapping[int, HeardClip], means: Means, places: Places) -> Clips:
    """Describe the clips that people listened to.

    Parameters
    ----------
    heard : mapping of int to HeardClip
        Row of each clip -> what was heard.
    means : mapping
        The classes.
    places : Places
        The frames of all test clips.

    Returns
    -------
    Clips
        Events end where the sound of their clip does.
    """
    assert places.edges is not None
    assert places.ends is not None
    edges, events = [], []
    for row, clip in heard.items():
        m = int(places.mask[row].sum())
        of_clip = places.edges[: m + 1].copy()
        of_clip[0], of_clip[-1] = 0.0, places.ends[row]
        edges.append(of_clip)
        events.append(
            [
                (onset, offset, str(number))
                for number, name in enumerate(means)
                for onset, offset in _joined(clip, means[name], float(of_clip[-1]))
            ]
        )
    return Clips(tuple(means), edges, events)


def _joined(
    clip: HeardClip, means: Mapping[str, Sequence[str]], end: float
) -> list[tuple[float, float]]:
    """Onsets and offsets of a class up to the end of a clip; what touches is one event."""
    found: list[tuple[float, float]] = []
    for _, onset, offset in sorted(of_class(clip, means), key=lambda sound: sound[1]):
        offset = min(offset, end)
        if offset <= onset:
            continue
        if found and onset <= found[-1][1]:
            found[-1] = (found[-1][0], max(offset, found[-1][1]))
        else:
            found.append((onset, offset))
    return found


def measure(parts: Sequence[np.ndarray], clips: Clips) -> dict[str, dict[str, float]]:
    """Measure how well the events of clips are detected.

    Parameters
    ----------
    parts : sequence of ndarray, (m, C)
        Of each clip, what each frame says of each class; only the order of the numbers matters.
    clips : Clips
        The clips.

    Returns
    -------
    dict
        segment_f1 and each of `PSDS` -> class -> value, also of `ALL` classes. Classes without an
        event are left out.

    Raises
    ------
    UserError
        When sed_scores_eval is not installed, or there is no event.
    """
    sed = library()
    present = {label for events in clips.events for _, _, label in events}
    numbers = [number for number in range(len(clips.classes)) if str(number) in present]
    if not numbers:
        raise UserError(
            "no test clip holds an event with its times: remove truth: event_detection from the "
            "study, or name a list that says when events begin and end."
        )
    columns = [*map(str, numbers)]
    scores, truth, durations = {}, {}, {}
    for number, (of_clip, edges, events) in enumerate(
        zip(parts, clips.edges, clips.events, strict=True)
    ):
        clip = str(number)
        scores[clip] = sed.base_modules.scores.create_score_dataframe(
            of_clip[:, numbers].astype(np.float64), edges, columns
        )
        truth[clip], durations[clip] = events, float(edges[-1])
    found: dict[str, dict[str, Any]] = {}
    f1, *_ = sed.segment_based.best_fscore(scores, truth, durations, segment_length=_SEGMENT)
    found["segment_f1"] = {ALL: f1["macro_average"], **{name: f1[name] for name in columns}}
    for name, options in _SCENARIOS.items():
        if len(columns) == 1:  # cannot be confused, which sed_scores_eval 0.0.4 does not expect
            options = options | {"cttc_threshold": None, "alpha_ct": 0.0}
        of_all, of_classes, *_ = sed.intersection_based.psds(
            *(scores, truth, durations),
            alpha_st=_INSTABILITY,
            max_efpr=_MOST_FALSE,
            **options,
        )
        found[name] = {ALL: of_all, **of_classes}
    names = dict(zip(columns, (clips.classes[number] for number in numbers), strict=True))
    return {
        measured: {names.get(key, ALL): float(value) for key, value in values.items()}
        for measured, values in found.items()
    }


def library() -> ModuleType:
    """Import sed_scores_eval; UserError if that is not possible."""
    try:
        import sed_scores_eval
    except ImportError as error:
        raise UserError(needs_library(str(error))) from None
    module: ModuleType = sed_scores_eval
    return module
