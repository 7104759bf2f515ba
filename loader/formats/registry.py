"""The known report formats, and the detection of a report's format by its header."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, Protocol, overload
from zoneinfo import ZoneInfo

from domain.quantities import ALL_QUANTITIES, QUANTITY_NAMES
from domain.time.time_zone import DAY_SECONDS
from loader.formats.collected_rows import CollectedRows
from loader.formats.delimited import DelimitedLayout, DelimitedRows
from loader.formats.monitoring import MONITORING_HEADER, MonitoringRows
from loader.formats.own_lengths import OwnLengthRows
from loader.formats.shipped import shipped_settings
from loader.formats.source_tables import SOURCE_TABLES
from loader.formats.varying_rows import VaryingRows
from loader.rows.errors import ReportError, UnknownHeadingError
from loader.rows.header import Header, RowDialect
from loader.rows.reader import ParseContext, RowReader
from loader.rows.sorted_rows import NumberedRows, split_rows
from loader.table.day_rows import DayRows, unfolded_settings
from loader.table.heading import FoundHeading, HeadingSearch, Likeness
from loader.table.row_filter import RowFilter
from loader.table.top import TopOfFile
from loader.values.decimals import NumberNotation
from settings import HOURLY_INTERVAL, MONITORING, ColumnName, FormatSettings, Settings

_MAX_LAYOUTS = 64
"""Layouts of a format that are remembered from one report to the next."""
_MAX_LISTED = 10
"""Names that a message lists."""
_ANY_ZONE = ZoneInfo("UTC")
"""Instead of the zone of a report whose format is not known yet."""

MONITORING_FULL = FormatSettings.model_validate(
    {
        "columns": {quantity.name: quantity.header for quantity in ALL_QUANTITIES},
        "time": {"column": "Date", "pattern": "iso", "marks": "start"},
        "quality": {"column": "Flags", "estimated": "*estimated*"},
    }
)
"""What `elecdata meters export` writes for a meter with exported energy or estimated readings."""

_OWN = {"monitoring-full": MONITORING_FULL}

_UTF8 = "utf-8"


class ReportFormat(Protocol):
    """A format that a report may have."""

    name: str
    interval: int | None
    """Seconds from one reading to the next, if the format defines them."""
    has_lengths: bool
    """Whether rows tell how long they last, each one."""
    may_vary: bool
    """Whether a row after a gap may be a longer one, although the format says one interval."""
    is_interval_asked_for: bool
    """Whether the command says so, not the format."""
    identifier: ColumnName | None
    """The column that names the meter of each row, if there is one."""
    quantities: Sequence[str]
    """The names of the quantities that it has columns for."""
    energies: Sequence[str]
    """Of these, the ones whose columns are said to be no registers."""
    tells_estimated: bool
    """Whether a column says which readings were estimated."""

    dialect: RowDialect
    """How its rows are written."""
    sheet: str | None
    """The sheet of a workbook that it is in; any if there is none."""

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format.

        Less is asked of it if this is the only format that comes into question.
        """

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""

    def fitted(self, header: Header) -> "ReportFormat":
        """Return the format of reports with this header, without the columns that they lack."""

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line is a valid row below a header."""

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""

    def in_utf8(self) -> "ReportFormat":
        """Return the same format of reports that are in UTF-8."""

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""


class MonitoringFormat:
    """The project's own format."""

    name = MONITORING
    identifier: ColumnName | None = None
    quantities: Sequence[str] = QUANTITY_NAMES
    energies: Sequence[str] = ()
    tells_estimated = False
    has_lengths = False
    may_vary = False
    dialect = RowDialect(",", ".")
    sheet: str | None = None

    def __init__(self, interval: int | None = None, *, is_interval_asked_for: bool = False) -> None:
        self.interval = interval
        self.is_interval_asked_for = is_interval_asked_for

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format."""
        del is_only
        for at in range(top.first, len(top.lines)):
            header = top.header(at, ",", "utf-8")
            if header.names == MONITORING_HEADER:
                return FoundHeading(header, at + 1, (), header)
        return None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""
        nearest = None
        for at in range(top.first, len(top.lines)):
            names = top.header(at, ",", "utf-8").names
            missing = tuple(name for name in MONITORING_HEADER if name not in names)
            additional = tuple(name for name in names if name not in MONITORING_HEADER)
            found = len(MONITORING_HEADER) - len(missing)
            each = Likeness(at, missing, (), additional, found)
            if found and (nearest is None or each.rank < nearest.rank):
                nearest = each
        return nearest

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format of reports with this header: there is but one."""
        del header
        return self

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line has the fields of a row."""
        return isinstance(header.split(0, raw), list)

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""
        del found
        return None

    def in_utf8(self) -> ReportFormat:
        """Return the same format of reports that are in UTF-8."""
        return self

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""
        return MonitoringRows(context, header)


class ConfiguredFormat:
    """A format that settings describe, with its columns in any order."""

    def __init__(
        self, name: str, settings: FormatSettings, *, is_interval_asked_for: bool = False
    ) -> None:
        self.name = name
        self.is_interval_asked_for = is_interval_asked_for
        self.interval = settings.interval
        self.has_lengths = bool(settings.lengths) or settings.time.end is not None
        self.may_vary = self.interval is not None and not settings.time.is_of_day
        self.quantities: Sequence[str] = tuple(settings.columns.named())
        self.energies: Sequence[str] = settings.columns.of_kind("energy", "power", "register")
        self.tells_estimated = settings.quality is not None
        self.sheet = settings.sheet
        self.dialect = RowDialect(settings.delimiter, settings.decimal)
        self._described = settings
        self._settings = unfolded_settings(settings) if settings.is_folded else settings
        """The settings of the rows, which may be unfolded."""
        self.identifier = self._settings.identifier_column
        self._layout = lru_cache(maxsize=_MAX_LAYOUTS)(partial(DelimitedLayout, self._settings))
        self._fitted = lru_cache(maxsize=_MAX_LAYOUTS)(self._fit)
        self._search = HeadingSearch(settings, self.is_row)

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format."""
        if not self._described.is_folded:
            return self._search.find(top, is_only=is_only)
        if rejected := HeadingSearch(self._settings, self.is_row).find_rejected(top):
            return rejected
        found = self._search.find(top, is_only=is_only)
        try:
            return found and found._replace(header=self._days(found.source).header)
        except ValueError:
            return None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""
        nearest = self._search.nearest(top)
        found = self._search.find(top, is_only=True) if self._described.is_folded else None
        if nearest is None or found is None:
            return nearest
        try:
            self._days(found.source)
        except ValueError as error:
            return nearest._replace(at=found.rows_at - 1, doubtful=(str(error),))
        return nearest

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""
        is_unfolded = found.source is not found.header
        days = self._days(found.source) if is_unfolded else None
        settings = self._described if is_unfolded else self._settings
        row_filter = RowFilter(settings, found.source, days)
        return row_filter if row_filter.is_needed else None

    def _days(self, header: Header) -> DayRows:
        """Return what unfolds days in rows; raise ValueError if there are too few columns."""
        return DayRows(self._described, header, NumberNotation(self._described).is_missing)

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format of reports with this header, without the columns that they lack."""
        return self._fitted(header.names)

    def _fit(self, names: tuple[str, ...]) -> "ConfiguredFormat":
        settings = self._described.fitted(names)
        if settings is self._described:
            return self
        is_asked_for = self.is_interval_asked_for
        return ConfiguredFormat(self.name, settings, is_interval_asked_for=is_asked_for)

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line is a valid row below a header."""
        if self._described.is_folded:
            days = self._days(header)
            rows = days.unfolded(NumberedRows(raw, [0]))
            header, raw = days.header, b"" if rows is None else split_rows(rows.content)[0]
        fields = header.split(0, raw)
        return isinstance(fields, list) and self._layout(header, _ANY_ZONE).is_valid(fields)

    def in_utf8(self) -> ReportFormat:
        """Return the same format of reports that are in UTF-8."""
        if self._described.encoding == _UTF8:
            return self
        return self._changed({"encoding": _UTF8})

    def _changed(self, update: dict[str, object]) -> "ConfiguredFormat":
        settings = self._described.model_copy(update=update)
        is_asked_for = self.is_interval_asked_for
        return ConfiguredFormat(self.name, settings, is_interval_asked_for=is_asked_for)

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""
        self._check_interval()
        zone = self._settings.time.timezone or context.zone
        layout = self._layout(header, zone)
        own_length: Callable[[int], DelimitedLayout] | None = None
        if self._settings.time.end is not None:
            own_length = partial(self._layout, header, zone)
        if layout.collected is not None:
            if header.has_reasons and layout.collected.registers:
                raise ReportError(
                    f"{context.path}: rejected rows do not tell the energy between them: correct"
                    f" them in the report, and load that, as the format {self.name} has a register"
                )
            return CollectedRows(context, layout, layout.collected, own_length)
        if own_length is not None:
            return OwnLengthRows(context, layout, own_length)
        if not self.has_lengths:
            return DelimitedRows(context, layout)
        if header.has_reasons:
            raise ReportError(
                f"{context.path}: rejected rows do not tell how long they last: correct them in the"
                f" report, and load that, as the format {self.name} has several lengths"
            )
        lengths = {each: self._layout(header, zone, each) for each in self._settings.lengths}
        return VaryingRows(context, layout, lengths)

    def _check_interval(self) -> None:
        """Raise ReportError if the interval that is asked for can't be that of the format."""
        time, asked = self._settings.time, f"--interval {self.interval}: the format {self.name}"
        if time.hour is not None and self.interval != HOURLY_INTERVAL:
            raise ReportError(f"{asked} counts hours: expected {HOURLY_INTERVAL}, or no --interval")
        if time.end is not None and self.interval is not None:
            raise ReportError(f"{asked} has time.end: expected no --interval")
        if time.period is not None and DAY_SECONDS % (self.interval or DAY_SECONDS):
            raise ReportError(f"{asked} counts periods: expected seconds that divide a day")


