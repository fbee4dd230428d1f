"""Augmentation of spectrograms: mixup, and masks in frequency and time.

Source: Shah et al., section 5.2.2, after Gong, Chung and Glass, "PSLA: Improving Audio Tagging With
Pretraining, Sampling, Labeling, and Aggregation" (2021), sections III-C and III-D.

What mixup does to the negatives. The bags of an epoch are the positive ones and the chosen
negatives; the partner of a mixed bag is any bag of the same epoch, so that training sees nothing
that was not chosen. A negative bag that meets a positive partner gets the label of its mixture,
1 - weight, and is no negative any more; with two positives for four negatives and the paper's rate
of a half, that is one in six of the chosen negatives.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakneg.audio.mel import LogMel
from weakneg.training.rows import together

if TYPE_CHECKING:
    from weakneg.config.sections import AugmentationSettings
    from weakneg.training.batches import Inputs
    from weakneg.training.data import BagData

FULL_SCALE = 32767  # of stored waveforms


class Draws(NamedTuple):
    """What chance decides for the n bags of an epoch, in the order of training.

    partner  (n,) int64 row of the bag that each is mixed with
    weight   (n,) float32 share of the bag itself in the mixture; 1 where it is not mixed
    masks    (n, 2, 2) float32 in [0, 1): of frequency and of time, the width as a share of the
             largest one, and the place as a share of what is possible
    """

    partner: Tensor
    weight: Tensor
    masks: Tensor

    @property
    def mixed(self) -> Tensor:
        """(n,) bool: which bags are mixed."""
        return self.weight < 1


def draw(rows: Tensor, augmentation: "AugmentationSettings", seed: int) -> Draws:
    """The draws of an epoch that trains on the bags of `rows` (n,), on the CPU.

    weight ~ Beta(alpha, alpha), equations 6 to 8 of Shah et al.
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
    """See `weakneg.training.batches`; of spectrograms, which are bags of one instance.

    Raises UserError when waveforms are to be mixed and the feature store has none.
    """
    draws = draw(rows, augmentation, seed)
    split = rows.split(batch_size)
    drawn = [Draws(*each) for each in zip(*(d.split(batch_size) for d in draws), strict=True)]
    partners = [d.partner[d.mixed] for d in drawn]
    log_mel = None
    if augmentation.mixup_rate and augmentation.mixup_domain == "waveform":
        log_mel = LogMel.of(data.audio)
        both = [torch.cat([b[d.mixed], p]) for b, d, p in zip(split, drawn, partners, strict=True)]
        to_mix = data.waveforms(both)
    else:
        to_mix = (x for x, _ in data.inputs(partners))
    device = data.device
    for batch, partner, mixed, weight, masks, (x, _), others in zip(
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
            x[mixed, 0] = mix_waveforms(*others.chunk(2), weight, frames, x.shape[2], log_mel)
        elif len(mixed):
            x[mixed] = torch.lerp(others.float(), x[mixed], weight.view(-1, 1, 1, 1))
        label[mixed] = torch.lerp(data.label[partner], label[mixed], weight)
        hide(x, masks, (augmentation.frequency_mask, augmentation.time_mask))
        yield (data.normalise(x), None), label


def mix_waveforms(
    first: Tensor, second: Tensor, weight: Tensor, frames: Tensor, n_frames: int, log_mel: LogMel
) -> Tensor:
    """Spectrograms (m, n_frames, F) of weight * first + (1 - weight) * second.

    first, second: (m, S) int16; weight: (m,)
    frames: (m,) how many rows of the spectrogram of `first` hold sound. Its partner is cut where it
        ends, as in PSLA: behind that there are zeros. (PSLA removes the mean of the mixture too; a
        frame's own is removed in any case.)
    """
    mixture = torch.lerp(second.float(), first.float(), weight[:, None]) / FULL_SCALE
    spectrogram = log_mel(mixture)[:, :n_frames]
    result = spectrogram.new_zeros(len(first), n_frames, spectrogram.shape[2])
    result[:, : spectrogram.shape[1]] = spectrogram
    result[torch.arange(n_frames, device=frames.device) >= frames[:, None]] = 0
    return result


def hide(x: Tensor, places: Tensor, largest: tuple[int, int]) -> None:
    """Set a band of frequencies and a stretch of time of every clip x (b, 1, T, F) to 0, in place.

    places: (b, 2, 2) as in `Draws`; largest: width of a mask, in mel bins and in frames

    A width is floor(u) and a beginning floor(v), u uniform up to the largest width and v up to
    size - u, as in torchaudio's FrequencyMasking and TimeMasking, which PSLA uses. They come before
    the normalisation, so that a mask is as loud as the padding.
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
