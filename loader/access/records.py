"""Files that grants, groups and keys are exported to, and added from: CSV or JSON."""

import csv
import io
import json
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from cli.error_report import ErrorReport, FaultyReportsError
from cli.output import CommandOutput, OutputMode
from cli.printing import printable_json
from loader.meters.export_file import STANDARD_OUTPUT, export_file
from loader.rows.errors import ReportError, RowError

_MAX_BYTES = 256 * 1024**2
_FORMATS = (".csv", ".json")

ListRecord = Mapping[str, str | int | None]


@dataclass(slots=True)
class RecordFile:
    """The records of a file, and what is wrong with it so far."""

    path: str
    errors: ErrorReport = field(default_factory=ErrorReport)

    def read(self, columns: Mapping[str, Callable[[str], object]]) -> list[tuple[int, Any]]:
        """Return the records whose columns are all right, by name, with their numbers.

        The first line of a CSV has the names; a JSON is an array of objects. A column may be
        missing. Raises ReportError if the file can't be read.
        """
        if not self.path.endswith(_FORMATS):
            raise ReportError(f"{self.path}: expected a name that ends in .csv or .json")
        text = self._text()
        records = self._json(text) if self.path.endswith(".json") else self._csv(text, columns)
        found = []
        for number, record in records:
            values: dict[str, object] = {}
            before = self.errors.count
            for name, parse in columns.items():
                try:
                    values[name] = parse(record.get(name, "").strip())
                except ValueError as error:
                    self._add(RowError(number, name, record.get(name, ""), str(error)))
            for name in record.keys() - columns.keys():
                expected = f"one of {', '.join(columns)}"
                self._add(RowError(number, "name", name, expected))
            if self.errors.count == before:
                found.append((number, values))
        return found

    def refuse(self, number: int, reason: Exception) -> None:
        """Note that a record can't be added."""
        self.errors.add(f"{self.path}:{number}: {reason}")

    def require_no_errors(self) -> None:
        """Raise FaultyReportsError if anything is wrong."""
        if self.errors.count:
            raise FaultyReportsError(self.errors)

    def _add(self, error: RowError) -> None:
        self.errors.add(f"{self.path}:{error}")

    def _text(self) -> str:
        with Path(self.path).open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ReportError(f"{self.path}: expected at most {_MAX_BYTES} bytes")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ReportError(f"{self.path}: expected UTF-8") from None

    def _csv(self, text: str, columns: Iterable[str]) -> Iterable[tuple[int, Mapping[str, str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            if not names or len(set(names)) < len(names) or set(names) - set(columns):
                raise ReportError(
                    f"{self.path}:1: heading: expected any of {', '.join(columns)}, each once"
                )
            for row in reader:
                if len(row) != len(names):
                    expected = f"{len(names)} fields, separated by commas"
                    self._add(RowError(reader.line_num, "row", f"{len(row)} fields", expected))
                else:
                    yield reader.line_num, dict(zip(names, row, strict=True))
        except csv.Error as error:
            raise ReportError(f"{self.path}:{reader.line_num}: row: {error}") from error

    def _json(self, text: str) -> Iterable[tuple[int, Mapping[str, str]]]:
        """Yield the objects; a file that was exported has one a line, after the first line."""
        try:
            records = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{self.path}: expected JSON: {error}") from None
        if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
            raise ReportError(f"{self.path}: expected a JSON array of objects")
        for number, record in enumerate(records, 2):
            texts = {name: "" if value is None else str(value) for name, value in record.items()}
            yield number, texts


async def export_records(
    file: str, output: CommandOutput, columns: Sequence[str], documents: AsyncIterable[ListRecord]
) -> int:
    """Write documents to a new file, or to standard output; return how many.

    On standard output they are CSV, or JSON in the output's JSON mode.
    """
    is_json = file.endswith(".json") or (file == STANDARD_OUTPUT and output.mode is OutputMode.JSON)
    count = 0
    with export_file(file) as target:
        target.write(b"[" if is_json else _csv_line(columns))
        async for document in documents:
            if is_json:
                separator = ",\n" if count else "\n"
                target.write(f"{separator}{printable_json(document)}".encode())
            else:
                cells = ["" if document[name] is None else document[name] for name in columns]
                target.write(_csv_line(cells))
            count += 1
        target.write(b"\n]\n" if is_json else b"")
    if file != STANDARD_OUTPUT:
        output.say(f"OK - {count} exported to {file}")
        output.give({"ok": True, "count": count, "file": file})
    return count


def require_export_name(file: str) -> None:
    """Raise BadParameter unless a name says how records are written."""
    if file != STANDARD_OUTPUT and not file.endswith(_FORMATS):
        raise click.BadParameter("expected a name that ends in .csv or .json, or -")


def _csv_line(cells: Sequence[object]) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