class SourceFormat(ConfiguredFormat):
    """A format of tables that a source makes of another layout, with some of the columns."""

    def find_heading(self, top: TopOfFile, *, is_only: bool) -> FoundHeading | None:
        """Return the heading of a report; None if it is not of this format."""
        del is_only
        if not top.lines:
            return None
        header = top.header(0, self.dialect.delimiter, _UTF8)
        names = header.names
        settings = self._settings
        assert settings.quality is not None, "the tables have a column of it"
        always = {*map(str, settings.time.column), str(settings.quality.column)}
        is_match = always < set(names) <= set(map(str, settings.headers()))
        is_match = is_match and len(names) == len(set(names))
        return FoundHeading(header, 1, (), header) if is_match else None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return nothing, for a file is of this layout or of another one."""
        del top
        return None

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format with the columns of a header alone."""
        columns = self._described.columns
        absent = {
            name: None
            for name, column in columns.named().items()
            if not column.header[0].positions(header.names)
        }
        identifier = self._settings.identifier_column
        has_identifier = identifier is not None and identifier.positions(header.names)
        return self._changed(
            {
                "columns": columns.model_copy(update=absent),
                "identifier": identifier if has_identifier else None,
            }
        )


class KnownFormats(Sequence[ReportFormat]):
    """The project's own format, the configured ones, and the shipped ones.

    The shipped ones are read when they are asked for.
    """

    def __init__(
        self, own: Sequence[ReportFormat], shipped: Callable[[], Sequence[ReportFormat]]
    ) -> None:
        self.own = own
        """Those that are not shipped, and come first."""
        self._read = shipped

    @cached_property
    def shipped(self) -> Sequence[ReportFormat]:
        """The shipped ones."""
        return self._read()

    def each(self, changed: Callable[[ReportFormat], ReportFormat | None]) -> "KnownFormats":
        """Return the formats as a function changes them, without those that it leaves out."""

        def those(formats: Iterable[ReportFormat]) -> list[ReportFormat]:
            return [found for each in formats if (found := changed(each)) is not None]

        return KnownFormats(those(self.own), lambda: those(self.shipped))

    def __bool__(self) -> bool:
        return bool(self.own) or bool(self.shipped)

    def __len__(self) -> int:
        return len(self.own) + len(self.shipped)

    @overload
    def __getitem__(self, index: int) -> ReportFormat: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ReportFormat]: ...

    def __getitem__(self, index: int | slice) -> ReportFormat | Sequence[ReportFormat]:
        return (*self.own, *self.shipped)[index]

    def __iter__(self) -> Iterator[ReportFormat]:
        yield from self.own
        yield from self.shipped


