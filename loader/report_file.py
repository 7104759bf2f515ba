"""The file of a report, whose rows may be those of several meters."""

from array import array
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Self
from zoneinfo import ZoneInfo

from loader.formats.detection import DetectedFormat
from loader.formats.registry import SHIPPED_FORMATS, format_by_name
from loader.formats.report_format import ReportFormat
from loader.found_table import find_table
from loader.rows.errors import (
    FaultyRowsError,
    ReportError,
    RowError,
)
from loader.rows.file_reader import check_row_length
from loader.rows.header import Header
from loader.rows.identifier_column import NO_METER, IdentifierColumn
from loader.rows.reader import ParseContext, RowReader
from loader.rows.sorted_rows import NumberedRows, SortedRows, join_rows, split_rows
from loader.rows.spool import Spool
from loader.sources.source_file import SourceFile
from loader.table.row_filter import PassedOver, RowFilter

NO_READING = "expected at least one reading below the heading"

MAX_PACKED_BYTES = 2**20
"""Rows of a part that is handed to another process."""

MAX_UNASSIGNED = 1_000_000
"""Rows without a meter that a report of several meters may have."""


@dataclass(frozen=True, slots=True)
class _FileThatWasRead:
    """What parts tell of a file that another process has read."""

    path: str
    name: str
    sha256: str
    is_split: bool
    detected: DetectedFormat
    passed_over: PassedOver


@dataclass(frozen=True, slots=True)
class PackedPart:
    """The rows of a report that are of one meter, to be read by another process."""

    path: str
    name: str
    sha256: str
    is_split: bool
    format_name: str
    header: Header
    identifier: str | None
    rows: Sequence[NumberedRows]
    passed_over: PassedOver

    @property
    def size(self) -> int:
        """How many bytes the rows have."""
        return sum(len(rows.content) for rows in self.rows)

    def unpacked(self, formats: Sequence[ReportFormat]) -> "ReportPart":
        """Return the part, whose format is one of those."""
        report_format = format_by_name(formats, self.format_name).fitted(self.header)
        detected = DetectedFormat(report_format, self.header)
        file = _FileThatWasRead(
            self.path, self.name, self.sha256, self.is_split, detected, self.passed_over
        )
        return ReportPart(file, self.identifier, iter(self.rows))


class ReportPart:
    """The rows of a report that are of one meter; `rows` yields them once."""

    def __init__(
        self,
        file: "ReportFile | _FileThatWasRead",
        identifier: str | None,
        rows: Iterator[NumberedRows],
        *,
        is_first: bool = True,
    ) -> None:
        """Take whether the part is the one that tells what of the file is not read."""
        self.is_first = is_first
        self.name = file.name
        self.identifier = identifier
        """The meter's name in the report, if its format has one."""
        self.rows = rows
        self.is_dropped = False
        self._file = file

    @property
    def detected(self) -> DetectedFormat | None:
        """The format, once the header was read."""
        return self._file.detected

    @property
    def sha256(self) -> str:
        """The digest of the whole file's uncompressed content, in hex."""
        return self._file.sha256

    @property
    def passed_over(self) -> PassedOver:
        """What of the file is not read, told by its first part; complete once all was read."""
        return self._file.passed_over if self.is_first else PassedOver()

    @property
    def label(self) -> str:
        """The file, and the meter unless it is the only one, for messages."""
        if self.identifier is None or not self._file.is_split:
            return self._file.path
        return f"{self._file.path}: {self.identifier.encode('unicode_escape').decode()}"

    def drop(self) -> None:
        """Note that the remaining rows will not be read, so that they need not be kept."""
        self.is_dropped = True

    def packed(self) -> PackedPart | None:
        """Return the part for another process, once the file was read; None if it is too large."""
        rows: list[NumberedRows] = []
        size = 0
        for each in self.rows:
            rows.append(each)
            size += len(each.content)
            if size > MAX_PACKED_BYTES:
                self.rows = chain(rows, self.rows)
                return None
        self.rows = iter(rows)
        file = self._file
        assert file.detected is not None, "it has rows"
        detected = file.detected
        return PackedPart(
            path=file.path,
            name=file.name,
            sha256=file.sha256,
            is_split=file.is_split,
            format_name=detected.format.name,
            header=detected.header,
            identifier=self.identifier,
            rows=rows,
            passed_over=self.passed_over,
        )


