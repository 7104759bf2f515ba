"""Reading a file that lists meters to be added."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from loader.meters.fields import (
    parse_area,
    parse_identifier,
    parse_interval,
    parse_name,
    parse_note,
    parse_public_id,
    parse_timezone,
)
from loader.rows.errors import ReportError, RowError
from loader.rows.header import RowDialect
from loader.sources.source_file import SourceFile
from storage.meter_directory import MeterProperties
from storage.meters import random_public_id

_PARSERS: dict[str, Callable[[str], object]] = {
    "public_id": lambda text: text and parse_public_id(text),
    "identifier": parse_identifier,
    "name": parse_name,
    "kind": parse_note,
    "note": parse_note,
    "timezone": lambda text: text and parse_timezone(text),
    "interval_seconds": parse_interval,
    "area": parse_area,
}
"""The columns that a file may have."""
_DIALECT = RowDialect(",", ".")


@dataclass(frozen=True, slots=True)
class MeterRow:
    """A line of the file: a meter, or what is wrong with it."""

    line: int
    meter: MeterProperties | None
    errors: tuple[RowError, ...] = ()


def read_meters(path: str, timezone: str) -> Iterator[MeterRow]:
    """Yield the meters of a file; those without a time zone are in this one.

    Raises ReportError if the file can't be read or isn't a list of meters.
    """
    rows = csv.reader(_lines(path), strict=True)
    try:
        names = [name.strip() for name in next(rows, [])]
        _require_columns(path, names)
        for fields in rows:
            if any(map(str.strip, fields)):
                yield _meter_row(rows.line_num, names, fields, timezone)
    except csv.Error as error:
        raise ReportError(f"{path}:{rows.line_num}: row: cannot be read: {error}") from error


def _lines(path: str) -> Iterator[str]:
    for table in SourceFile(path, lambda _: None).tables([_DIALECT]):
        for _, rows in table.variants:
            for content, lines in rows:
                for raw, line in zip(content.splitlines(keepends=True), lines, strict=False):
                    try:
                        yield raw.decode()
                    except UnicodeDecodeError:
                        raise ReportError(f"{path}:{line}: row: expected UTF-8") from None
        return


def _require_columns(path: str, names: list[str]) -> None:
    known = ", ".join(_PARSERS)
    for index, name in enumerate(names):
        if name not in _PARSERS or name in names[:index]:
            raise ReportError(f"{path}:1: heading: {name[:40]!a}: expected each of {known} once")
    if not {"public_id", "identifier"} & set(names):
        raise ReportError(
            f"{path}:1: heading: expected public_id or identifier, and any of {known}"
        )


def _meter_row(line: int, names: list[str], fields: list[str], timezone: str) -> MeterRow:
    if len(fields) != len(names):
        expected = f"{len(names)} fields, separated by commas"
        return MeterRow(line, None, (RowError(line, "row", f"{len(fields)} fields", expected),))
    values: dict[str, Any] = {}
    errors = []
    for name, field in zip(names, fields, strict=True):
        try:
            values[name] = _PARSERS[name](field.strip())
        except ValueError as error:
            errors.append(RowError(line, name, field, str(error)))
    if errors:
        return MeterRow(line, None, tuple(errors))
    meter = MeterProperties(
        values.get("public_id") or random_public_id(),
        values.get("timezone") or timezone,
        values.get("identifier"),
        values.get("name"),
        values.get("note") or values.get("kind"),
        values.get("interval_seconds"),
        values.get("area"),
    )
    return MeterRow(line, meter)