def _shipped_formats() -> tuple[ReportFormat, ...]:
    return tuple(ConfiguredFormat(name, each) for name, each in shipped_settings().items())


SHIPPED_FORMATS = KnownFormats(
    (
        MonitoringFormat(),
        *(ConfiguredFormat(name, each) for name, each in _OWN.items()),
        *(SourceFormat(name, each) for name, each in SOURCE_TABLES.items()),
    ),
    _shipped_formats,
)
"""The formats that are known without any configuration."""


def known_formats(settings: Settings, interval: int | None = None) -> KnownFormats:
    """Return the configured formats and the shipped ones, which those of equal names replace.

    An interval that is asked for takes the place of what formats say.
    """
    is_asked_for = interval is not None
    described = {**_OWN, **settings.formats}
    monitoring = described.pop(MONITORING, None)
    said = None if monitoring is None else monitoring.interval

    def formats(described: Mapping[str, FormatSettings]) -> list[ReportFormat]:
        asked = {"interval": interval, "lengths": ()}
        return [
            ConfiguredFormat(
                name,
                each.model_copy(update=asked) if is_asked_for else each,
                is_interval_asked_for=is_asked_for,
            )
            for name, each in described.items()
        ]

    def shipped() -> list[ReportFormat]:
        others = shipped_settings().items()
        return formats({name: each for name, each in others if name not in described})

    own: list[ReportFormat] = [
        MonitoringFormat(interval or said, is_interval_asked_for=is_asked_for),
        *formats(described),
    ]
    for name, each in SOURCE_TABLES.items():
        if name not in described:
            changed = each.model_copy(update={"interval": interval}) if is_asked_for else each
            own.append(SourceFormat(name, changed, is_interval_asked_for=is_asked_for))
    return KnownFormats(own, shipped)


