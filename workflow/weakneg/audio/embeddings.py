"""The stage that computes the embeddings of a shard of recordings."""

from pathlib import Path

import numpy as np

from weakneg.audio.decode import n_samples
from weakneg.audio.encoder import open_encoder
from weakneg.audio.shards import Array, write_shard
from weakneg.config.stages import EmbeddingSettings
from weakneg.stages import Threads, stage


@stage
def embed_shard(
    status: Path, settings: EmbeddingSettings, encoder: str, output: Path, threads: Threads
) -> None:
    """Compute the embeddings of a shard of recordings.

    Parameters
    ----------
    status : Path
        The status table of the shard.
    settings : EmbeddingSettings
        How sound becomes embeddings.
    encoder : str
        The ONNX file of the encoder.
    output : Path
        The shard, an HDF5 file, see `weakneg.audio.shards`.
    threads : int
        Number of clips that are computed at a time.

    Raises
    ------
    UserError
        When the table cannot be read, the encoder is not that of the settings, or the shard cannot
        be written.
    """
    opened = open_encoder(encoder, settings.encoding)
    n_frames = opened.n_frames(n_samples(settings.clip_seconds, settings.sample_rate))
    shape = (n_frames, opened.window_shape[1])
    write_shard(
        status,
        settings.model_dump(),
        output,
        threads,
        [Array("x", shape, np.float32, lambda clip: clip.features)],
        _sums,
        opened.compute_clip,
        {"encoder": encoder},
    )


def _sums(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Sum and sum of squares of each feature, and the number of embeddings."""
    x = embeddings.astype(np.float64)
    return x.sum(0), np.square(x).sum(0), len(x)
