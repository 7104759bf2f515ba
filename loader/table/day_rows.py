"""Days in rows, each with its intervals in columns: unfolded to a row for each interval."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from loader.rows import file_reader
from loader.rows.errors import RowError
from loader.rows.header import Header
from loader.rows.sorted_rows import NumberedRows, split_rows
from settings import (
    INTERVAL_OF_DAY,
    ColumnName,
    ColumnSettings,
    FormatSettings,
    QualityColumnSettings,
)

_MIN_HOURS, _MAX_HOURS = 23, 26
_HOUR = 3600
_QUALITY_COLUMN = "quality of interval"


def unfolded_settings(settings: FormatSettings) -> FormatSettings:
    """Return the settings of the unfolded table of a format with a day in a row.

    Each column that the format names stands in it under that name.
    """
    columns = {
        quantity: column.model_copy(
            update={
                "header": (ColumnName(heading=_value_column(quantity)),),
                "first": None,
                "last": None,
                "every": 1,
                "where": _named_keys(column.where),
            }
        )
        for quantity, column in settings.columns.named().items()
    }
    time = {"column": tuple(map(_named, settings.time.column))}
    quality = settings.quality
    changes: dict[str, Any] = {
        "columns": settings.columns.model_copy(update=columns),
        "time": settings.time.model_copy(update=time),
        "rows": _named_keys(settings.rows),
        "ignored": (),
        "heading": None,
        "skip": None,
    }
    if settings.identifier_column is not None:
        changes["identifier"] = _named(settings.identifier_column)
    if quality is not None:
        name = ColumnName(heading=_QUALITY_COLUMN) if quality.column is None else quality.column
        update: dict[str, Any] = {"column": _named(name), "first": None, "last": None, "every": 1}
        changes["quality"] = quality.model_copy(update=update)
    return settings.model_copy(update=changes)


class DayRows:
    """Unfolds rows of days below a heading.

    An empty field, or one with a word for a missing value, is an interval without a reading, as
    days of fewer intervals have them.
    """

    def __init__(
        self, settings: FormatSettings, header: Header, is_missing: Callable[[str], bool]
    ) -> None:
        """Take the format of reports with this header.

        Raises ValueError if there are not as many columns as a day has intervals.
        """
        self._header = header
        self._is_missing = is_missing
        folded = settings.columns.named()
        quality = settings.quality
        self._columns = [_places(column, header) for column in folded.values()]
        self._flags = [_places(quality, header)] if quality is not None and quality.is_day else []
        counts = {*map(len, self._columns), *map(len, self._flags)}
        self._count = len(self._columns[0])
        seconds = self._count * (settings.interval or _HOUR)
        if len(counts) > 1 or not _MIN_HOURS * _HOUR <= seconds < _MAX_HOURS * _HOUR:
            raise ValueError(
                f"expected columns for a day of intervals of {settings.interval} seconds from first"
                f" to last, there are {' and '.join(map(str, sorted(counts)))}"
            )
        ends = {end for column in folded.values() for end in column.column_names}
        if quality is not None and quality.is_day:
            ends |= {*quality.column_names}
        others = dict.fromkeys(settings.headers())
        for group in settings.optional_headers():
            others |= dict.fromkeys(group)
        kept = [column for column in others if column not in ends]
        self._kept = [column.position(header.names) for column in kept]
        pattern = settings.meter_pattern
        is_meter = pattern is not None and pattern.place == "heading"
        # The heading that names the meter stays, so that rejected rows load again.
        named = [name for name in header.names if is_meter and pattern and pattern.find(name)][:1]
        self._more = [""] * len(named)
        flags = [_QUALITY_COLUMN] * len(self._flags)
        names = (*map(str, kept), INTERVAL_OF_DAY, *map(_value_column, folded), *flags, *named)
        self.header = Header(
            names,
            header.delimiter,
            header.encoding,
            meter=header.meter,
            above=header.above,
            width=len(header.names),
        )

    def unfolded(self, rows: NumberedRows) -> Iterator[NumberedRows]:
        """Yield a row for each interval, with the number of its day's line, in chunks."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._header.delimiter, lineterminator="\n")
        lines: list[int] = []
        for raw, line in zip(split_rows(rows.content), rows.lines, strict=True):
            if text.tell() >= file_reader.CHUNK_BYTES:
                yield self._chunk(text, lines)
                text.seek(0)
                text.truncate()
                lines = []
            fields = self._header.split(line, raw)
            if fields is None:
                continue
            if isinstance(fields, RowError):
                # Its error is told with those of other rows: it has another number of fields.
                broken = raw.decode(self._header.encoding, "surrogateescape").rstrip("\r")
                is_alike = len(broken.split(self._header.delimiter)) == len(self.header.names)
                text.write(f"{broken}{f'{self._header.delimiter}...' * is_alike}\n")
                lines.append(line)
                continue
            kept = [fields[at] for at in self._kept]
            for number in range(self._count):
                values = [fields[places[number]] for places in self._columns]
                if not all(map(self._is_missing, values)):
                    flags = [fields[places[number]] for places in self._flags]
                    writer.writerow([*kept, number + 1, *values, *flags, *self._more])
                    lines.append(line)
        if lines:
            yield self._chunk(text, lines)

    def _chunk(self, text: io.StringIO, lines: list[int]) -> NumberedRows:
        content = text.getvalue().encode(self._header.encoding, "surrogateescape")
        return NumberedRows(content, lines)


def _places(column: ColumnSettings | QualityColumnSettings, header: Header) -> range:
    """Return the positions of the columns of a day."""
    assert column.first is not None, "all columns are those of a day"
    assert column.last is not None, "as above"
    first, last = column.first.position(header.names), column.last.position(header.names)
    if (last - first) % column.every:
        raise ValueError(
            f"expected last to be one of every {column.every} columns from first, it is"
            f" {last - first} behind it"
        )
    return range(first, last + 1, column.every)


def _value_column(quantity: str) -> str:
    return f"{quantity} of interval"


def _named(column: ColumnName) -> ColumnName:
    """Return the name of a column in the unfolded table."""
    return ColumnName(heading=str(column))


def _named_keys(patterns: Mapping[ColumnName, Sequence[str]]) -> dict[ColumnName, Sequence[str]]:
    return {_named(column): each for column, each in patterns.items()}