def format_by_name(formats: Sequence[ReportFormat], name: str) -> ReportFormat:
    """Return the format of this name; raise ReportError if there is none."""
    for report_format in formats:
        if report_format.name == name:
            return report_format
    known = ", ".join(report_format.name for report_format in formats)
    raise ReportError(f"--format {name}: no such format, expected one of {known}")


class DetectedFormat(NamedTuple):
    """The format of a report, and its header."""

    format: ReportFormat
    header: Header
    found: FoundHeading | None = None
    """Where it was found, unless another process did."""


def detect_format(
    formats: Sequence[ReportFormat], path: str, lines: Sequence[bytes]
) -> DetectedFormat:
    """Detect the format by a report's first lines.

    Of several that fit, that is the one with the highest heading, then one that finds the meter in
    the heading or above it, then the one that leaves the fewest columns unread, then the one that
    can read the most rows. A shipped format is taken if no other fits. Raises ReportError unless
    there is exactly one.
    """
    top = TopOfFile(lines)
    own = formats.own if isinstance(formats, KnownFormats) else formats
    matches = _best_matches(_fitting(formats, top), lines, own)
    if not matches:
        raise UnknownHeadingError(_misfit(formats, path, top))
    report_format, found = matches[0]
    if len(matches) > 1:
        names = ", ".join(each.name for each, _ in matches)
        at = max(found.rows_at - 1, 0)
        raise ReportError(
            f"{path}:{at + 1}: heading: {_shown(lines[at])}: fits several formats: say which with"
            f" --format: {names}"
        )
    fitted = report_format.fitted(found.header)
    return DetectedFormat(fitted, found.header, found)


_Match = tuple[ReportFormat, FoundHeading]


def _fitting(formats: Sequence[ReportFormat], top: TopOfFile) -> list[_Match]:
    """Return the formats that fit, each with its heading; no shipped one if another does."""
    if not isinstance(formats, KnownFormats):
        return _matches(formats, top, is_only=len(formats) == 1)
    own = _matches(formats.own, top)
    if any(found.is_named for _, found in own):
        return own
    return own + _matches(formats.shipped, top)


def _matches(
    formats: Iterable[ReportFormat], top: TopOfFile, *, is_only: bool = False
) -> list[_Match]:
    headings = ((each, each.find_heading(top, is_only=is_only)) for each in formats)
    return [(each, found) for each, found in headings if found is not None]


def _best_matches(
    matches: list[_Match], lines: Sequence[bytes], own: Sequence[ReportFormat]
) -> list[_Match]:
    """Return the matches that come into question, one if the file tells its format."""

    def rank(match: _Match) -> tuple[bool, int, bool, int]:
        _, found = match
        has_no_meter = found.header.meter is None
        return not found.is_named, found.rows_at, has_no_meter, len(found.unread)

    def rows(match: _Match) -> int:
        each, found = match
        return sum(each.is_row(found.header, line) for line in lines[found.rows_at :])

    best = min(map(rank, matches), default=None)
    matches = [match for match in matches if rank(match) == best]
    if len(matches) > 1:
        counts = [rows(match) for match in matches]
        most = max(counts)
        matches = [match for match, count in zip(matches, counts, strict=True) if count == most]
        if not most and not any(each in own for each, _ in matches):
            # Rows that no shipped format reads are errors of any: the first one tells them.
            matches = matches[:1]
    return matches


def _misfit(formats: Sequence[ReportFormat], path: str, top: TopOfFile) -> str:
    """Return how a report differs from the nearest format."""
    likenesses = [(each.nearest_heading(top), each.name) for each in formats]
    found = [(like.rank, like, name) for like, name in likenesses if like is not None]
    at = top.first if top.first < len(top.lines) else 0
    if found:
        _, nearest, name = min(found, key=lambda each: each[0])
        at = nearest.at
        lacks = f"missing {_listed(nearest.missing)}" if nearest.missing else ""
        more = f"additional {_listed(nearest.additional)}" if nearest.additional else ""
        differences = "; ".join(filter(None, (lacks, more, *nearest.doubtful)))
        said = f"expected a known format, the nearest is {name}: {differences}"
    else:
        said = f"expected a known format such as {_listed([each.name for each in formats])}"
    line = top.lines[at] if top.lines else b""
    hint = "to see what the file is: elecdata inspect FILE"
    return f"{path}:{at + 1}: heading: {_shown(line)}: {said}; {hint}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_LISTED
    listed = ", ".join(f"{text!r:.80}" for text in texts[:_MAX_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


def _shown(line: bytes) -> str:
    return repr(line.decode("utf-8-sig", "replace").rstrip("\r")[:80])
