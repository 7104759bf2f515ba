"""A writer of Parquet files; the only module that uses pyarrow."""

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from domain.quantities import DECIMALS
from storage.figures.result import FieldType


class _Buffer(io.RawIOBase):
    """Holds what is written until it is taken."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._size += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


class ParquetWriter:
    """Makes a file in memory, from which the bytes are taken after each row group."""

    def __init__(
        self, columns: Mapping[str, FieldType], zone: str, *, digits: int, null_texts: bool = False
    ) -> None:
        """Set the digits of quantities; with `null_texts`, an empty text is null."""

        def types(instant: Any) -> dict[str, Any]:
            known = {
                FieldType.QUANTITY: pa.decimal128(digits, DECIMALS),
                FieldType.COUNT: pa.int64(),
                FieldType.INSTANT: instant,
                FieldType.TEXT: pa.string(),
            }
            return {name: known[kind] for name, kind in columns.items()}

        self._schema = pa.schema(types(pa.timestamp("ms", zone)))
        # A number can be cast to seconds, which Parquet doesn't have, and these to milliseconds.
        self._seconds = pa.schema(types(pa.timestamp("s", zone)))
        self._csv_options: dict[str, Any] = {
            "read_options": pa.csv.ReadOptions(column_names=[*columns], use_threads=False),
            "parse_options": pa.csv.ParseOptions(ignore_empty_lines=False),
            "convert_options": pa.csv.ConvertOptions(
                column_types=types(pa.int64()), strings_can_be_null=null_texts
            ),
        }
        self._buffer = _Buffer()
        self._writer = pa.parquet.ParquetWriter(self._buffer, self._schema, compression="zstd")

    def row_group(self, rows: bytes) -> bytes:
        """Return the bytes of a further row group, of rows of CSV."""
        table = pa.csv.read_csv(pa.BufferReader(rows), **self._csv_options)
        table = table.cast(self._seconds).cast(self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        return self._buffer.take()

    def end(self) -> bytes:
        """Return the bytes after all row groups."""
        self._writer.close()
        return self._buffer.take()
