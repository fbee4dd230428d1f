"""The encoder of a study: a foundation model of sound that makes the instances."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from weakneg.config.messages import problem
from weakneg.config.values import Section
from weakneg.errors import UserError

if TYPE_CHECKING:
    from weakneg.config.study import Study


class Encoding(Section):
    """What embeddings depend on besides the sound, wherever the file of the encoder is."""

    digest: str  # of the file, see `weakneg.audio.encoder_file.digest_of`
    sample_rate: int  # Hz
    seconds: float
    hop_seconds: float
    output: str


class EncoderSettings(Section):
    """A foundation model of sound, from waveforms to embeddings."""

    file: str = Field(
        min_length=1,
        description="ONNX file with a waveform as its input and an embedding among its outputs, "
        "such as one of BirdNET, Perch or VGGish. The path is relative to the folder of this file, "
        "or else to the working directory.",
    )
    sample_rate: int = Field(
        ge=1000,
        description="Sampling rate that the encoder was trained with, Hz: 48000 for BirdNET, 32000 "
        "for Perch, 16000 for VGGish.",
    )
    seconds: float | None = Field(
        None,
        gt=0,
        description="Length of its input; null: that of the file, if it is fixed there.",
    )
    hop_seconds: float | None = Field(
        None,
        gt=0,
        description="Time from one embedding of a clip to the next; null: the length of the input.",
    )
    output: str | None = Field(
        None, description="Name of the output with the embedding; null: the only output."
    )

    @property
    def encoding(self) -> Encoding:
        """What the embeddings depend on, once the study is checked."""
        from weakneg.audio.encoder_file import digest_of

        assert self.seconds is not None
        assert self.output is not None
        return Encoding(
            digest=digest_of(self.file),
            sample_rate=self.sample_rate,
            seconds=self.seconds,
            hop_seconds=self.hop_seconds or self.seconds,
            output=self.output,
        )


_OF_SPECTROGRAMS = {
    **{"frames": None, "waveform": False, "statistics": "training"},
    **{"padding": "masked"},
}
"""Keys of `audio` that have no meaning for embeddings, and their defaults."""


def encoder_encodes_the_sound(study: "Study") -> Mapping[str, Any]:
    """The file of an encoder takes the sound of the study.

    Returns the encoder with what its file says, and the section `audio` with its sample rate.
    """
    if study.encoder is None:
        return {}
    from weakneg.audio.encoder_file import interface
    from weakneg.config.sections import AudioSettings

    if study.dataset.definition.kind != "spectrograms":
        raise problem(f"{study.dataset.name} is not an audio data set: remove this key", "encoder")
    if study.augmentation is not None:
        text = "is for spectrograms, and the encoder makes embeddings: remove this key"
        raise problem(text, "augmentation")
    encoder, audio = study.encoder, study.audio or AudioSettings()
    for key, default in _OF_SPECTROGRAMS.items():
        if getattr(audio, key) != default:
            text = "is for spectrograms, and the encoder makes embeddings: remove this key"
            raise problem(text, "audio", key)
    if "sample_rate" in audio.model_fields_set and audio.sample_rate != encoder.sample_rate:
        text = f"must be that of the encoder, {encoder.sample_rate}, or left out"
        raise problem(text, "audio", "sample_rate")
    try:
        found = interface(encoder.file)
        found.check_rate(encoder.sample_rate)
        seconds = found.seconds(encoder.seconds, encoder.sample_rate)
        output = found.output(encoder.output)
    except UserError as error:
        raise problem(str(error).removesuffix("."), "encoder") from None
    return {
        "encoder": encoder.model_copy(update={"seconds": seconds, "output": output}),
        "audio": audio.model_copy(update={"sample_rate": encoder.sample_rate}),
    }
