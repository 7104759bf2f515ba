"""Requests for what is worked out from readings: the answer in each format, while it is made."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

from aiohttp import hdrs, web

from domain.time_zone import TimeZone
from server.formats.columns import (
    column_writers,
    json_objects,
    table_csv,
    table_envelope,
    table_ndjson,
)
from server.formats.parquet import table_parquet
from server.formats.registry import CSV, NDJSON, PARQUET, Format, negotiate_format
from server.transport.content_coding import Chunk
from server.transport.streaming import Payload
from storage.database import Database, DataState
from storage.figures.result import FigureQuery, ResultTable
from storage.figures.selection import parse_choice

VALUES = ("text", "number")
TIMES = ("offset", "utc", "local")

_LEFT_OUT_READINGS = "X-Left-Out-Readings"
_LEFT_OUT_ENERGY = "X-Left-Out-Energy"


@dataclass(frozen=True)
class FigureRequest:
    """A question and how its answer is to be written, see `DataRequest`."""

    question: FigureQuery
    name: str
    """What a file of the answer is called."""
    format: Format
    varies_by_accept: bool
    numbers: bool
    time: str

    @classmethod
    def of(
        cls, request: web.Request, given: Mapping[str, str], question: FigureQuery, name: str
    ) -> Self:
        """A question, to be answered as a request says; raises QueryError or ParameterError."""
        return cls(
            question,
            name,
            negotiate_format(request, given),
            "format" not in given,
            parse_choice(given, "values", VALUES) == "number",
            parse_choice(given, "time", TIMES),
        )

    @cached_property
    def key(self) -> str:
        """The same for questions that have the same answer, written alike."""
        return f"{self.question.key} {self.format.name} numbers={self.numbers:d} {self.time}"

    @property
    def media_type(self) -> str:
        """That of the format."""
        return self.format.media_type

    def headers(self, metadata: Mapping[str, str]) -> Mapping[str, str]:
        """What was left out, and the name of a file."""
        if self.format.file is None:
            return metadata
        disposition = f'attachment; filename="{self.name}.{self.format.name}"'
        return {**metadata, hdrs.CONTENT_DISPOSITION: disposition}

    async def payload(
        self,
        database: Database,
        state: DataState,
        *,
        deflate: bool,  # noqa: ARG002 - chunks are made as they are sent
    ) -> Payload:
        """Compute the figure."""
        table = await database.figures(self.question, state)
        metadata = {}
        left_out = table.metadata.get("left_out")
        if isinstance(left_out, Mapping):
            metadata = {
                _LEFT_OUT_READINGS: left_out["readings"],
                _LEFT_OUT_ENERGY: left_out["energy"],
            }
        return Payload(self._chunks(table), table.count, metadata)

    def _chunks(self, table: ResultTable) -> AsyncGenerator[Chunk]:
        if self.format is PARQUET:
            return table_parquet(table, "UTC" if self.time == "utc" else None)
        written = column_writers(table.fields, self._dates(table.zone))
        if self.format is CSV:
            return table_csv(table, written)
        objects_of = json_objects(table.fields, written, numbers=self.numbers)
        facts = _facts(table, numbers=self.numbers)
        return (table_ndjson if self.format is NDJSON else table_envelope)(table, objects_of, facts)

    def _dates(self, zone: TimeZone | None) -> Callable[[int], str]:
        """What writes an instant."""
        if self.time == "utc" or zone is None:
            return lambda instant: f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if self.time == "offset":
            return lambda instant: zone.at(instant).isoformat()
        return lambda instant: str(zone.at(instant).replace(tzinfo=None))


def _facts(table: ResultTable, *, numbers: bool) -> dict[str, str]:
    """The remarks of a table as JSON texts."""
    facts = {}
    for name, remark in table.metadata.items():
        text = json.dumps(remark, separators=(",", ":"))
        if numbers and name == "left_out" and isinstance(remark, Mapping):
            text = "{" + ",".join(f'"{key}":{value}' for key, value in remark.items()) + "}"
        facts[name] = text
    return facts
