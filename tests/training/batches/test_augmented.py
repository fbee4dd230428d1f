"""Augmentation: what training sees of clips, and what their labels are then."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.compliance.kaldi import fbank
from torchaudio.functional import mask_along_axis

from weakneg.audio.mel import LogMel
from weakneg.config.training import AugmentationSettings
from weakneg.errors import UserError
from weakneg.training.batches import mix
from weakneg.training.batches.augmented import (
    FULL_SCALE,
    Draws,
    _noises,
    add_noise,
    batches,
    draw,
    hide,
    spectrograms,
)
from weakneg.training.noise import Noise
from weakneg.training.rows import ResidentRows

T, F, RATE = 60, 32, 16000
SAMPLES = (T - 1) * 160 + 400
AUDIO = {
    "sample_rate": RATE,
    "mel_bins": F,
    "frame_length_ms": 25.0,
    "frame_shift_ms": 10.0,
    "window": "hanning",
}
LOG_MEL = LogMel.of(AUDIO)
NEITHER = {"mixup_rate": 0.0, "frequency_mask": 0, "time_mask": 0}


def psla(waveform: Tensor) -> Tensor:
    """(S,) in [-1, 1] -> (T, F), as PSLA calls Kaldi's filter banks."""
    return fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=F,
        dither=0.0,
        frame_shift=10,
    )


class Clips:
    """Noise bands, the first three positive; clip 2 ends after 40 frames."""

    device = torch.device("cpu")
    audio = AUDIO
    noise: Noise | None = None

    def __init__(self, n: int = 9, waveforms: bool = True):
        generator = torch.Generator().manual_seed(0)
        self.sound = 0.3 * torch.rand(n, SAMPLES, generator=generator) - 0.15
        self.sound *= torch.linspace(0.2, 1.5, n)[:, None]
        self.frames = torch.full((n,), T)
        self.frames[2] = 40
        self.sound[2, 39 * 160 + 400 :] = 0
        self.sound -= self.sound.mean(1, keepdim=True)
        self.stored = (self.sound * FULL_SCALE).round().to(torch.int16)
        self.x = LOG_MEL(self.stored.float() / FULL_SCALE)
        self.x[2, 40:] = 0
        self.label = torch.zeros(n)
        self.label[:3] = 1
        self.has_waveforms = waveforms

    def inputs(self, parts):
        return ((self.x[rows][:, None], None) for rows in parts)

    def waveforms(self, parts):
        if not self.has_waveforms:
            raise UserError("set audio: waveform")
        return (self.stored[rows] for rows in parts)

    def normalise(self, x: Tensor) -> Tensor:
        return (x + 4) / 2


def epoch(clips: Clips, rows: Tensor, seed: int = 0, batch_size: int = 4, **settings):
    """Inputs (n, T, F) before their normalisation, and labels (n,), of an epoch."""
    augmentation = AugmentationSettings(**settings)
    made = [*batches(clips, rows, batch_size, augmentation, seed)]
    assert all(mask is None for (_, mask), _ in made)
    x = torch.cat([x for (x, _), _ in made])[:, 0]
    return x * 2 - 4, torch.cat([label for _, label in made])


ROWS = torch.tensor([5, 0, 3, 8, 2, 7, 1, 4, 6])


def test_without_mixing_and_masks_the_clips_are_as_stored():
    clips = Clips()
    x, label = epoch(clips, ROWS, **NEITHER)
    torch.testing.assert_close(x, clips.x[ROWS], rtol=1e-5, atol=1e-5)
    assert torch.equal(label, clips.label[ROWS])


def test_nothing_that_is_stored_is_changed():
    clips = Clips()
    before = clips.x.clone(), clips.label.clone(), clips.stored.clone()
    for domain in ("waveform", "spectrogram"):
        epoch(clips, ROWS, mixup_rate=1.0, mixup_domain=domain, frequency_mask=9, time_mask=20)
    for old, new in zip(before, (clips.x, clips.label, clips.stored), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("domain", ["waveform", "spectrogram"])
def test_clips_and_labels_are_mixed_by_the_same_weight(domain):
    """Equations 6 and 7, written out; waveforms are mixed as PSLA does it, clip by clip."""
    clips = Clips()
    settings = NEITHER | {"mixup_rate": 0.6, "mixup_domain": domain}
    draws = draw(ROWS, AugmentationSettings(**settings), 3)
    assert 0 < draws.mixed.sum() < len(ROWS)
    assert set(draws.partner.tolist()) <= set(ROWS.tolist())
    x, label = epoch(clips, ROWS, 3, **settings)
    for found, y, own, partner, weight in zip(
        x, label, ROWS, draws.partner, draws.weight, strict=True
    ):
        expected = clips.x[own]
        if weight < 1 and domain == "spectrogram":
            expected = weight * clips.x[own] + (1 - weight) * clips.x[partner]
        elif weight < 1:
            n = 39 * 160 + 400 if own == 2 else SAMPLES  # the partner is cut where the clip ends
            first, second = (clips.stored[i][:n].float() / FULL_SCALE for i in (own, partner))
            first, second = first - first.mean(), second - second.mean()
            mixture = weight * first + (1 - weight) * second
            expected = torch.zeros(T, F)
            made = psla(mixture - mixture.mean())
            expected[: len(made)] = made
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-3)
        mixed_label = weight * clips.label[own] + (1 - weight) * clips.label[partner]
        torch.testing.assert_close(y, mixed_label)


