"""Log-mel spectrograms as Kaldi computes them, and as PSLA uses them.

Source: Y. Gong, Y.-A. Chung, J. Glass, "PSLA: Improving Audio Tagging with Pretraining, Sampling,
Labeling, and Aggregation", TASLP 2021, whose code calls `torchaudio.compliance.kaldi.fbank` with
128 bins, frames of 25 ms every 10 ms, a Hann window and no dither, for one clip at a time. This
gives the same numbers in a third of the time, and for a batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from weakneg.errors import UserError

WINDOWS = {
    "hanning": lambda n: torch.hann_window(n, periodic=False),
    "hamming": lambda n: torch.hamming_window(n, periodic=False, alpha=0.54, beta=0.46),
    "povey": lambda n: torch.hann_window(n, periodic=False).pow(0.85),
    "blackman": lambda n: _blackman(2 * torch.pi / (n - 1) * torch.arange(n)),
    "rectangular": torch.ones,
}

_PREEMPHASIS = 0.97
_LOWEST_FREQUENCY = 20.0  # Hz; the highest is half the sample rate
_BLOCK = 250  # frames that a processor computes at a time: they stay in its caches
_FLOOR = torch.finfo(torch.float32).eps

# Of digital silence the mean's rounding is left, and squares of its spectrum are subnormal numbers,
# with which a processor takes fifty times as long. One sample of -240 dBFS a frame prevents that.
_WHISPER = 1e-12


@dataclass(frozen=True)
class LogMel:
    """(..., S) float32 waveforms in [-1, 1] -> (..., T, F) float32 log-mel spectrograms.

    T is `n_frames(S)`: a frame at every shift, as long as it fits. Frames have their mean removed
    and are pre-emphasised by 0.97; F mel filters from 20 Hz to half the sample rate sum the power;
    the logarithm is natural, of at least 2^-23.

    sample_rate : Hz
    mel_bins : F
    frame_length_ms, frame_shift_ms : milliseconds
    window : a key of `WINDOWS`
    """

    sample_rate: int
    mel_bins: int
    frame_length_ms: float
    frame_shift_ms: float
    window: str

    def __post_init__(self):
        if self.shift_samples < 1 or self.frame_samples < 2:
            raise UserError(
                f"frame_length_ms {self.frame_length_ms:g} or frame_shift_ms "
                f"{self.frame_shift_ms:g} is too short for {self.sample_rate} Hz: raise it."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "LogMel":
        """From the settings of features, which may hold more."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return int(self.sample_rate * self.frame_length_ms * 0.001)

    @property
    def shift_samples(self) -> int:
        """Samples from the beginning of a frame to that of the next."""
        return int(self.sample_rate * self.frame_shift_ms * 0.001)

    def n_frames(self, samples: int) -> int:
        """Frames of a waveform of that many samples."""
        return max(0, 1 + (samples - self.frame_samples) // self.shift_samples)

    def bin_at(self, hertz: float) -> float:
        """Where a frequency lies among the bins: at f, that of the centre of bin f."""
        lowest, width = _scale(self.mel_bins, self.sample_rate)
        return (_mel(hertz) - lowest) / width - 1

    def __call__(self, waveform: Tensor) -> Tensor:
        frames = waveform.unfold(-1, self.frame_samples, self.shift_samples)
        if waveform.device.type != "cpu":
            return self.of_frames(frames)
        if waveform.ndim > 1:
            return torch.stack([self(each) for each in waveform])
        return torch.cat([self.of_frames(block) for block in frames.split(_BLOCK)])

    def of_frames(self, frames: Tensor) -> Tensor:
        """(..., `frame_samples`) frames of a waveform -> (..., F)."""
        window, filters = _constants(self, frames.device)
        length, n_fft = self.frame_samples, _power_of_two(self.frame_samples)
        frames = frames - frames.mean(-1, keepdim=True)
        # Rounded step by step as Kaldi's: in bins of little energy the rounding shows.
        padded = frames.new_zeros(*frames.shape[:-1], n_fft)
        windowed = padded[..., :length]
        torch.mul(frames[..., :-1], -_PREEMPHASIS, out=windowed[..., 1:])
        torch.mul(frames[..., 0], -_PREEMPHASIS, out=windowed[..., 0])
        windowed.add_(frames).mul_(window)
        windowed[..., 1] += _WHISPER
        squares = torch.view_as_real(torch.fft.rfft(padded)).square_().flatten(-2)
        mel = [squares[..., low:high] @ weights for low, high, weights in filters]
        return torch.cat(mel, -1).clamp_min_(_FLOOR).log_()


def _blackman(phase: Tensor) -> Tensor:
    return 0.42 - 0.5 * torch.cos(phase) + 0.08 * torch.cos(2 * phase)


@lru_cache(maxsize=16)
def _constants(mel: LogMel, device: torch.device) -> tuple[Tensor, list[tuple[int, int, Tensor]]]:
    """The window, and the filters: ranges, and weights from these to mel bins.

    Ranges are of the squares of a spectrum: real part and imaginary part of each frequency in turn.
    """
    n_fft = _power_of_two(mel.frame_samples)
    banks = _mel_filters(mel.mel_bins, n_fft, mel.sample_rate)
    filters = []
    # Filters are narrow: in eight groups, each of the frequencies that it needs, a fifth of the
    # products is left.
    for group in banks.chunk(8):
        used = group.any(0).nonzero()[:, 0].tolist() or [0]
        low, high = used[0], used[-1] + 1
        weights = group[:, low:high].T.repeat_interleave(2, 0)
        filters.append((2 * low, 2 * high, weights.contiguous().to(device)))
    return WINDOWS[mel.window](mel.frame_samples).to(device), filters


def _mel_filters(n_bins: int, n_fft: int, sample_rate: int) -> Tensor:
    """(F, n_fft / 2 + 1) triangles, of equal width in mel; the highest frequency has weight 0.

    In single precision, in the order of Kaldi's arithmetic: a filter of low frequencies may hold
    one frequency only, near its edge, where rounding shows.
    """
    lowest, width = _scale(n_bins, sample_rate)
    number = torch.arange(n_bins)[:, None]
    left, centre, right = (lowest + (number + edge) * width for edge in (0.0, 1.0, 2.0))
    mel = 1127 * (1 + sample_rate / n_fft * torch.arange(n_fft / 2) / 700).log()
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.nn.functional.pad(torch.minimum(rising, falling).clamp_min(0), (0, 1))


def _scale(n_bins: int, sample_rate: int) -> tuple[float, float]:
    """Lower edge of the first filter, and distance between the centres of two, in mel."""
    lowest = _mel(_LOWEST_FREQUENCY)
    return lowest, (_mel(sample_rate / 2) - lowest) / (n_bins + 1)


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