class ReportFile:
    """The file of a report, to be read once: as a `whole` or in `parts`.

    Leaving the context removes the temporary file that parts may need.
    """

    def __init__(
        self,
        path: str,
        *,
        formats: Sequence[ReportFormat] = SHIPPED_FORMATS,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.path = path
        self.detected: DetectedFormat | None = None
        self._filter: RowFilter | None = None
        """What passes over lines that are no rows, if the format has any."""
        self._unread: tuple[str, ...] = ()
        """What is not read of the file, by names."""
        self.is_split = False
        """Whether rows of several meters were found so far."""
        self.unassigned = 0
        """The number of rows that were rejected because their meter can't be told."""
        self._source = SourceFile(path, on_progress)
        self.name = self._source.name
        self._formats = formats
        self._spool = Spool(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    @property
    def sha256(self) -> str:
        """The digest of the uncompressed content, in hex; complete once all was read."""
        return self._source.sha256

    @property
    def passed_over(self) -> PassedOver:
        """What is not read; complete once all was."""
        if self._filter is None:
            return PassedOver(columns=self._unread)
        return PassedOver(self._filter.ignored, self._filter.others, self._unread)

    def whole(self) -> ReportPart:
        """Return all rows as those of one meter."""
        return ReportPart(self, None, self._chunks())

    def parts(
        self,
        zone: ZoneInfo,
        *,
        skip_bad_rows: bool,
        on_errors: Callable[[list[RowError], bytes], None],
    ) -> Iterator[ReportPart]:
        """Yield the rows of each meter; the parts may be read in any order.

        The meter of a report that has one is yielded before the report is read. A row that names no
        meter is an error of a report of several.

        Raises ReportError if the file can't be read or isn't a report, and FaultyRowsError at the
        end if rows can't be assigned to a meter and bad rows are not to be skipped.
        """
        chunks = self._chunks()
        first = next(chunks, None)
        assert self.detected is not None, "the file has a header"
        report_format, header = self.detected.format, self.detected.header
        if first is None or report_format.identifier is None:
            rows = chunks if first is None else chain([first], chunks)
            yield ReportPart(self, header.meter, rows)
            return
        context = ParseContext(self.path, zone, skip_bad_rows, on_errors)
        field = report_format.identifier.position(header.names)
        column = _identifier_column(header, field)
        rejecting = report_format.row_reader(header, context)
        divider = _Divider(self, chunks, column, rejecting, self._spool)
        part = None
        for part in divider.parts(first):
            yield part
        if self.unassigned and not skip_bad_rows:
            raise FaultyRowsError(f"{self.path}: {self.unassigned} rows are wrong")
        if part is None:
            raise ReportError(f"{self.path}: {NO_READING}")

    def _chunks(self) -> Iterator[NumberedRows]:
        """Yield the rows in chunks, after the format was detected."""
        table = find_table(self._source, self._formats)
        self.detected = table.detected
        assert table.detected.found is not None, "it was found here"
        self._unread = (*table.detected.found.unread, *table.unread)
        self._filter = table.detected.format.row_filter(table.detected.found)
        for each in table.rows:
            if not each.content:
                continue
            if self._filter is None:
                yield each
            else:
                yield from self._filter.read(each)


_identifier_column = lru_cache(maxsize=64)(IdentifierColumn)


class _Divider:
    """Divides the rows of a report among its meters.

    As long as all rows are of one meter, they are passed on as they are, with those that name none.
    From there on, its rows are passed on alone, and those of other meters are kept until the whole
    report is read.
    """

    def __init__(
        self,
        file: ReportFile,
        chunks: Iterator[NumberedRows],
        column: IdentifierColumn,
        rejecting: RowReader[Any],
        spool: Spool,
    ) -> None:
        self._file = file
        self._chunks = chunks
        self._column = column
        self._rejecting = rejecting
        """Reports the errors of rows that can't be assigned to a meter."""
        self._others = SortedRows(spool)
        self._left_behind = SortedRows(spool)
        """Rows of the leading part that were not read while the file was."""
        self._unassigned = array("Q")
        """The lines of rows that can't be assigned to a meter."""
        self._passed_on = 0
        """How many of these lines are in the leading part; only the last one is remembered."""
        self._is_broken = False

    def parts(self, first: NumberedRows) -> Iterator[ReportPart]:
        """Yield the rows of each meter."""
        names = set(self._column.find(first.content, len(first.lines))) - {NO_METER}
        self._chunks = chain([first], self._chunks)
        name = names.pop() if len(names) == 1 else NO_METER
        if name:
            part = ReportPart(self._file, name, iter(()))
            part.rows = self._leading_rows(part, name)
            yield part
            if self._is_broken:
                return
            for rows in chain(self._undivided_rows(name), self._divided_rows(name)):
                if not part.is_dropped:
                    raws = split_rows(rows.content)
                    self._left_behind.add([name] * len(raws), raws, rows.lines)
        else:
            self._file.is_split = True
            for rows in self._chunks:
                self._divide(rows, NO_METER)
        is_first = not name
        for identifier, grouped in self._others.take():
            own = self._mark_unassigned(grouped, 0)
            yield ReportPart(self._file, identifier, own, is_first=is_first)
            is_first = False

    def _leading_rows(self, part: ReportPart, name: str) -> Iterator[NumberedRows]:
        """Yield the rows of the first meter while the file is read, then those left behind."""
        try:
            yield from self._undivided_rows(name)
            left_behind = chain.from_iterable(rows for _, rows in self._left_behind.take())
            divided = chain(self._divided_rows(name), left_behind)
            yield from self._mark_unassigned(divided, self._passed_on)
        except GeneratorExit:
            raise
        except BaseException:
            self._is_broken = True
            raise
        finally:
            part.drop()

    def _undivided_rows(self, name: str) -> Iterator[NumberedRows]:
        """Yield the chunks above the first one that has rows of another meter."""
        while not self._file.is_split and (rows := next(self._chunks, None)):
            if self._has_others(rows, name):
                self._file.is_split = True
                self._chunks = chain([rows], self._chunks)
            else:
                yield rows

    def _has_others(self, rows: NumberedRows, name: str) -> bool:
        """Return whether there are rows of another meter."""
        if self._column.is_only(rows.content, len(rows.lines), name):
            return False
        found = self._column.find(rows.content, len(rows.lines))
        if not {name, NO_METER}.issuperset(found):
            return True
        for identifier, raw, line in zip(found, split_rows(rows.content), rows.lines, strict=True):
            if not identifier and not self._column.is_empty(raw):
                self._unassigned[:] = array("Q", [line])
                self._passed_on = 1
        return False

    def _divided_rows(self, name: str) -> Iterator[NumberedRows]:
        """Yield the rows of a meter in the chunks from the first one that has others."""
        for rows in self._chunks:
            if own := self._divide(rows, name):
                raws, lines = zip(*own, strict=True)
                yield NumberedRows(join_rows(raws), lines)

    def _divide(self, rows: NumberedRows, name: str) -> list[tuple[bytes, int]]:
        """Return the rows of a meter, each with its line, and keep those of the others.

        Rows that can't be assigned to a meter are rejected.
        """
        found: Sequence[str] = self._column.find(rows.content, len(rows.lines))
        raws: Sequence[bytes] = split_rows(rows.content)
        lines = rows.lines
        longest = max(raws, key=len)
        check_row_length(self._file.path, lines[raws.index(longest)], longest)
        own: list[tuple[bytes, int]] = []
        if not {NO_METER, name}.isdisjoint(found):
            others: list[tuple[str, bytes, int]] = []
            for identifier, raw, line in zip(found, raws, lines, strict=True):
                if identifier == NO_METER:
                    self._reject(raw, line)
                elif identifier == name:
                    own.append((raw, line))
                else:
                    others.append((identifier, raw, line))
            found, raws, lines = zip(*others, strict=True) if others else ((), (), ())
        self._others.add(found, raws, lines)
        return own

    def _reject(self, raw: bytes, line: int) -> None:
        """Report the errors of a row that can't be assigned to a meter."""
        if self._column.is_empty(raw):
            return
        self._rejecting.read(raw, line)
        self._file.unassigned += 1
        assert self._file.unassigned == self._rejecting.rejected, "it is invalid"
        self._unassigned.append(line)
        if self._file.unassigned > MAX_UNASSIGNED:
            raise ReportError(
                f"{self._file.path}: over {MAX_UNASSIGNED} rows name no meter: expected a report"
            )

    def _mark_unassigned(self, parts: Iterable[NumberedRows], done: int) -> Iterator[NumberedRows]:
        """Yield rows of a meter, and in between them the rows that can't be assigned.

        Of several between two rows, only one is yielded. The first `done` are left out.
        """
        unassigned = self._unassigned
        for rows in parts:
            if done < len(unassigned) and unassigned[done] < rows.lines[-1]:
                raws, begin = split_rows(rows.content), 0
                while done < len(unassigned) and unassigned[done] < rows.lines[-1]:
                    end = bisect(rows.lines, unassigned[done], begin)
                    if end > begin:
                        yield NumberedRows(join_rows(raws[begin:end]), rows.lines[begin:end])
                    yield NumberedRows(b"", unassigned[done : done + 1])
                    done = bisect(unassigned, rows.lines[end], done)
                    begin = end
                yield NumberedRows(join_rows(raws[begin:]), rows.lines[begin:])
            else:
                yield rows
        if done < len(unassigned):
            yield NumberedRows(b"", unassigned[-1:])