def test_other_values_of_bags_are_mixed_as_their_labels_are():
    clips = Clips()
    for rate in (0.0, 0.6):
        settings = NEITHER | {"mixup_rate": rate, "mixup_domain": "spectrogram"}
        _, label = epoch(clips, ROWS, 3, **settings)
        assert torch.equal(mix(clips.label, ROWS, AugmentationSettings(**settings), 3), label)
    assert torch.equal(mix(clips.label, ROWS, None, 3), clips.label[ROWS])


def test_a_negative_that_meets_a_positive_becomes_partly_positive_and_no_other_does():
    clips = Clips()
    rows = torch.arange(9).repeat(300)
    draws = draw(rows, AugmentationSettings(mixup_rate=0.5, **{"mixup_domain": "spectrogram"}), 0)
    _, label = epoch(
        clips, rows, 0, 64, mixup_rate=0.5, mixup_domain="spectrogram", frequency_mask=0
    )
    negative = clips.label[rows] == 0
    met = draws.mixed & (clips.label[draws.partner] == 1)
    assert torch.equal(label[negative] > 0, met[negative])
    assert (label[negative & met] < 1).all()
    # Rate a half, and a third of the epoch is positive: one in six.
    assert (negative & met).sum() / negative.sum() == pytest.approx(1 / 6, abs=0.03)
    # The weight is of Beta(10, 10): mean 1/2, standard deviation 0.109.
    weight = draws.weight[draws.mixed]
    assert draws.mixed.double().mean() == pytest.approx(0.5, abs=0.03)
    assert weight.mean() == pytest.approx(0.5, abs=0.02)
    assert weight.std() == pytest.approx(0.1091, abs=0.01)


def test_masks_are_those_of_torchaudio():
    """The same random numbers give the same masks as `mask_along_axis`, one clip at a time."""
    x = torch.rand(40, 1, T, F) + 1
    expected = x.clone()
    places = torch.empty(40, 2, 2)
    for clip in range(40):
        for number, (largest, axis) in enumerate([(20, 2), (30, 1)]):
            torch.manual_seed(100 * clip + number)
            places[clip, number] = torch.stack([torch.rand(1), torch.rand(1)])[:, 0]
            torch.manual_seed(100 * clip + number)
            expected[clip] = mask_along_axis(expected[clip], largest, 0.0, axis)
    hide(x, places, (20, 30))
    assert torch.equal(x, expected)
    assert 0.05 < (x == 0).double().mean() < 0.9


def test_a_mask_can_be_as_wide_as_the_clip_and_no_wider():
    x = torch.ones(1, 1, T, F)
    hide(x, torch.full((1, 2, 2), 1 - 1e-6), (F, 10 * T))
    assert (x == 0).sum() >= T * F - max(T, F) - 1


def test_masks_have_the_loudness_of_padding():
    """They are 0 before the normalisation, as in PSLA."""
    x, _ = epoch(Clips(), ROWS, **NEITHER | {"time_mask": 30})
    hidden = (x == 0).all(2)
    assert hidden[:, :40].any()


def test_an_epoch_depends_on_its_seed_alone_and_not_on_the_size_of_batches():
    clips = Clips()
    x, label = epoch(clips, ROWS, 1, 4)
    again, same = epoch(clips, ROWS, 1, 9)
    torch.testing.assert_close(x, again)
    torch.testing.assert_close(label, same)
    other, _ = epoch(clips, ROWS, 2, 4)
    assert not torch.equal(x, other)


def test_waveforms_are_asked_for_only_where_they_are_mixed():
    clips = Clips(waveforms=False)
    epoch(clips, ROWS, mixup_domain="spectrogram")
    epoch(clips, ROWS, mixup_rate=0.0)
    with pytest.raises(UserError, match="waveform"):
        epoch(clips, ROWS)


def test_sound_longer_than_the_spectrogram_is_cut_and_shorter_sound_padded():
    clips = Clips()
    sound, frames = clips.stored[:1].float(), torch.tensor([T])
    whole = spectrograms(sound, frames, T, LOG_MEL)
    assert torch.equal(spectrograms(sound, frames, 20, LOG_MEL), whole[:, :20])
    padded = spectrograms(sound, frames, T + 30, LOG_MEL)
    assert torch.equal(padded[:, :T], whole)
    assert (padded[:, T:] == 0).all()


def test_draws_are_shaped_for_batches():
    draws = draw(ROWS, AugmentationSettings(), 0)
    assert isinstance(draws, Draws)
    assert [tuple(d.shape) for d in draws] == [(9,), (9,), (9, 2, 2), (9,), (9, 3)]
    assert np.all((draws.masks.numpy() >= 0) & (draws.masks.numpy() < 1))


