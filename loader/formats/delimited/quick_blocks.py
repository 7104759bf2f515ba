"""Reading blocks of plain rows by columns, which takes a fraction of reading row after row."""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import NamedTuple

from loader.formats.delimited.placed_starts import PlacedStarts
from loader.formats.delimited.quick_times import QuickTimes
from loader.rows.header import Header
from loader.values.columns import QuantityColumn
from loader.values.row_values import RowValues

BLOCK_ROWS = 256
SMALL_BLOCK_ROWS = 32
"""Rows that are read as a block where a usual one has others than plain ones."""


class Block(NamedTuple):
    """Rows of a block: of each, its start in local time, its offset and its quantities.

    The local time is None where an earlier row has the same time; such a row is not placed.
    """

    locals: Sequence[str | None]
    offsets: Sequence[int]
    quantities: Sequence[str]
    missing: Sequence[int]


class _Neighbours(NamedTuple):
    """Columns that stand side by side in a row, and in the same order in a row of a batch."""

    field: int
    place: int
    columns: Sequence[QuantityColumn]


class _BlockFields(NamedTuple):
    """The fields of rows one after another, of which some neighbours may be read together."""

    fields: Sequence[str]
    width: int
    neighbours: _Neighbours | None = None
    quantities: Sequence[str] = ()
    """Those of the neighbours, of which each row has one field."""

    def column(self, field: int) -> Sequence[str]:
        """Return the fields of a column, which is none of the neighbours."""
        if self.neighbours is not None and field > self.neighbours.field:
            field -= len(self.neighbours.columns) - 1
        return self.fields[field :: self.width]


class QuickBlocks:
    """Reads blocks in which all rows are plain."""

    def __init__(
        self, times: QuickTimes, values: RowValues, identifier_field: int | None, header: Header
    ) -> None:
        self._times = times
        self._values = values
        self._columns = values.plain or ()
        self._identifier_field = identifier_field
        self._delimiter = header.delimiter
        self._width = len(header.names)
        others = {times.day_field, times.clock_field, identifier_field, values.quality_field}
        self._neighbours = _longest_neighbours(self._columns, others)

    def read(
        self, lines: Sequence[str], identifier: str | None, starts: PlacedStarts
    ) -> Block | None:
        """Place the rows in lines, which are of a meter; None if one of them is not plain."""
        table = self._joined_table(lines) or self._table(lines)
        if table is None:
            return None
        at = self._identifier_field
        if at is not None and set(table.column(at)) != {identifier}:
            return None
        begins = self._starts(table)
        if begins is None:
            return None
        cells: dict[int, Sequence[str]] = {}
        known = table.neighbours
        for place, column, field in self._columns:
            if known is not None and column in known.columns:
                continue
            found = column.read_all(table.column(field))
            if found is None:
                return None
            cells[place] = found
        if self._values.quality_field is not None:
            flags = self._values.flags(table.column(self._values.quality_field))
            cells[self._values.width - 1] = flags
        quantities = self._quantities(table, cells)
        count = len(self._columns)
        missing: Sequence[int] = ()
        if "".join(quantities).count(".") != count * len(lines):
            missing = [count - text.count(".") for text in quantities]
        marks = [*map(hash, quantities)]
        if 0 in marks:
            marks = [mark or 1 for mark in marks]
        local, offsets = starts.add_all(begins, marks)
        return Block(local, offsets, quantities, missing)

    def _table(self, lines: Sequence[str]) -> _BlockFields | None:
        """Return all fields of rows, None if some are too long or too short."""
        delimiter, width = self._delimiter, self._width
        if {line.count(delimiter) for line in lines} != {width - 1}:
            return None
        return _BlockFields(delimiter.join(lines).split(delimiter), width)

    def _joined_table(self, lines: Sequence[str]) -> _BlockFields | None:
        """Return the fields of rows with the neighbours read together; None if that fails."""
        neighbours, delimiter = self._neighbours, self._delimiter
        if neighbours is None:
            return None
        count = len(neighbours.columns)
        before, behind = neighbours.field, self._width - neighbours.field - count
        rows: Iterable[Sequence[str]] = [line.split(delimiter, before) for line in lines]
        if behind:
            rows = [(*row[:-1], *row[-1].rsplit(delimiter, behind)) for row in rows]
        fields, width = [*chain.from_iterable(rows)], before + 1 + behind
        # No row has more fields, so that all have as many if all together do.
        if len(fields) != width * len(lines):
            return None
        quantities = neighbours.columns[0].read_joined(fields[before::width], count, delimiter)
        return None if quantities is None else _BlockFields(fields, width, neighbours, quantities)

    def _quantities(self, table: _BlockFields, cells: dict[int, Sequence[str]]) -> Sequence[str]:
        """Return the quantities of rows as a RowBatch has them."""
        parts: list[Iterable[str]] = []
        place, width = 0, self._values.width
        while place < width:
            if table.neighbours is not None and place == table.neighbours.place:
                parts.append(table.quantities)
                place += len(table.neighbours.columns)
            else:
                parts.append(cells.get(place) or repeat(""))
                place += 1
        if len(parts) == 1:
            return table.quantities
        return [*map(",".join, zip(*parts))]  # noqa: B905 - what repeats has no end

    def _starts(self, table: _BlockFields) -> list[int] | None:
        """Return the starts of rows, in seconds since 1970; None if one takes more to tell."""
        times = self._times
        texts = table.column(times.day_field)
        days, clocks = times.days, times.clocks
        try:
            if times.clock_field is None:
                return [
                    days[day] + clocks[clock]  # type: ignore[operator]  # None is caught
                    for day, _, clock in map(times.cut, texts)
                ]
            pairs = zip(texts, table.column(times.clock_field), strict=True)
            return [days[day] + clocks[clock] for day, clock in pairs]  # type: ignore[operator]  # None is caught
        except TypeError:
            return None


def _longest_neighbours(
    columns: Sequence[tuple[int, QuantityColumn, int]], others: set[int | None]
) -> _Neighbours | None:
    """Return the most columns that may be read together, None if none may."""
    found: list[list[tuple[int, QuantityColumn, int]]] = []
    for each in sorted(columns, key=lambda each: each[0]):
        place, column, field = each
        if not column.is_unscaled:
            continue
        if found and (place - 1, field - 1) == found[-1][-1][::2]:
            found[-1].append(each)
        else:
            found.append([each])
    longest = max(found, key=len, default=[])
    fields = {field for _, _, field in longest}
    is_shared = sum(field in fields for _, _, field in columns) > len(longest)
    if len(longest) < 2 or is_shared or fields & others:
        return None
    place, _, field = longest[0]
    return _Neighbours(field, place, [column for _, column, _ in longest])
