"""Augmentation of spectrograms: mixup, background noise, and masks in frequency and time.

Source: Shah et al., section 5.2.2, after Gong, Chung and Glass, "PSLA: Improving Audio Tagging With
Pretraining, Sampling, Labeling, and Aggregation" (2021), sections III-C and III-D.

What mixup does to the negatives: the bags of an epoch are the positive ones and the chosen
negatives, and the partner of a mixed bag is any bag of the same epoch, so that training sees only
chosen bags. A negative bag with a positive partner gets the label of the mixture, 1 - weight, and
is no longer negative. With two positives for every four negatives, and the paper's mixup rate of a
half, this happens to one in six of the chosen negatives.

Noise is not of the paper. It is added to the mixture and changes no label.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weakneg.audio.mel import LogMel
from weakneg.training.rows import together

if TYPE_CHECKING:
    from weakneg.config.training import AugmentationSettings, NoiseSettings
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
    noisy : (n,) bool
        Whether noise is added.
    noise : (n, 3) float32
        Which noise, where in it to begin, and the ratio of the powers in dB, each relative to the
        possible range, in [0, 1).
    """

    partner: Tensor
    weight: Tensor
    masks: Tensor
    noisy: Tensor
    noise: Tensor

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
        With mixup_rate, mixup_alpha and noise; weight ~ Beta(alpha, alpha).
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
    masks = rng.random((n, 2, 2), dtype=np.float32)
    noisy = rng.random(n) < (augmentation.noise.rate if augmentation.noise else 0)
    noise = rng.random((n, 3), dtype=np.float32)
    arrays = weight.astype(np.float32), masks, noisy, noise
    return Draws(partner, *map(torch.from_numpy, arrays))


def batches(
    data: "BagData",
    rows: Tensor,
    sizes: list[int],
    augmentation: "AugmentationSettings",
    seed: int,
) -> Iterator[tuple["Inputs", Tensor]]:
    """Yield the batches of an epoch of spectrograms, see `weakneg.training.batches`.

    Raises
    ------
    UserError
        When waveforms are needed and the feature store has none.
    """
    draws = draw(rows, augmentation, seed)
    split = rows.split(sizes)
    drawn = [Draws(*each) for each in zip(*(d.split(sizes) for d in draws), strict=True)]
    partners = [d.partner[d.mixed] for d in drawn]
    device = data.device
    mixed_places = together([d.mixed.nonzero()[:, 0] for d in drawn], device)
    log_mel = None
    changed: Iterator[tuple[Tensor, Tensor]]
    if augmentation.noise or (augmentation.mixup_rate and augmentation.mixup_domain == "waveform"):
        assert data.audio is not None
        log_mel = LogMel.of(data.audio)
        changed = _changed_waveforms(data, split, drawn, log_mel, augmentation.noise)
    else:
        changed = zip(mixed_places, (x for x, _ in data.inputs(partners)), strict=True)
    for batch, partner, mixed, weight, masks, (x, sound), (places, new) in zip(
        together(split, device),
        together(partners, device),
        mixed_places,
        together([d.weight[d.mixed] for d in drawn], device),
        together([d.masks for d in drawn], device),
        data.inputs(split),
        changed,
        strict=True,
    ):
        x, label = x.float(), data.label[batch]
        if len(places) and log_mel:
            x[places, 0] = spectrograms(new, data.frames[batch[places]], x.shape[2], log_mel)
        elif len(places):
            x[mixed] = torch.lerp(new.float(), x[mixed], weight.view(-1, 1, 1, 1))
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