def noisy(rate: float = 1.0, snr_db: tuple[float, float] = (10.0, 10.0), **settings):
    noise = {"folder": "noise", "rate": rate, "snr_db": [*snr_db]}
    return NEITHER | {"mixup_domain": "waveform", "noise": noise} | settings


def with_noise(*waveforms: Tensor) -> Clips:
    """The clips, and noise of any lengths, in 16 bits."""
    clips = Clips()
    rows = torch.zeros(len(waveforms), SAMPLES, dtype=torch.int16)
    for row, waveform in zip(rows, waveforms, strict=True):
        row[: len(waveform)] = waveform
    clips.noise = Noise(ResidentRows(rows), torch.tensor([len(w) for w in waveforms]), "")
    return clips


def rustle(samples: int = SAMPLES, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-3000, 3000, (samples,), generator=generator, dtype=torch.int16)


@pytest.mark.parametrize("ratio", [-6.0, 0.0, 17.0])
def test_noise_has_the_ratio_asked_for_over_what_is_heard_of_a_clip(ratio):
    sound = torch.rand(3, 1000, generator=torch.Generator().manual_seed(0)) - 0.5
    noise = torch.rand(3, 1000, generator=torch.Generator().manual_seed(1)) - 0.5
    heard = torch.tensor([1000, 400, 20])
    sound[1, 400:] = 0
    added = add_noise(sound, noise, torch.full((3,), ratio), heard) - sound
    for n, of_sound, of_noise in zip(heard, sound, added, strict=True):
        found = 10 * torch.log10(of_sound[:n].square().mean() / of_noise[:n].square().mean())
        assert found == pytest.approx(ratio, abs=0.01)


def test_silence_adds_nothing():
    sound, heard = torch.ones(1, 100), torch.tensor([100])
    assert torch.equal(add_noise(sound, torch.zeros(1, 100), torch.zeros(1), heard), sound)


def test_a_noisy_clip_is_the_spectrogram_of_clip_and_noise_and_keeps_its_label():
    clips = with_noise(rustle())
    settings = noisy()
    draws = draw(ROWS, AugmentationSettings(**settings), 3)
    x, label = epoch(clips, ROWS, 3, **settings)
    assert torch.equal(label, clips.label[ROWS])
    for found, own, begin in zip(x, ROWS, draws.noise[:, 1], strict=True):
        n = 39 * 160 + 400 if own == 2 else SAMPLES
        sound = clips.stored[own][:n].float() / FULL_SCALE
        noise = rustle().roll(-int(begin * SAMPLES))[:n].float() / FULL_SCALE
        noise = noise * (sound.square().mean() / noise.square().mean() / 10).sqrt()
        expected = torch.zeros(T, F)
        made = psla(sound + noise)
        expected[: len(made)] = made
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-3)


def test_noise_is_added_to_a_share_of_the_clips_and_the_others_are_as_stored():
    clips = with_noise(rustle(), rustle(2000, 2))
    settings = noisy(0.4)
    rows = torch.arange(9).repeat(60)
    draws = draw(rows, AugmentationSettings(**settings), 0)
    assert draws.noisy.double().mean() == pytest.approx(0.4, abs=0.06)
    x, _ = epoch(clips, rows, 0, 64, **settings)
    same = (x - clips.x[rows]).abs().amax((1, 2)) < 1e-4
    assert torch.equal(same, ~draws.noisy)


def test_short_noise_starts_over_to_the_end_of_the_clip():
    clips = with_noise(rustle(500))
    x, _ = epoch(clips, ROWS, **noisy(snr_db=(-20.0, -20.0)))
    change = (x - clips.x[ROWS])[ROWS != 2].abs().mean(2)
    assert (change > 0.5).all()


def test_ratios_cover_the_range_evenly_and_all_noises_are_used():
    rows = torch.zeros(4000, dtype=torch.int64)
    clips = with_noise(*(rustle(seed=s) for s in range(4)))
    settings = AugmentationSettings(**noisy(snr_db=(-5.0, 15.0)))
    draws = draw(rows, settings, 0)
    [(_, ratio)] = _noises(clips, [draws], settings.noise)
    assert ratio.min() == pytest.approx(-5, abs=0.1)
    assert ratio.max() == pytest.approx(15, abs=0.1)
    assert ratio.mean() == pytest.approx(5, abs=0.5)
    used = (draws.noise[:, 0] * 4).long().bincount(minlength=4)
    assert (used > 800).all()


def test_noise_is_added_to_mixtures_too_and_leaves_their_labels_alone():
    clips, settings = with_noise(rustle()), noisy(0.5, mixup_rate=0.5)
    rows = ROWS.repeat(20)
    draws = draw(rows, AugmentationSettings(**settings), 5)
    kinds = {*zip(draws.mixed.tolist(), draws.noisy.tolist(), strict=True)}
    assert len(kinds) == 4  # neither, one, the other, both
    x, label = epoch(clips, rows, 5, 16, **settings)
    plain, same = epoch(clips, rows, 5, 16, **NEITHER | {"mixup_rate": 0.5})
    assert torch.equal(label, same)
    changed = (x - plain).abs().amax((1, 2)) > 1e-3
    assert torch.equal(changed, draws.noisy)
