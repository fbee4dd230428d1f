"""A synthesiser of soundscapes: sound events of known classes, at known times, in noise.

Additive synthesis, filtered noise and impulses, in float64 with numpy alone; a clip is a pure
function of its labels and its generator. Each class is one function: a rule with random parameters,
so that no two events are alike. Some classes come in pairs that share timbre and pitch and differ
in one property: they are hard negatives of each other.

=============================  =====================================================
Sweep - Siren                  pitch glides one way - up and down again
Tone - Beeps                   steady - interrupted
Bark - Noise burst             with a pitch - without
Rain - Click train             irregular drops over hiss - the same click, regularly
=============================  =====================================================
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

SAMPLE_RATE = 16000
CLIP_SECONDS = 4
SNR_DB = (-3.0, 15.0)
"""Range of the mean power of an event relative to that of the background; uniform, in dB."""
PEAK_DB = (-20.0, -1.0)
"""Range of the largest sample of a clip relative to full scale; uniform, in dB."""

_MILLISECOND = SAMPLE_RATE // 1000
_CLIP = CLIP_SECONDS * SAMPLE_RATE
_HIGHEST_HZ = 0.47 * SAMPLE_RATE  # higher harmonics would alias, or nearly so
_COLOURS = (np.ones_like, np.sqrt, np.positive)  # of a background: white, pink, brown
_AGAIN = 0.25  # share of events that are heard twice in their clip


class Event(NamedTuple):
    """A sound event.

    Attributes
    ----------
    label : str
        Its class, a name in `SOUNDS`.
    onset, offset : float
        Seconds from the start of the clip, in whole milliseconds.
    """

    label: str
    onset: float
    offset: float


def soundscape(labels: Sequence[str], rng: Generator) -> tuple[np.ndarray, list[Event]]:
    """Synthesise a clip: one or two events of each label, anywhere in it, mixed into noise.

    Parameters
    ----------
    labels : sequence of str
        Names in `SOUNDS`.
    rng : numpy.random.Generator
        Decides everything that is random.

    Returns
    -------
    (CLIP_SECONDS * SAMPLE_RATE,) int16
        The samples.
    list of Event
        Its events, in order of onset.
    """
    colour = _COLOURS[rng.integers(len(_COLOURS))]
    mix = _noise(rng, _CLIP, lambda hertz: colour(50 / np.maximum(hertz, 50)))
    events = []
    for label in labels:
        for _ in range(1 + (rng.random() < _AGAIN)):
            sound = SOUNDS[label](rng)
            level = 10 ** (rng.uniform(*SNR_DB) / 20) / _rms(sound)
            onset = _MILLISECOND * int(rng.integers((_CLIP - len(sound)) // _MILLISECOND + 1))
            mix[onset : onset + len(sound)] += level * sound
            times = (onset / SAMPLE_RATE, (onset + len(sound)) / SAMPLE_RATE)
            events.append(Event(label, *times))
    full_scale = np.iinfo(np.int16).max
    mix *= full_scale * 10 ** (rng.uniform(*PEAK_DB) / 20) / np.abs(mix).max()
    return np.rint(mix).astype(np.int16), sorted(events, key=lambda event: event.onset)


# ----------------------------------------------------------------------------- the classes
def _tone(rng: Generator) -> np.ndarray:
    n = _duration(rng, 0.5, 1.6)
    return _fade(_harmonics(np.full(n, _hertz(rng, 350, 2400)), _timbre(rng)), 0.02)


def _beeps(rng: Generator) -> np.ndarray:
    on, off = _duration(rng, 0.07, 0.18), _duration(rng, 0.05, 0.14)
    beep = _fade(_harmonics(np.full(on, _hertz(rng, 350, 2400)), _timbre(rng)), 0.008)
    beeps = np.tile(np.pad(beep, (0, off)), int(rng.integers(3, 7)))
    return beeps[: len(beeps) - off]


def _sweep(rng: Generator) -> np.ndarray:
    n = _duration(rng, 0.7, 1.8)
    low = _hertz(rng, 350, 900)
    octaves = rng.uniform(0.7, 1.6)
    path = np.linspace(0, 1, n) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.5:
        path = path[::-1]
    return _fade(_harmonics(low * 2 ** (octaves * path), _timbre(rng)), 0.03)


def _siren(rng: Generator) -> np.ndarray:
    n = _duration(rng, 1.2, 2.6)
    low = _hertz(rng, 350, 900)
    octaves = rng.uniform(0.5, 1.2)
    turns = rng.uniform(0.7, 2.0) * _time(n) + rng.random()
    path = np.abs(2 * (turns % 1) - 1)  # a triangle
    return _fade(_harmonics(low * 2 ** (octaves * path), _timbre(rng)), 0.03)


def _bell(rng: Generator) -> np.ndarray:
    n = _duration(rng, 0.9, 2.2)
    strike, decay = _hertz(rng, 450, 1400), rng.uniform(2.0, 4.0)
    bell = np.zeros(n)
    # The partials of a church bell: hum, prime, tierce, quint, nominal and above.
    for ratio in (0.5, 1.0, 1.2, 1.5, 2.0, 2.51, 3.01):
        hertz = strike * ratio * rng.uniform(0.99, 1.01)
        step = np.exp(2j * np.pi * hertz / SAMPLE_RATE - decay * (0.6 + 0.4 * ratio) / n)
        bell += rng.uniform(0.3, 1.0) * np.cumprod(np.full(n, step)).imag
    return _fade(bell, 0.003, 0.05)


def _bird_chirp(rng: Generator) -> np.ndarray:
    n = _duration(rng, 0.05, 0.11)
    high, octaves = _hertz(rng, 3000, 5600), rng.uniform(0.3, 0.7) * rng.choice([-1, 1])
    path = np.linspace(-0.5, 0.5, n)
    note = _fade(_harmonics(high * 2 ** (octaves * path), [1.0]), 0.3 * n / SAMPLE_RATE)
    rest = _duration(rng, 0.04, 0.12)
    notes = np.tile(np.pad(note, (0, rest)), int(rng.integers(3, 9)))
    return notes[: len(notes) - rest]


def _engine(rng: Generator) -> np.ndarray:
    n = _duration(rng, 1.0, 2.4)
    t = _time(n)
    swing = np.sin(2 * np.pi * (rng.uniform(0.15, 0.6) * t + rng.random()))
    firing = rng.uniform(45, 110) * 2 ** (rng.uniform(0.05, 0.3) * swing)
    strength = rng.uniform(0.4, 1.0, 20) / np.arange(1, 21)
    rumble = _noise(rng, n, lambda hertz: 1 / (1 + (hertz / 250) ** 2))
    engine = _harmonics(firing, strength)
    return _fade(engine + 0.5 * _rms(engine) * rumble, 0.15)


def _voice(rng: Generator) -> np.ndarray:
    pitch = _hertz(rng, 100, 260)
    syllables = []
    for _ in range(int(rng.integers(2, 6))):
        n = _duration(rng, 0.12, 0.3)
        glide = np.linspace(0, 1, n)
        vowels = _VOWELS[rng.permutation(len(_VOWELS))[:2]]
        syllable = _voiced(pitch * 2 ** (rng.uniform(-0.25, 0.1) * glide), vowels)
        syllables += [_fade(syllable, 0.03), np.zeros(_duration(rng, 0, 0.1))]
    return np.concatenate(syllables[:-1])


def _bark(rng: Generator) -> np.ndarray:
    def sound(n: int, fall: np.ndarray) -> np.ndarray:
        pitch = _hertz(rng, 320, 520) * (0.65 + 0.35 * fall)
        formants = _hertz(rng, 700, 1500) * np.array([1.0, 1.9, 3.2])
        voiced = _voiced(pitch, np.stack([formants, formants]))
        return voiced + 0.25 * _rms(voiced) * _coloured(rng, n, formants[0], 0.8)

    return _outbursts(rng, sound)


def _noise_burst(rng: Generator) -> np.ndarray:
    def sound(n: int, fall: np.ndarray) -> np.ndarray:
        return _coloured(rng, n, _hertz(rng, 700, 1500), rng.uniform(0.6, 1.0))

    return _outbursts(rng, sound)


def _click_train(rng: Generator) -> np.ndarray:
    clicks = np.zeros(_duration(rng, 0.9, 2.4))
    click = _click(rng)
    period = _duration(rng, 0.07, 0.18)
    for start in range(0, len(clicks) - len(click), period):
        clicks[start : start + len(click)] += click
    return clicks[: start + len(click)]


def _rain(rng: Generator) -> np.ndarray:
    n = _duration(rng, 1.0, 2.4)
    drops = np.zeros(n)
    kinds = [_click(rng) for _ in range(8)]
    places = rng.integers(n - len(kinds[0]), size=int(rng.uniform(25, 90) * n / SAMPLE_RATE))
    sizes = rng.uniform(0.2, 1.0, len(places)) ** 2
    for number, (start, size) in enumerate(zip(places, sizes, strict=True)):
        drop = kinds[number % len(kinds)]
        drops[start : start + len(drop)] += size * drop
    hiss = _noise(rng, n, lambda hertz: hertz / (hertz + 2500))
    return _fade(drops + rng.uniform(0.4, 1.0) * _rms(drops) * hiss, 0.15)


SOUNDS: dict[str, Callable[[Generator], np.ndarray]] = {
    "Voice": _voice,
    "Engine": _engine,
    "Rain": _rain,
    "Sweep": _sweep,
    "Tone": _tone,
    "Bark": _bark,
    "Bird chirp": _bird_chirp,
    "Bell": _bell,
    "Siren": _siren,
    "Noise burst": _noise_burst,
    "Click train": _click_train,
    "Beeps": _beeps,
}
"""Class -> function that returns a random event (n,) float64, of whole milliseconds and any level.
"""


# ----------------------------------------------------------------------------- building blocks
# First three formants of vowels, Hz (a, e, i, o, u; rounded from Peterson and Barney, 1952).
_VOWELS = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [270, 2290, 3010], [570, 840, 2410], [300, 870, 2240]],
    dtype=np.float64,
)


def _duration(rng: Generator, shortest: float, longest: float) -> int:
    """Draw a duration between two in seconds; the number of samples, in whole milliseconds."""
    return _MILLISECOND * int(rng.uniform(shortest, longest) * 1000)


def _hertz(rng: Generator, low: float, high: float) -> float:
    """Draw a frequency, log-uniform between two in Hz."""
    return low * (high / low) ** rng.random()


def _time(n: int) -> np.ndarray:
    return np.arange(n) / SAMPLE_RATE


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x * x)))


def _timbre(rng: Generator) -> np.ndarray:
    """Draw the amplitudes of the harmonics of an electronic sound; the first is the strongest."""
    return np.array([1.0, rng.uniform(0, 0.5), rng.uniform(0, 0.4), rng.uniform(0, 0.2)])


def _fade(x: np.ndarray, attack: float, release: float | None = None) -> np.ndarray:
    """Apply linear ramps to the ends of x (n,), in seconds; `release` defaults to `attack`."""
    n = len(x)
    t = np.arange(n)
    rise = (t + 1) / (attack * SAMPLE_RATE)
    fall = (n - t) / ((attack if release is None else release) * SAMPLE_RATE)
    return x * np.minimum(1.0, np.minimum(rise, fall))


def _harmonics(hertz: np.ndarray, amplitudes: Iterable[float | np.ndarray]) -> np.ndarray:
    """Add up the harmonics 1, 2, ... of a fundamental (n,) in Hz; those too high are left out.

    Parameters
    ----------
    hertz : (n,) float64
        The fundamental.
    amplitudes : iterable of float or (n,) float64
        One per harmonic.
    """
    phase = (2 * np.pi / SAMPLE_RATE) * np.cumsum(hertz)
    twice_cosine, highest = 2 * np.cos(phase), hertz.max()
    before, harmonic = np.zeros(len(hertz)), np.sin(phase)
    total, after = np.zeros(len(hertz)), np.empty(len(hertz))
    for number, amplitude in enumerate(amplitudes, start=1):
        if number * highest > _HIGHEST_HZ:
            break
        total += np.multiply(harmonic, amplitude, out=after)
        # sin (k + 1) x = 2 cos x sin k x - sin (k - 1) x
        np.multiply(twice_cosine, harmonic, out=after)
        after -= before
        before, harmonic, after = harmonic, after, before
    return total


def _voiced(pitch: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Synthesise a voice: the harmonics of a pitch, filtered by a vocal tract.

    Parameters
    ----------
    pitch : (n,) float64
        Hz.
    formants : (2, 3) float64
        Hz, at the start and at the end; each is weaker than the one below it.
    """
    n = len(pitch)
    points = np.linspace(0, n - 1, 32)  # formants move slowly
    glide = np.linspace(0, 1, 32)[:, None]
    formant = (1 - glide) * formants[0] + glide * formants[1]
    width = 70 + 0.05 * formant
    hertz = np.interp(points, np.arange(n), pitch)[:, None]

    def strength(number: int) -> np.ndarray:
        peaks = np.array([1.0, 0.6, 0.35]) / (1 + ((number * hertz - formant) / width) ** 2)
        return np.interp(np.arange(n), points, peaks.sum(1)) / number**0.5

    highest = int(0.5 * _HIGHEST_HZ / pitch.max())
    return _harmonics(pitch, (strength(number) for number in range(1, highest + 1)))


