"""Reading blocks of plain rows by columns, which takes a fraction of reading row after row."""

from collections.abc import Sequence
from typing import NamedTuple

from loader.formats.delimited.placed_starts import PlacedStarts
from loader.formats.delimited.quick_times import QuickTimes
from loader.rows.header import Header
from loader.values.row_values import RowValues

BLOCK_ROWS = 256


class Block(NamedTuple):
    """Rows of a block: of each, its start in local time, its offset and its quantities.

    The local time is None where an earlier row has the same time; such a row is not placed.
    """

    locals: Sequence[str | None]
    offsets: Sequence[int]
    quantities: Sequence[str]
    missing: Sequence[int]


class QuickBlocks:
    """Reads blocks in which all rows are plain."""

    def __init__(
        self, times: QuickTimes, values: RowValues, identifier_field: int | None, header: Header
    ) -> None:
        self._times = times
        self._columns = values.plain or ()
        self._identifier_field = identifier_field
        self._delimiter = header.delimiter
        self._width = len(header.names)
        cells = [""] * values.width
        for place, _, _ in self._columns:
            cells[place] = "%s"
        self._template = ",".join(cells)

    def read(
        self, lines: Sequence[str], identifier: str | None, starts: PlacedStarts
    ) -> Block | None:
        """Place the rows in lines, which are of a meter; None if one of them is not plain."""
        delimiter, width = self._delimiter, self._width
        if {line.count(delimiter) for line in lines} != {width - 1}:
            return None
        fields = delimiter.join(lines).split(delimiter)
        at = self._identifier_field
        if at is not None and set(fields[at::width]) != {identifier}:
            return None
        values = []
        for _, column, place in self._columns:
            found = column.read_all(fields[place::width])
            if found is None:
                return None
            values.append(found)
        begins = self._starts(fields)
        if begins is None:
            return None
        template = self._template
        quantities = [template % row for row in zip(*values, strict=True)]
        missing = [row.count("") for row in zip(*values, strict=True)] if _lacks(values) else ()
        local, offsets = starts.add_all(begins, [hash(text) or 1 for text in quantities])
        return Block(local, offsets, quantities, missing)

    def _starts(self, fields: Sequence[str]) -> list[int] | None:
        """Return the starts of rows, in seconds since 1970; None if one takes more to tell."""
        times = self._times
        texts = fields[times.day_field :: self._width]
        if times.clock_field is not None:
            days, clocks = texts, fields[times.clock_field :: self._width]
        else:
            parts = [*map(times.cut, texts)]
            days, clocks = [part[0] for part in parts], [part[2] for part in parts]
        of_days, of_clocks = times.days, times.clocks
        try:
            return [
                of_days[day] + of_clocks[clock]  # type: ignore[operator]  # None is caught
                for day, clock in zip(days, clocks, strict=True)
            ]
        except TypeError:
            return None


def _lacks(values: Sequence[Sequence[str]]) -> bool:
    """Return whether a value is missing."""
    return any("" in column for column in values)
