"""Rows that hold several: the intervals of a day, or the readings of several meters."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loader.rows import file_reader
from loader.rows.errors import RowError
from loader.rows.header import Header
from loader.rows.sorted_rows import NumberedRows, split_rows
from settings import METER_OF_COLUMN, ColumnName, FormatSettings

QUALITY_OF_INTERVAL = "quality of interval"
"""The column that says whether an interval of a day is estimated."""


def unfolded_settings(settings: FormatSettings) -> FormatSettings:
    """Return the settings of the unfolded table of a format whose rows hold several.

    Each column that the format names stands in it under that name.
    """
    columns = {
        quantity: column.model_copy(
            update={
                "header": (ColumnName(heading=_value_column(quantity)),),
                "first": None,
                "last": None,
                "every": 1,
                "meters": None,
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
    if settings.columns.are_of_meters:
        changes["identifier"] = ColumnName(heading=METER_OF_COLUMN)
    elif settings.identifier_column is not None:
        changes["identifier"] = _named(settings.identifier_column)
    if quality is not None:
        name = ColumnName(heading=QUALITY_OF_INTERVAL) if quality.column is None else quality.column
        update: dict[str, Any] = {"column": _named(name), "first": None, "last": None, "every": 1}
        changes["quality"] = quality.model_copy(update=update)
    return settings.model_copy(update=changes)


class RowPart(NamedTuple):
    """What a row holds of an interval or of a meter."""

    label: str
    """The number of the interval, or the name of the meter."""
    values: Sequence[int | None]
    """The position of each quantity; None where there is none."""
    flags: Sequence[int] = ()
    """The position of what says whether it is estimated."""


class UnfoldedRows:
    """Unfolds rows below a heading into those of their parts.

    A part whose fields are empty, or have words for missing values, is none.
    """

    def __init__(
        self,
        settings: FormatSettings,
        header: Header,
        is_missing: Callable[[str], bool],
        label: str,
        parts: Sequence[RowPart],
    ) -> None:
        """Take the heading of the column with the labels of the parts."""
        self._header = header
        self._is_missing = is_missing
        self._parts = parts
        folded, quality = settings.columns.named(), settings.quality
        own = {name for column in folded.values() for name in column.column_names}
        flags: Sequence[str] = ()
        if quality is not None and quality.is_day:
            own |= {*quality.column_names}
            flags = (QUALITY_OF_INTERVAL,)
        others = dict.fromkeys(settings.headers())
        for group in settings.optional_headers():
            others |= dict.fromkeys(group)
        kept = [column for column in others if column not in own]
        self._kept = [column.position(header.names) for column in kept]
        pattern = settings.meter_pattern
        is_meter = pattern is not None and pattern.place == "heading"
        # The heading that names the meter stays, so that rejected rows load again.
        named = [name for name in header.names if is_meter and pattern and pattern.find(name)][:1]
        self._more = [""] * len(named)
        names = (*map(str, kept), label, *map(_value_column, folded), *flags, *named)
        self.header = Header(
            names,
            header.delimiter,
            header.encoding,
            meter=header.meter,
            above=header.above,
            width=len(header.names),
        )

    def unfolded(self, rows: NumberedRows) -> Iterator[NumberedRows]:
        """Yield a row for each part, with the number of its line, in chunks."""
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
            for label, places, more in self._parts:
                values = ["" if at is None else fields[at] for at in places]
                if not all(map(self._is_missing, values)):
                    flags = [fields[at] for at in more]
                    writer.writerow([*kept, label, *values, *flags, *self._more])
                    lines.append(line)
        if lines:
            yield self._chunk(text, lines)

    def _chunk(self, text: io.StringIO, lines: list[int]) -> NumberedRows:
        content = text.getvalue().encode(self._header.encoding, "surrogateescape")
        return NumberedRows(content, lines)


def _value_column(quantity: str) -> str:
    return f"{quantity} of interval"


def _named(column: ColumnName) -> ColumnName:
    """Return the name of a column in the unfolded table."""
    return ColumnName(heading=str(column))


def _named_keys(patterns: Mapping[ColumnName, Sequence[str]]) -> dict[ColumnName, Sequence[str]]:
    return {_named(column): each for column, each in patterns.items()}