def _noise(rng: Generator, n: int, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Make noise (n,) of unit power; `gain` maps frequencies in Hz to gains of the spectrum."""
    size = 1 << (n - 1).bit_length()  # a power of two, for which the FFT is fast
    # Whatever distribution the coefficients have, the noise is Gaussian, as a sum of many.
    spectrum = (rng.random((size // 2 + 1, 2)) - 0.5).view(np.complex128)[:, 0]
    noise = np.fft.irfft(spectrum * gain(np.fft.rfftfreq(size, 1 / SAMPLE_RATE)))[:n]
    return noise / _rms(noise)


def _coloured(rng: Generator, n: int, centre: float, octaves: float) -> np.ndarray:
    """Make noise (n,) of unit power around a frequency in Hz."""
    return _noise(
        rng,
        n,
        lambda hertz: np.exp(-0.5 * (np.log2(np.maximum(hertz, 20.0) / centre) / octaves) ** 2),
    )


def _outbursts(rng: Generator, sound: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """Make one to three short sounds, sudden and dying away, like those of a dog or a hammer.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything that is random.
    sound : callable
        `sound(n, decay)` returns the n samples of one; `decay` (n,) falls from 1 towards 0.
    """
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        n = _duration(rng, 0.14, 0.28)
        fall = np.exp(-rng.uniform(2.5, 4.5) * np.arange(n) / n)
        parts += [_fade(sound(n, fall) * fall, 0.008, 0.03), np.zeros(_duration(rng, 0.1, 0.3))]
    return np.concatenate(parts[:-1])


def _click(rng: Generator) -> np.ndarray:
    """Make a knock of 16 ms."""
    t = _time(16 * _MILLISECOND)
    return np.exp(-t / rng.uniform(0.001, 0.003)) * np.sin(2 * np.pi * _hertz(rng, 1500, 5000) * t)
