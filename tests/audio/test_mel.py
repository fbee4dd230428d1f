"""Log-mels: the same as in PSLA, whatever the sound."""

import math
import os
from pathlib import Path

import pytest
import torch
import torchaudio
from sounds import RATE, TEN_SECONDS, read

from weakneg.audio.mel import WINDOWS, LogMel
from weakneg.errors import UserError

PSLA = LogMel.of(TEN_SECONDS)


def kaldi(waveform: torch.Tensor, mel: LogMel = PSLA) -> torch.Tensor:
    return torchaudio.compliance.kaldi.fbank(
        waveform[None],
        htk_compat=True,
        sample_frequency=mel.sample_rate,
        use_energy=False,
        window_type=mel.window,
        num_mel_bins=mel.mel_bins,
        dither=0.0,
        frame_length=mel.frame_length_ms,
        frame_shift=mel.frame_shift_ms,
        low_freq=mel.low_hz,
        high_freq=mel.high_hz or 0.0,
    )


def test_real_sound_gives_the_log_mels_of_kaldi(esc10):
    for path in esc10[::12]:
        waveform = torch.from_numpy(read(path).waveform)
        torch.testing.assert_close(PSLA(waveform), kaldi(waveform), rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def esc10() -> list[Path]:
    folder = Path(os.environ.get("WEAKNEG_DATA", "")) / "esc10"
    files = sorted(folder.glob("*/*.ogg"))
    if "WEAKNEG_DATA" not in os.environ or not files:
        pytest.skip("ESC-10 is not in the folder that WEAKNEG_DATA names")
    return files


def synthetic() -> torch.Tensor:
    """(5, 160000) a tone, a sweep, noise, clicks in silence, and a loud offset."""
    t = torch.arange(160_000) / RATE
    generator = torch.Generator().manual_seed(0)
    whitenoise = torch.randn(160_000, generator=generator)
    clicks = (torch.arange(160_000) % 4001 == 0).float()
    sweep = torch.sin(2 * torch.pi * (50 * t + 390 * t**2))
    return torch.stack([torch.sin(2764.6 * t), sweep, whitenoise / 4, clicks, whitenoise / 99 + 1])


@pytest.mark.parametrize(
    "mel",
    [
        *(LogMel(RATE, 128, 25.0, 10.0, window) for window in WINDOWS),
        LogMel(32_000, 64, 32.0, 10.0, "hanning"),
        LogMel(22_050, 40, 25.0, 12.5, "hamming"),
        LogMel(8_000, 8, 10.0, 10.0, "povey"),
        LogMel(RATE, 64, 25.0, 10.0, "hanning", low_hz=500.0, high_hz=6_500.0),
        LogMel(250_000, 32, 4.0, 2.0, "hanning", low_hz=15_000.0),
    ],
    ids=str,
)
def test_synthetic_sound_gives_the_log_mels_of_kaldi(mel):
    for waveform in synthetic():
        torch.testing.assert_close(mel(waveform), kaldi(waveform, mel), rtol=0, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e-12, 1e-9, 3e-7, 1e-3])
def test_digital_silence_makes_no_subnormal_numbers(level):
    """A processor takes fifty times as long with them: zeros, less the mean of their clip."""
    waveform = torch.full((RATE,), level)
    torch.testing.assert_close(PSLA(waveform), kaldi(waveform), rtol=0, atol=1e-4)
    squares = []
    original = torch.Tensor.square_

    def spy(self):
        squares.append(original(self))
        return squares[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "square_", spy)
        PSLA(waveform)
    found = torch.cat([each.flatten() for each in squares])
    subnormal = (found > 0) & (found < torch.finfo(torch.float32).tiny)
    assert subnormal.float().mean() < 0.01


def test_ten_seconds_are_998_frames():
    assert PSLA(torch.randn(160_000)).shape == (998, 128)
    assert PSLA.n_frames(160_000) == 998
    assert [PSLA.n_frames(samples) for samples in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]


def test_a_batch_gives_what_its_waveforms_give():
    waveforms = synthetic()
    torch.testing.assert_close(
        PSLA(waveforms), torch.stack([PSLA(each) for each in waveforms]), rtol=0, atol=0
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_log_mels_of_kaldi():
    waveforms = synthetic()
    expected = torch.stack([kaldi(each) for each in waveforms])
    found = PSLA(waveforms.cuda()).cpu()
    # In single precision a bin 90 dB below the loudest of its frame is rounding, Kaldi's too.
    audible = expected > expected.amax(-1, keepdim=True) - 9 * math.log(10)
    torch.testing.assert_close(found[audible], expected[audible], rtol=0, atol=1e-4)
    assert audible.float().mean() > 0.5


def test_frames_shorter_than_samples_are_refused():
    with pytest.raises(UserError, match=r"frame_shift_ms 0\.01 is too short for 16000 Hz"):
        LogMel(RATE, 128, 25.0, 0.01, "hanning")


def test_bands_lie_between_the_lowest_and_the_highest_frequency():
    """A tone outside them is not heard, and one inside is loudest at its bin."""
    mel = LogMel(250_000, 48, 4.0, 2.0, "hanning", low_hz=15_000.0, high_hz=90_000.0)
    heard = {}
    for hertz in (5_000, 20_000, 60_000, 85_000, 110_000):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(25_000) / 250_000)
        heard[hertz] = mel(tone).mean(0)
    loudest = {hertz: bins.max().item() for hertz, bins in heard.items()}
    assert min(loudest[hertz] for hertz in (20_000, 60_000, 85_000)) > 7
    assert max(loudest[hertz] for hertz in (5_000, 110_000)) < 0
    for hertz in (20_000, 60_000, 85_000):
        assert abs(heard[hertz].argmax().item() - mel.bin_at(hertz)) <= 0.75


def test_bins_without_a_frequency_are_known():
    assert PSLA.empty_bins == [3]
    narrow = LogMel(8_000, 128, 25.0, 10.0, "hanning")
    assert narrow.empty_bins == [4, 7, 12, 17]
    spectrogram = narrow(torch.randn(8_000))
    constant = (spectrogram == spectrogram[0]).all(0).nonzero()[:, 0].tolist()
    assert constant == narrow.empty_bins
