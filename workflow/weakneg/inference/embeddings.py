"""The embeddings of clips and of their frames, as a Parquet file.

Each seed of a model has embeddings of its own, so there is a row for each clip, model and seed, and
after it one for each frame of the clip:

- `recording`: text; `start`, `end`: float64, the clip in it, in seconds
- `channel`: int64, its channel, from 1, if the study heard each
- `time`: float64, centre of the frame, in seconds of the recording; null for the clip
- `study`, `class`, `strategy`: text, and `seed`: int64, the model
- `embedding`: list of D float32. That of a frame is what the last layer of the model is given, and
  that of the clip their mean over the frames, which is what the strategies see.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from weakneg.io.files import replace_when_whole

SCHEMA = pa.schema(
    {
        **{"recording": pa.string(), "start": pa.float64(), "end": pa.float64()},
        **{"time": pa.float64(), "study": pa.string(), "class": pa.string()},
        **{"strategy": pa.string(), "seed": pa.int64(), "embedding": pa.list_(pa.float32())},
    }
)
_OF_CHANNELS = SCHEMA.insert(3, pa.field("channel", pa.int64()))
_ROWS = 1 << 14  # of a group


class EmbeddingsFile:
    """A file of embeddings that is being written. Made by `embeddings_file`."""

    def __init__(self, writer: "pa.parquet.ParquetWriter") -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []

    def add(
        self,
        clip: tuple[str, float, float] | tuple[str, float, float, int],
        model: tuple[str, str, str],
        seed: int,
        bag: np.ndarray,
        frames: np.ndarray,
        times: Sequence[float],
    ) -> None:
        """Add the rows of a clip.

        Parameters
        ----------
        clip : (str, float, float) or (str, float, float, int)
            Recording, start and end, and the channel if the study heard each.
        model : (str, str, str)
            Study, class and strategy.
        seed : int
            The seed.
        bag : (D,) float32
            Embedding of the clip.
        frames : (n, D) float32
            Those of its frames.
        times : sequence of float
            Their n centres, in seconds of the recording.
        """
        recording, *rest = clip
        name = recording.encode("utf-8", "backslashreplace").decode()  # need not be valid text
        x = np.concatenate([bag[None], frames]).astype(np.float32)
        n, size = x.shape
        same = (name, *rest), (*model, seed)
        first, last = ([pa.repeat(value, n) for value in values] for values in same)
        offsets = pa.array(np.arange(0, n * size + 1, size, dtype=np.int32))
        embeddings = pa.ListArray.from_arrays(offsets, pa.array(x.ravel()))
        columns = [*first, pa.array([None, *times], pa.float64()), *last, embeddings]
        schema = self._writer.schema
        arrays = [each.cast(kind) for each, kind in zip(columns, schema.types, strict=True)]
        self._waiting.append(pa.Table.from_arrays(arrays, schema=schema))
        if sum(map(len, self._waiting)) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROWS)
            self._waiting.clear()


@contextmanager
def embeddings_file(path: Path, channels: bool = False) -> Iterator[EmbeddingsFile]:
    """Write a file of embeddings, whole or not at all, as a context manager.

    Parameters
    ----------
    path : Path
        The Parquet file.
    channels : bool
        Whether each channel is heard.

    Yields
    ------
    EmbeddingsFile
        What to add rows to.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    with (
        replace_when_whole(path) as temporary,
        pa.parquet.ParquetWriter(
            temporary, _OF_CHANNELS if channels else SCHEMA, compression="zstd"
        ) as writer,
    ):
        file = EmbeddingsFile(writer)
        yield file
        file.flush()
