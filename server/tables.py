"""Requests for what is worked out from readings: the answer in each format, while it is made."""

import csv
import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

from aiohttp import hdrs, web

from server.bodies import TAIL, head, members
from server.coding import Part
from server.formats import CSV, ENVELOPE, NDJSON, Format, wanted
from server.streaming import Streamed
from storage.reader import Reader, State
from storage.scope import choice
from storage.table import Field, Kind, Question, Row, Table, Value, quantity

FORMATS = {each.name: each for each in (ENVELOPE, NDJSON, CSV)}
VALUES = ("text", "number")
TIMES = ("offset", "utc", "local")

_LEFT_OUT_READINGS = "X-Left-Out-Readings"
_LEFT_OUT_ENERGY = "X-Left-Out-Energy"

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""What a formula begins with."""

Written = Callable[[Value], str | None]
"""A value as text, None where it is missing."""


@dataclass(frozen=True)
class TableAsked:
    """A question and how its answer is to be written, see `server.asked`."""

    question: Question
    name: str
    """What a file of the answer is called."""
    format: Format
    by_accept: bool
    numbers: bool
    time: str

    @classmethod
    def of(
        cls, request: web.Request, given: Mapping[str, str], question: Question, name: str
    ) -> Self:
        """A question, to be answered as a request says; raises QueryError or ParameterError."""
        return cls(
            question,
            name,
            wanted(request, given, FORMATS),
            "format" not in given,
            choice(given, "values", VALUES) == "number",
            choice(given, "time", TIMES),
        )

    @cached_property
    def key(self) -> str:
        """The same for questions that have the same answer, written alike."""
        return f"{self.question.key} {self.format.name} numbers={self.numbers:d} {self.time}"

    @property
    def media_type(self) -> str:
        """That of the format."""
        return self.format.media_type

    def headers(self, notes: Mapping[str, str]) -> Mapping[str, str]:
        """What was left out, and the name of a file."""
        if self.format is not CSV:
            return notes
        disposition = f'attachment; filename="{self.name}.csv"'
        return {**notes, hdrs.CONTENT_DISPOSITION: disposition}

    async def answer(self, reader: Reader, state: State, *, compressed: bool) -> Streamed:  # noqa: ARG002 - parts are made as they are sent
        """The answer."""
        table = await reader.table(self.question, state)
        notes = {}
        left_out = table.remarks.get("left_out")
        if isinstance(left_out, Mapping):
            notes = {
                _LEFT_OUT_READINGS: left_out["readings"],
                _LEFT_OUT_ENERGY: left_out["energy"],
            }
        return Streamed(self._parts(table), table.count, media_type=self.media_type, notes=notes)

    def _parts(self, table: Table) -> AsyncGenerator[Part]:
        written = [self._written(field, table) for field in table.fields]
        if self.format is CSV:
            return _sheet(table, written)
        objects = _objects(table.fields, written, numbers=self.numbers)
        facts = _facts(table, numbers=self.numbers)
        if self.format is NDJSON:
            return _lines(table, objects, facts)
        return _envelope(table, objects, facts)

    def _written(self, field: Field, table: Table) -> Written:
        if field.kind is Kind.INSTANT:
            return lambda value: None if value is None else self._date(table, int(value))
        if field.kind is Kind.QUANTITY:
            return lambda value: None if value is None else quantity(int(value))
        if field.kind is Kind.TEXT and self.format is CSV:
            return lambda value: None if value is None else harmless(str(value))
        return lambda value: None if value is None else str(value)

    def _date(self, table: Table, instant: int) -> str:
        if self.time == "utc":
            return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"
        assert table.zone is not None
        local = table.zone.at(instant)
        return local.isoformat() if self.time == "offset" else str(local.replace(tzinfo=None))


def _objects(
    fields: Sequence[Field], written: Sequence[Written], *, numbers: bool
) -> Callable[[Row], str]:
    """What makes a JSON object of a row."""

    def quoted(field: Field, write: Written) -> Callable[[Value], str]:
        start = f'"{field.name}":'
        if field.kind is Kind.TEXT:
            return lambda value: start + json.dumps(write(value))
        mark = "" if numbers and field.kind in (Kind.QUANTITY, Kind.COUNT) else '"'

        def member(value: Value) -> str:
            text = write(value)
            return f"{start}null" if text is None else f"{start}{mark}{text}{mark}"

        return member

    members = [quoted(field, write) for field, write in zip(fields, written, strict=True)]

    def object_of(row: Row) -> str:
        return "{" + ",".join([m(value) for m, value in zip(members, row, strict=True)]) + "}"

    return object_of


def _facts(table: Table, *, numbers: bool) -> dict[str, str]:
    """The remarks of a table as JSON texts."""
    facts = {}
    for name, remark in table.remarks.items():
        text = json.dumps(remark, separators=(",", ":"))
        if numbers and name == "left_out" and isinstance(remark, Mapping):
            text = "{" + ",".join(f'"{key}":{value}' for key, value in remark.items()) + "}"
        facts[name] = text
    return facts


async def _envelope(
    table: Table, object_of: Callable[[Row], str], facts: Mapping[str, str]
) -> AsyncGenerator[Part]:
    before = head(table.count, "" if table.count else "No data found", facts)
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield before + ",".join(map(object_of, rows)).encode()
            before = b","
    yield TAIL if before == b"," else before + TAIL


async def _lines(
    table: Table, object_of: Callable[[Row], str], facts: Mapping[str, str]
) -> AsyncGenerator[Part]:
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield "".join([object_of(row) + "\n" for row in rows]).encode()
    yield b'{"numrecs":%d%b}\n' % (table.count, members(facts))


async def _sheet(table: Table, written: Sequence[Written]) -> AsyncGenerator[Part]:
    yield _row([field.name for field in table.fields])
    async with aclosing(table.rows) as chunks:
        async for rows in chunks:
            yield b"".join(
                [_row([write(v) for write, v in zip(written, row, strict=True)]) for row in rows]
            )


def harmless(text: str) -> str:
    """A report's own text for a cell, where a spreadsheet must not take it for a formula."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA else text


def _row(cells: Sequence[str | None]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
