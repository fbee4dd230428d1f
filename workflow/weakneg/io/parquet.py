"""Parquet files."""

import os

import pyarrow as pa
import pyarrow.parquet

from weakneg.io.files import replace_when_whole


def write_table(path: str | os.PathLike[str], table: pa.Table) -> None:
    """Write a Parquet file, whole or not at all; equal tables give equal bytes."""
    with replace_when_whole(path) as temporary:
        pa.parquet.write_table(table, temporary, compression="zstd")
