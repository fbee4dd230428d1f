"""Augmentation of spectrograms: mixup, and masks in frequency and time.

Source: Shah et al., section 5.2.2, after Gong, Chung and Glass, "PSLA: Improving Audio Tagging With
Pretraining, Sampling, Labeling, and Aggregation" (2021), sections III-C and III-D.

What mixup does to the negatives: the bags of an epoch are the positive ones and the chosen
negatives, and the partner of a mixed bag is any bag of the same epoch, so that training sees only
chosen bags. A negative bag with a positive partner gets the label of the mixture, 1 - weight, and
is no longer negative. With two positives for every four negatives, and the paper's mixup rate of a
half, this happens to one in six of the chosen negatives.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakneg.audio.mel import LogMel
from weakneg.training.rows import together

if TYPE_CHECKING:
    from weakneg.config.training import AugmentationSettings
    from weakneg.training.batches import Inputs
    from weakneg.training.data import BagData

FULL_SCALE = 32767  # of stored waveforms


class Draws(NamedTuple):
    """What is drawn at random for the n bags of an epoch, in the order of training.

    Attributes
    ----------
    partner : (n,) int64
        Row of the bag that each is mixed with.
    weight : (n,) float32
        Share of the bag itself in the mixture; 1 if it is not mixed.
    masks : (n, 2, 2) float32
        For frequency and for time: width of the mask relative to the largest, and its position
        relative to the possible range, both in [0, 1).
    """

    partner: Tensor
    weight: Tensor
    masks: Tensor

    @property
    def mixed(self) -> Tensor:
        """Which bags are mixed, (n,) bool."""
        return self.weight < 1


def draw(rows: Tensor, augmentation: "AugmentationSettings", seed: int) -> Draws:
    """Draw what is random in an epoch.

    Parameters
    ----------
    rows : (n,) int64
        The bags in the order of training, on the CPU.
    augmentation : AugmentationSettings
        With mixup_rate and mixup_alpha; weight ~ Beta(alpha, alpha).
    seed : int
        Seed of the draws.

    Returns
    -------
    Draws
        On the CPU.

    References
    ----------
    Shah et al. (ICASSP 2024), equations 6 to 8.
    """
    rng = np.random.default_rng(seed)
    n = len(rows)
    mixed = rng.random(n) < augmentation.mixup_rate
    weight = np.where(mixed, rng.beta(augmentation.mixup_alpha, augmentation.mixup_alpha, n), 1)
    partner = rows[torch.from_numpy(rng.integers(n, size=n))]
    masks = torch.from_numpy(rng.random((n, 2, 2), dtype=np.float32))
    return Draws(partner, torch.from_numpy(weight.astype(np.float32)), masks)


def batches(
    data: "BagData",
    rows: Tensor,
    batch_size: int,
    augmentation: "AugmentationSettings",
    seed: int,
) -> Iterator[tuple["Inputs", Tensor]]:
    """Yield the batches of an epoch of spectrograms, see `weakneg.training.batches`.

    Raises
    ------
    UserError
        When waveforms are to be mixed and the feature store has none.
    """
    draws = draw(rows, augmentation, seed)
    split = rows.split(batch_size)
    drawn = [Draws(*each) for each in zip(*(d.split(batch_size) for d in draws), strict=True)]
    partners = [d.partner[d.mixed] for d in drawn]
    log_mel = None
    if augmentation.mixup_rate and augmentation.mixup_domain == "waveform":
        assert data.audio is not None
        log_mel = LogMel.of(data.audio)
        both = [torch.cat([b[d.mixed], p]) for b, d, p in zip(split, drawn, partners, strict=True)]
        to_mix = data.waveforms(both)
    else:
        to_mix = (x for x, _ in data.inputs(partners))
    device = data.device
    for batch, partner, mixed, weight, masks, (x, sound), others in zip(
        together(split, device),
        together(partners, device),
        together([d.mixed.nonzero()[:, 0] for d in drawn], device),
        together([d.weight[d.mixed] for d in drawn], device),
        together([d.masks for d in drawn], device),
        data.inputs(split),
        to_mix,
        strict=True,
    ):
        x, label = x.float(), data.label[batch]
        if len(mixed) and log_mel:
            frames = data.frames[batch[mixed]]
            first, second = others.chunk(2)
            x[mixed, 0] = mix_waveforms(first, second, weight, frames, x.shape[2], log_mel)
        elif len(mixed):
            x[mixed] = torch.lerp(others.float(), x[mixed], weight.view(-1, 1, 1, 1))
            if sound is not None:
                assert data.mask is not None
                sound[mixed] |= data.mask[partner]
        label[mixed] = torch.lerp(data.label[partner], label[mixed], weight)
        hide(x, masks, (augmentation.frequency_mask, augmentation.time_mask))
        yield (data.normalise(x), sound), label


def mix(values: Tensor, rows: Tensor, augmentation: "AugmentationSettings", seed: int) -> Tensor:
    """Mix values of bags as their labels are mixed, see `weakneg.training.batches`."""
    draws = draw(rows, augmentation, seed)
    return torch.lerp(values[draws.partner], values[rows], draws.weight)


def mix_waveforms(
    first: Tensor, second: Tensor, weight: Tensor, frames: Tensor, n_frames: int, log_mel: LogMel
) -> Tensor:
    """Compute the spectrograms of weight * first + (1 - weight) * second.

    Parameters
    ----------
    first, second : (m, S) int16
        Waveforms.
    weight : (m,) float32
        Share of the first.
    frames : (m,) int64
        Number of spectrogram rows in which `first` has sound. The second is cut off where the first
        ends, as in PSLA, and zeros follow. (PSLA also removes the mean of the mixture; here the
        mean of each frame is removed in any case.)
    n_frames : int
        Number of rows of the result.
    log_mel : LogMel
        How spectrograms are made.

    Returns
    -------
    (m, n_frames, F) float32
    """
    mixture = torch.lerp(second.float(), first.float(), weight[:, None]) / FULL_SCALE
    spectrogram = log_mel(mixture)[:, :n_frames]
    result = spectrogram.new_zeros(len(first), n_frames, spectrogram.shape[2])
    result[:, : spectrogram.shape[1]] = spectrogram
    result[torch.arange(n_frames, device=frames.device) >= frames[:, None]] = 0
    return result


def hide(x: Tensor, places: Tensor, largest: tuple[int, int]) -> None:
    """Mask a band of frequencies and a stretch of time of every clip with zeros, in place.

    The width is floor(u) and the start floor(v), with u uniform up to the largest width and v up to
    size - u, as in torchaudio's FrequencyMasking and TimeMasking, which PSLA uses. Masks are
    applied before the normalisation, so that they have the same value as the padding.

    Parameters
    ----------
    x : (b, 1, T, F) float32
        Spectrograms.
    places : (b, 2, 2) float32
        Widths and positions, see `Draws.masks`.
    largest : (int, int)
        Largest width of a mask, in mel bins and in frames.
    """
    for place, most, size, dim in zip(
        places.unbind(1), largest, (x.shape[3], x.shape[2]), (3, 2), strict=True
    ):
        width = place[:, 0] * min(most, size)
        start = (place[:, 1] * (size - width)).floor()
        at = torch.arange(size, device=x.device)
        hidden = (at >= start[:, None]) & (at < (start + width.floor())[:, None])
        shape = [len(x), 1, 1, 1]
        shape[dim] = size
        x.masked_fill_(hidden.view(shape), 0)
