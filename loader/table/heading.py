"""Finding the heading of a report of a described format among its first lines."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from loader.rows.header import Header
from loader.rows.identifier_column import plain_identifier
from loader.table.meter_rows import columns_of_meters
from loader.table.top import TopOfFile
from settings import (
    ColumnSettings,
    FormatSettings,
    MeterPattern,
    QualityColumnSettings,
    any_of,
)


class FoundHeading(NamedTuple):
    """The heading of a report in a format, and where the rows begin."""

    header: Header
    """That of the rows, which may be unfolded."""
    rows_at: int
    """The place, from 0, of the line below the heading."""
    unread: tuple[str, ...]
    """The columns that the format does not name."""
    source: Header
    """That of the file."""
    is_named: bool = True
    """Whether the heading itself tells the format, not the rows below it."""


class Likeness(NamedTuple):
    """What a line lacks to be the heading of a format."""

    at: int
    """The place of the line, from 0."""
    missing: tuple[str, ...]
    """The columns of the format that it lacks."""
    doubtful: tuple[str, ...]
    """What is wrong with columns that it has several times."""
    additional: tuple[str, ...]
    """The columns that the format does not name."""
    found: int
    """How many of the format's columns it has."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """What is least for the line that is nearest."""
        return len(self.missing) + len(self.doubtful), -self.found, len(self.additional)