def _changed_waveforms(
    data: "BagData",
    split: Sequence[Tensor],
    drawn: Sequence[Draws],
    log_mel: LogMel,
    noise: "NoiseSettings | None",
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for each batch, the places of its m bags that are mixed or noisy, and (m, S) samples.

    A partner is not cut off where the bag ends: `spectrograms` does that.
    """
    device = data.device
    changed = [d.mixed | d.noisy for d in drawn]
    own = [batch[of_batch] for batch, of_batch in zip(split, changed, strict=True)]
    waveforms = data.waveforms(
        [torch.cat([rows, d.partner[d.mixed]]) for rows, d in zip(own, drawn, strict=True)]
    )
    which = [
        (d.mixed[of_batch], d.noisy[of_batch]) for d, of_batch in zip(drawn, changed, strict=True)
    ]
    noises = repeat(None) if noise is None else _noises(data, drawn, noise)
    for rows, places, mixed, noisy, weight, samples, added in zip(
        together(own, device),
        together([of_batch.nonzero()[:, 0] for of_batch in changed], device),
        together([is_mixed.nonzero()[:, 0] for is_mixed, _ in which], device),
        together([is_noisy.nonzero()[:, 0] for _, is_noisy in which], device),
        together([d.weight[d.mixed] for d in drawn], device),
        waveforms,
        noises,
        strict=False,
    ):
        sound, others = samples.float().split([len(rows), len(mixed)])
        sound[mixed] = torch.lerp(others, sound[mixed], weight[:, None])
        if added is not None:
            heard = log_mel.n_samples(data.frames[rows[noisy]])
            background, ratio = added
            sound[noisy] = add_noise(sound[noisy], background, ratio, heard)
        yield places, sound


def _noises(
    data: "BagData", drawn: Sequence[Draws], settings: "NoiseSettings"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for each batch, the noise of its k noisy bags, (k, S), and the ratios (k,) in dB.

    Noise begins at a random place and starts over where it ends.
    """
    assert data.noise is not None
    device, noise = data.device, data.noise
    lowest, highest = settings.snr_db
    drawn_for = [d.noise[d.noisy] for d in drawn]
    which = [(each[:, 0] * len(noise.length)).long() for each in drawn_for]
    begin = [
        (each[:, 1] * noise.length[w]).long() for each, w in zip(drawn_for, which, strict=True)
    ]
    for first, length, ratio, samples in zip(
        together(begin, device),
        together([noise.length[w] for w in which], device),
        together([lowest + each[:, 2] * (highest - lowest) for each in drawn_for], device),
        noise.waveforms.batches(which),
        strict=True,
    ):
        at = torch.arange(samples.shape[1], device=device) + first[:, None]
        yield samples.gather(1, at % length[:, None]).float(), ratio


def add_noise(sound: Tensor, noise: Tensor, ratio_db: Tensor, heard: Tensor) -> Tensor:
    """Add noise to waveforms at given ratios.

    Parameters
    ----------
    sound, noise : (m, S) float32
        Waveforms in the same unit.
    ratio_db : (m,) float32
        The power of the sound over that of the noise, dB.
    heard : (m,) int64
        Number of samples that are heard, and that the ratio is of.

    Returns
    -------
    (m, S) float32
        The sum. Where the noise is silent, nothing is added.
    """
    is_heard = torch.arange(sound.shape[1], device=sound.device) < heard[:, None]
    of_sound, of_noise = ((each * is_heard).square().sum(1) for each in (sound, noise))
    gain = 10 ** (-ratio_db / 20) * (of_sound / of_noise).sqrt()
    return sound + torch.where(of_noise > 0, gain, 0)[:, None] * noise


def spectrograms(waveforms: Tensor, frames: Tensor, n_frames: int, log_mel: LogMel) -> Tensor:
    """Compute the spectrograms of clips that have sound in some of their rows.

    Parameters
    ----------
    waveforms : (m, S) float32
        Samples; 32767 is full scale.
    frames : (m,) int64
        Number of rows in which a clip has sound. What is mixed with it is cut off there, as in
        PSLA, and zeros follow. (PSLA also removes the mean of the mixture; here the mean of each
        frame is removed in any case.)
    n_frames : int
        Number of rows of the result.
    log_mel : LogMel
        How spectrograms are made.

    Returns
    -------
    (m, n_frames, F) float32
    """
    spectrogram = log_mel(waveforms / FULL_SCALE)[:, :n_frames]
    result = spectrogram.new_zeros(len(waveforms), n_frames, spectrogram.shape[2])
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
