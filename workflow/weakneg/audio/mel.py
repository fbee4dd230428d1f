"""Log-mel spectrograms as Kaldi computes them and PSLA uses them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from weakneg.errors import UserError

WINDOWS: dict[str, Callable[[int], Tensor]] = {
    "hanning": lambda n: torch.hann_window(n, periodic=False),
    "hamming": lambda n: torch.hamming_window(n, periodic=False, alpha=0.54, beta=0.46),
    "povey": lambda n: torch.hann_window(n, periodic=False).pow(0.85),
    "blackman": lambda n: _blackman(2 * torch.pi / (n - 1) * torch.arange(n)),
    "rectangular": torch.ones,
}
"""Name -> function that gives a window of n samples."""

_PREEMPHASIS = 0.97
_BLOCK = 250  # frames that a processor computes at a time, so that they stay in its caches
_FLOOR = torch.finfo(torch.float32).eps

# Once the mean of digital silence is removed, only rounding errors are left. The squares of their
# spectrum are subnormal numbers, which slow a processor down fifty times. One sample of -240 dBFS
# in each frame prevents that.
_WHISPER = 1e-12


@dataclass(frozen=True)
class LogMel:
    """Transform of waveforms, (..., S) float32 in [-1, 1], to log-mel spectrograms, (..., T, F).

    A frame starts at every shift, as long as it fits: T is `n_frames(S)`. The mean of a frame is
    removed and the frame is pre-emphasised by 0.97. F mel filters from `low_hz` to `high_hz` sum
    the power. The logarithm is natural, of at least 2^-23.

    Attributes
    ----------
    sample_rate : int
        Hz.
    mel_bins : int
        Number of mel filters, F.
    frame_length_ms, frame_shift_ms : float
        Length of a frame, and time from its start to that of the next, in milliseconds.
    window : str
        A key of `WINDOWS`.
    low_hz, high_hz : float
        Lower edge of the lowest filter and upper edge of the highest; by default as in Kaldi, 20 Hz
        and half the sample rate (None).

    Raises
    ------
    UserError
        When a frame has fewer than two samples, or the shift less than one.

    References
    ----------
    Y. Gong, Y.-A. Chung, J. Glass, "PSLA: Improving Audio Tagging with Pretraining, Sampling,
    Labeling, and Aggregation", TASLP 2021. Its code calls `torchaudio.compliance.kaldi.fbank` with
    128 bins, frames of 25 ms every 10 ms, a Hann window and no dither, for one clip at a time. This
    gives the same numbers in a third of the time, and for a batch.
    """

    sample_rate: int
    mel_bins: int
    frame_length_ms: float
    frame_shift_ms: float
    window: str
    low_hz: float = 20.0
    high_hz: float | None = None

    def __post_init__(self) -> None:
        if self.shift_samples < 1 or self.frame_samples < 2:
            raise UserError(
                f"frame_length_ms {self.frame_length_ms:g} or frame_shift_ms "
                f"{self.frame_shift_ms:g} is too short for {self.sample_rate} Hz: raise it."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "LogMel":
        """Make it from the settings of features, which may have other keys."""
        fields = cls.__dataclass_fields__
        return cls(**{name: settings[name] for name in fields if name in settings})

    @property
    def highest_hz(self) -> float:
        """Upper edge of the highest filter, Hz."""
        return self.high_hz or self.sample_rate / 2

    @property
    def frame_samples(self) -> int:
        """Number of samples in a frame."""
        return int(self.sample_rate * self.frame_length_ms * 0.001)

    @property
    def shift_samples(self) -> int:
        """Number of samples from the start of a frame to that of the next."""
        return int(self.sample_rate * self.frame_shift_ms * 0.001)

    def n_frames(self, samples: int) -> int:
        """Number of frames of a waveform with this many samples."""
        return max(0, 1 + (samples - self.frame_samples) // self.shift_samples)

    def n_samples(self, frames: Tensor) -> Tensor:
        """Number of samples that this many frames, at least one, are made of."""
        return self.frame_samples + (frames - 1) * self.shift_samples

    def bin_at(self, hertz: float) -> float:
        """Position of a frequency among the bins: the centre of bin f is at f."""
        lowest, width = _scale(self)
        return (_mel(hertz) - lowest) / width - 1

    @property
    def empty_bins(self) -> list[int]:
        """Bins that no frequency of the spectrum falls into: they are constant."""
        filters = _mel_filters(self, _power_of_two(self.frame_samples))
        return (~filters.any(1)).nonzero()[:, 0].tolist()

    def __call__(self, waveform: Tensor) -> Tensor:
        """Transform waveforms, (..., S) float32, to spectrograms, (..., T, F) float32."""
        frames = waveform.unfold(-1, self.frame_samples, self.shift_samples)
        if waveform.device.type != "cpu":
            return self.of_frames(frames)
        if waveform.ndim > 1:
            return torch.stack([self(each) for each in waveform])
        return torch.cat([self.of_frames(block) for block in torch.split(frames, _BLOCK)])

    def of_frames(self, frames: Tensor) -> Tensor:
        """Transform frames, (..., `frame_samples`), to rows of spectrograms, (..., F)."""
        window, filters = _constants(self, frames.device)
        length, n_fft = self.frame_samples, _power_of_two(self.frame_samples)
        frames = frames - frames.mean(-1, keepdim=True)
        # Every step rounds as Kaldi's does: in bins of little energy the rounding shows.
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
    """The window, and the filters in groups: a range of inputs, and the weights from these to bins.

    Inputs are the squares of a spectrum: of the real and imaginary part of each frequency in turn.
    """
    n_fft = _power_of_two(mel.frame_samples)
    banks = _mel_filters(mel, n_fft)
    filters = []
    # Filters are narrow: with eight groups, each with the frequencies that it needs, a fifth of the
    # products is left.
    for group in banks.chunk(8):
        used = group.any(0).nonzero()[:, 0].tolist() or [0]
        low, high = used[0], used[-1] + 1
        weights = group[:, low:high].T.repeat_interleave(2, 0)
        filters.append((2 * low, 2 * high, weights.contiguous().to(device)))
    return WINDOWS[mel.window](mel.frame_samples).to(device), filters


def _mel_filters(mel: LogMel, n_fft: int) -> Tensor:
    """Triangles of equal width in mel, (F, n_fft / 2 + 1); half the sample rate has weight 0.

    In single precision and in the order of Kaldi's arithmetic: a filter of low frequencies may
    cover a single frequency, near its edge, where rounding shows.
    """
    lowest, width = _scale(mel)
    number = torch.arange(mel.mel_bins)[:, None]
    left, centre, right = (lowest + (number + edge) * width for edge in (0.0, 1.0, 2.0))
    place = 1127 * (1 + mel.sample_rate / n_fft * torch.arange(n_fft / 2) / 700).log()
    rising, falling = (place - left) / (centre - left), (right - place) / (right - centre)
    return torch.nn.functional.pad(torch.minimum(rising, falling).clamp_min(0), (0, 1))


def _scale(mel: LogMel) -> tuple[float, float]:
    """Lower edge of the first filter, and distance between centres of filters, in mel."""
    lowest = _mel(mel.low_hz)
    return lowest, (_mel(mel.highest_hz) - lowest) / (mel.mel_bins + 1)


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