class HeadingSearch:
    """Looks for the heading of a format."""

    def __init__(self, settings: FormatSettings, is_row: Callable[[Header, bytes], bool]) -> None:
        """Take a function that says whether a line is a row below a header."""
        self._settings = settings
        self._is_row = is_row
        self._columns = settings.headers()
        self._optional = settings.optional_headers()
        self._headings = frozenset(column.heading for column in self._columns if column.heading)
        pattern = settings.heading_pattern
        self._line = any_of([pattern]) if pattern is not None else None
        self._pattern = settings.meter_pattern
        self._last_place = max((column.place for column in self._columns), default=0)
        self._is_by_place = settings.is_named_by_place

    def find(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading; None if there is none.

        Where the format tells columns by their places alone, the rows have to fit too, unless it
        is the only format that comes into question.
        """
        if rejected := self.find_rejected(top):
            return rejected
        if not self._settings.has_heading:
            return self._without_heading(top, is_only=is_only)
        if self._is_by_place and self._line is None:
            return self._by_place(top, is_only=is_only)
        delimiter, encoding = self._settings.delimiter, self._settings.encoding
        for at in self._places(top):
            if self._headings <= top.names(at, delimiter, encoding):
                found = self._fitting(top, at, self._header(top, at))
                if found is not None:
                    return found
        return None

    def find_rejected(self, top: TopOfFile) -> FoundHeading | None:
        """Return the heading of rejected rows; None if there is none."""
        for at in top.with_reasons:
            header = self._header(top, at)
            if header.has_reasons and (found := self._fitting(top, at, header)):
                return found
        return None

    def nearest(self, top: TopOfFile) -> Likeness | None:
        """Return the line that comes nearest to the heading; None if none has a column of it."""
        if self._is_by_place:
            return None
        lines = (self._likeness(top, at) for at in self._places(top))
        is_said = self._settings.skip is not None
        likely = (line for line in lines if line.found or is_said)
        return min(likely, key=lambda line: line.rank, default=None)

    def _places(self, top: TopOfFile) -> Iterator[int]:
        """Yield the places where the heading may be."""
        first = top.first + (self._settings.skip or 0)
        end = len(top.lines) if self._settings.skip is None else first + 1
        places = range(first, min(end, len(top.lines)))
        yield from (at for at in places if self._may_be(top.lines[at])) if self._line else places

    def _may_be(self, line: bytes) -> bool:
        text = line.decode(self._settings.encoding, "replace").removeprefix("\ufeff").strip()
        return self._line is None or self._line.fullmatch(text) is not None

    def _header(self, top: TopOfFile, at: int) -> Header:
        header = top.header(at, self._settings.delimiter, self._settings.encoding)
        if self._is_by_place:
            # The heading may be shorter than the rows.
            more = self._last_place - len(header.names)
            header = replace(header, names=header.names + ("",) * max(more, 0))
        return header

    def _split(self, line: bytes) -> list[bytes]:
        return line.split(self._settings.delimiter.encode())

    def _fitting(self, top: TopOfFile, at: int, header: Header) -> FoundHeading | None:
        """Return what is found if a line is the heading."""
        names = header.names
        if not self._headings.issubset(names):
            return None
        if any(len(column.positions(names)) != 1 for column in self._columns):
            return None
        for group in self._optional:
            counts = {len(column.positions(names)) for column in group}
            if counts not in ({0}, {1}):
                return None
        if self._pattern is not None:
            meters = self._named_meters(self._pattern, top, at, header)
            if len(meters) > 1 or not (meters or self._pattern.optional):
                return None
            for meter, line in meters.items():
                header = replace(header, meter=meter, above=line)
        columns = chain(self._columns, *self._optional)
        places = (place for column in columns for place in column.positions(names))
        own = sorted({*self._parts(header), *places})
        if self._is_by_place and self._settings.has_heading:
            header = replace(header, own=tuple(own))
        is_named = self._line is not None or not self._is_by_place
        return FoundHeading(header, at + 1, self._unread(header, own), header, is_named)

    def _parts(self, header: Header) -> Iterator[int]:
        """Yield the positions of the columns that hold the intervals of a day, or of meters."""
        if self._settings.columns.are_of_meters:
            with suppress(ValueError):  # which is told where rows are unfolded
                for columns in columns_of_meters(self._settings, header.names):
                    yield from columns.values()
        quality = self._settings.quality
        days: list[ColumnSettings | QualityColumnSettings] = [
            *self._settings.columns.named().values()
        ]
        if quality is not None:
            days.append(quality)
        for column in days:
            if column.first is not None and column.last is not None:
                first, last = (
                    column.first.positions(header.names),
                    column.last.positions(header.names),
                )
                yield from range(min(first, default=0), max(last, default=-1) + 1, column.every)

    def _named_meters(
        self, pattern: MeterPattern, top: TopOfFile, at: int, header: Header
    ) -> dict[str, bytes]:
        """Return the meters that the headings or the lines above name, each with its line."""
        found: dict[str, bytes] = {}
        if pattern.place == "heading":
            for name in header.names:
                if meter := pattern.find(name):
                    found.setdefault(plain_identifier(meter), b"")
        else:
            delimiter, encoding = self._settings.delimiter, self._settings.encoding
            for above in range(at):
                # Delimiters fill up the line to the width of the table.
                text = delimiter.join(top.header(above, delimiter, encoding).names)
                if meter := pattern.find(text.rstrip(delimiter)):
                    found.setdefault(
                        plain_identifier(meter), top.lines[above].rstrip(b"\r") + b"\n"
                    )
        return found

    def _unread(self, header: Header, own: list[int]) -> tuple[str, ...]:
        """Return the columns that the format does not name; of equal ones, with their places."""
        known = {*own}
        for column in self._settings.ignored:
            known.update(column.positions(header.names))
        if self._pattern is not None and self._pattern.place == "heading":
            known.update(at for at, name in enumerate(header.names) if self._pattern.find(name))
        counts = Counter(header.names)
        return tuple(
            name if counts[name] == 1 else f"{name} ({at + 1})"
            for at, name in enumerate(header.names)
            if name and at not in known
        )

    def _likeness(self, top: TopOfFile, at: int) -> Likeness:
        header = self._header(top, at)
        missing: list[str] = []
        doubtful: list[str] = []
        own = [*self._parts(header)]
        found = 0
        for column in self._columns:
            positions = column.positions(header.names)
            own += positions
            found += bool(positions) and not column.place
            if not positions:
                missing.append(str(column))
            elif len(positions) > 1:
                doubtful.append(column.error(header.names))
        for column in chain(*self._optional):
            own += column.positions(header.names)
        if self._pattern and not self._pattern.optional:
            meters = self._named_meters(self._pattern, top, at, header)
            missing += [str(self._pattern)] * (len(meters) != 1)
        is_likely = found or self._settings.skip is not None
        unread = self._unread(header, own) if is_likely else ()
        return Likeness(at, tuple(missing), tuple(doubtful), unread, found)

    def _without_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        at = top.first + (self._settings.skip or 0)
        if at >= len(top.lines):
            return None
        count = max(len(self._split(top.lines[at])), self._last_place)
        header = Header(
            tuple(f"column {place + 1}" for place in range(count)),
            self._settings.delimiter,
            self._settings.encoding,
        )
        if not is_only and not self._is_row(header, top.lines[at]):
            return None
        found = self._fitting(top, at, header)
        return found and found._replace(rows_at=at)

    def _by_place(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading above the first row, if columns are named by place alone."""
        for at in self._places(top):
            header = self._header(top, at)
            below = top.lines[at + 1] if at + 1 < len(top.lines) else b""
            is_said = self._settings.skip is not None and is_only
            if is_said or self._is_row(header, below):
                return self._fitting(top, at, header)
        return None
