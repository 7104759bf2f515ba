"""A Parquet file, a group of rows at a time: the only place that knows pyarrow."""

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from domain.quantities import DECIMALS
from storage.figures.result import FieldType


class _Sink(io.RawIOBase):
    """Takes what is written until it is asked for."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def drained(self) -> bytes:
        """What was written since the last call."""
        drained = b"".join(self._parts)
        self._parts.clear()
        return drained


class ParquetFile:
    """A file on its way out."""

    def __init__(
        self, columns: Mapping[str, FieldType], zone: str, *, digits: int, null_texts: bool = False
    ) -> None:
        """Quantities have so many digits; where texts can be null, they are so instead of empty."""

        def types(instant: Any) -> dict[str, Any]:
            known = {
                FieldType.QUANTITY: pa.decimal128(digits, DECIMALS),
                FieldType.COUNT: pa.int64(),
                FieldType.INSTANT: instant,
                FieldType.TEXT: pa.string(),
            }
            return {name: known[kind] for name, kind in columns.items()}

        self._schema = pa.schema(types(pa.timestamp("ms", zone)))
        # A number can become seconds, which Parquet doesn't have, and they milliseconds.
        self._seconds = pa.schema(types(pa.timestamp("s", zone)))
        self._how: dict[str, Any] = {
            "read_options": pa.csv.ReadOptions(column_names=[*columns], use_threads=False),
            "parse_options": pa.csv.ParseOptions(ignore_empty_lines=False),
            "convert_options": pa.csv.ConvertOptions(
                column_types=types(pa.int64()), strings_can_be_null=null_texts
            ),
        }
        self._sink = _Sink()
        self._writer = pa.parquet.ParquetWriter(self._sink, self._schema, compression="zstd")

    def group(self, cells: bytes) -> bytes:
        """The bytes of a further group of rows."""
        table = pa.csv.read_csv(pa.BufferReader(cells), **self._how)
        table = table.cast(self._seconds).cast(self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        return self._sink.drained()

    def end(self) -> bytes:
        """The bytes that stand behind all groups."""
        self._writer.close()
        return self._sink.drained()
