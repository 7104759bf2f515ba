"""Reading plain rows by columns, many at once, which takes a fraction of reading row after row."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from domain.columns import Bits, Column, Integers, Truths
from domain.fixed_point import SCALE
from domain.flags import ESTIMATED
from domain.quantities import INTEGER_DIGITS
from loader.cells.field_table import FieldTable, is_bytewise, slices
from loader.cells.known_texts import look_up
from loader.cells.numbers import MOST_DECIMALS, plain_numbers
from loader.formats.delimited.day_marks import Marks
from loader.formats.delimited.placed_starts import PlacedStarts
from loader.formats.delimited.quick_times import QuickTimes
from loader.rows.header import Header
from loader.rows.reader import ParseContext, Row, RowReader
from loader.rows.spool import Spool
from loader.values.columns import QuantityColumn
from loader.values.decimals import ParsedValue

FEW_ROWS = 32
"""Rows that are read one by one as quickly, or quicker."""
_FEW_BYTES = 2**14
"""Bytes in which so many rows are, if there are many."""
_MOST_CHANGES = 8
"""Rows of each change between plain ones and others, if plain ones are read by columns."""
_MOST = int(np.iinfo(np.int64).max)
_TOO_MUCH = SCALE * 10**INTEGER_DIGITS


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """A quantity of plain rows: a field, or several that are added up."""

    name: str
    fields: Sequence[int]
    factor: Fraction = Fraction(1)
    not_plain: Sequence[Fraction] = ()
    """Numbers that stand for something else."""
    read: Callable[[str], ParsedValue] | None = None
    """Reads the texts of a single field that are no plain numbers."""

    @classmethod
    def of(cls, column: QuantityColumn) -> "PlainColumn":
        """Return a column of a format that settings describe."""
        missing = [each.digits * Fraction(10) ** each.exponent for each in column.missing_numbers]
        read = column.read_text if len(column.fields) == 1 else None
        return cls(column.name, column.fields, column.factor, missing, read)


@dataclass(frozen=True, slots=True)
class PlainLayout:
    """What plain rows of a report are, and how they are read."""

    header: Header
    mark: str
    """The decimal mark."""
    times: QuickTimes
    columns: Sequence[PlainColumn]
    names: Sequence[str]
    """All quantities of a reading, of which the columns are some."""
    most_decimals: int = MOST_DECIMALS
    identifier_field: int | None = None
    quality_field: int | None = None
    is_estimated: Callable[[tuple[str, ...]], bool] | None = None
    """Tells by the text of the field of quality if a reading was estimated."""
    fields: list[int] = field(init=False)

    def __post_init__(self) -> None:
        fields = [place for column in self.columns for place in column.fields]
        object.__setattr__(self, "fields", fields)

    @property
    def can_be_read(self) -> bool:
        """Whether lines can be read byte by byte."""
        return is_bytewise(self.header.encoding) and not self.header.has_reasons


class _PlainRows(NamedTuple):
    """Rows as arrays, of which only those that are plain count."""

    are_plain: Truths
    starts: Integers
    quantities: Mapping[str, Column]
    flags: Bits
    missing: Integers
    """Of each row, how many quantities are missing."""
    rounded: Integers


def _read(table: FieldTable, layout: PlainLayout, identifier: str | None) -> _PlainRows:
    """Read the plain rows of a table, which are of a meter."""
    starts, are_plain = layout.times.starts(table)
    if (at := layout.identifier_field) is not None:
        _, are_of_meter = look_up(table, table.starts[at], table.ends[at], {identifier: 1}.get)
        are_plain &= are_of_meter
    flags = np.zeros(len(table), np.uint8)
    if (at := layout.quality_field) is not None and layout.is_estimated is not None:
        is_estimated = layout.is_estimated
        found, are_known = look_up(
            table,
            table.starts[at],
            table.ends[at],
            lambda text: ESTIMATED.bit * is_estimated((text,)),
        )
        flags = found.astype(np.uint8)
        are_plain &= are_known
    missing, rounded = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
    unread = Column(np.zeros(len(table), np.int64), np.zeros(len(table), bool))
    quantities = dict.fromkeys(layout.names, unread)
    numbers = plain_numbers(table, layout.fields, layout.mark, layout.most_decimals)
    begin = 0
    for column in layout.columns:
        these = slice(begin, begin := begin + len(column.fields))
        values, empty = numbers.values[these], numbers.are_empty[these]
        known = numbers.are_plain[these]
        total, is_empty, is_known = values[0], empty[0], known[0]
        if len(column.fields) > 1:
            total, is_empty, is_known = values.sum(axis=0), empty.all(axis=0), known.all(axis=0)
        scaled, are_exact = _scaled(total, numbers.power, column)
        is_known = is_known & are_exact
        others = np.flatnonzero(~(is_known | is_empty) & are_plain)
        if len(others):
            _read_others(table, column, others, scaled, is_known, are_plain, rounded)
        has_all = is_known.all()
        quantities[column.name] = Column(scaled, None if has_all else is_known)
        if not has_all:
            scaled *= is_known
            missing += ~is_known
    return _PlainRows(are_plain, starts, quantities, flags, missing, rounded)


def _scaled(numbers: Integers, power: int, column: PlainColumn) -> tuple[Integers, Truths]:
    """Return numbers times a power of ten as quantities, and which of them are that exactly."""
    factor = column.factor * SCALE / 10**power
    numerator, denominator = factor.numerator, factor.denominator
    if max(abs(numerator), denominator) > _MOST:
        return numbers, np.zeros(len(numbers), bool)
    are_exact = np.ones(len(numbers), bool)
    scaled = numbers
    if factor != 1:
        limit = _MOST // abs(numerator)
        are_exact = (numbers <= limit) & (numbers >= -limit)
        multiplied = numbers * numerator
        scaled = multiplied // denominator
        are_exact &= scaled * denominator == multiplied
    if factor != 1 or len(column.fields) > 1:
        are_exact &= (scaled < _TOO_MUCH) & (scaled > -_TOO_MUCH)
    for other in column.not_plain:
        if (same := other * 10**power).denominator == 1:
            are_exact &= numbers != same.numerator
    return scaled, are_exact


def _read_others(
    table: FieldTable,
    column: PlainColumn,
    lines: Integers,
    scaled: Integers,
    is_known: Truths,
    are_plain: Truths,
    rounded: Integers,
) -> None:
    """Read what is no plain number in some lines, and note it in the arrays."""
    if column.read is None:
        are_plain[lines] = False
        return
    for line, text in zip(lines.tolist(), table.texts(column.fields[0], lines), strict=True):
        found = column.read(text)
        if found.expected:
            are_plain[line] = False
        elif found.text:
            scaled[line], is_known[line] = int(found.text.replace(".", "")), True
            rounded[line] += found.is_rounded


class PlainRowReader(RowReader[Row]):
    """Reads the plain rows of a report by columns, and all others one by one."""

    _plain: PlainLayout | None = None
    """None if no row is read by columns."""

    def __init__(
        self,
        context: ParseContext,
        zone: tzinfo,
        marks: DTypeLike,
        end_shift: timedelta = timedelta(),
    ) -> None:
        """Take the type of the marks of rows."""
        super().__init__(context, zone, end_shift)
        self._spool = Spool(context.path)
        self._starts = PlacedStarts(context.zone, marks, self._spool)

    def close(self) -> None:
        """Remove the temporary file."""
        self._spool.close()

    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""
        plain = self._plain
        if plain is None or not plain.can_be_read or chunk.count(b"\n", 0, _FEW_BYTES) < FEW_ROWS:
            self._read_lines(chunk, line)
            return
        if plain.identifier_field is not None and self.identifier is None:
            end = chunk.index(b"\n") + 1
            self._read_lines(chunk[:end], line)
            chunk, line = chunk[end:], line + 1
        header = plain.header
        for content in slices(chunk):
            table = FieldTable(content, header.delimiter, len(header.names), header.encoding)
            if table.is_plain.any():
                self._add_rows(table, _read(table, plain, self.identifier), line)
            else:
                self._read_lines(content, line)
            line += len(table)

    @abstractmethod
    def _read_line(self, number: int, raw: bytes) -> None:
        """Read one line, without its end."""

    @abstractmethod
    def _marks(self, quantities: Mapping[str, Column], flags: Bits) -> Marks:
        """Return what tells rows from others of their times."""

    def _read_lines(self, chunk: bytes, line: int) -> None:
        for number, raw in enumerate(chunk.removesuffix(b"\n").split(b"\n"), line):
            self._read_line(number, raw)

    def _add_rows(self, table: FieldTable, rows: _PlainRows, line: int) -> None:
        """Add the rows of a table, of which the first one has this line."""
        are_plain = rows.are_plain
        changes = np.flatnonzero(are_plain[1:] != are_plain[:-1]) + 1
        begins = [0, *changes.tolist()]
        if len(begins) * _MOST_CHANGES > len(table):
            self._read_lines(table.lines(0, len(table)), line)
            return
        for begin, end in zip(begins, [*begins[1:], len(table)], strict=True):
            if are_plain[begin]:
                self._place(table, rows, begin, end, line)
            else:
                self._read_lines(table.lines(begin, end), line + begin)

    def _place(self, table: FieldTable, rows: _PlainRows, begin: int, end: int, line: int) -> None:
        """Add neighbouring rows that are plain, unless earlier ones have their times."""
        self.flush()
        which: slice | Integers = slice(begin, end)
        quantities = {name: column[which] for name, column in rows.quantities.items()}
        flags, starts = rows.flags[which], rows.starts[which]
        ahead, are_new = self._starts.add_all(starts, self._marks(quantities, flags))
        if not are_new.all():
            which = np.flatnonzero(are_new) + begin
            quantities = {name: column[which] for name, column in rows.quantities.items()}
            flags, starts, ahead = rows.flags[which], rows.starts[which], ahead[are_new]
        self.missing += int(rows.missing[which].sum())
        self.rounded += int(rows.rounded[which].sum())
        self._ready.add_columns(starts, ahead, quantities, flags)
        for number in (np.flatnonzero(~are_new) + begin).tolist():
            self._read_line(line + number, table.line(number))
