"""Report formats that settings describe."""

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from domain.time.time_zone import DAY_SECONDS
from loader.formats.delimited.collected_rows import CollectedRows
from loader.formats.delimited.layout import DelimitedLayout
from loader.formats.delimited.own_lengths import OwnLengthRows
from loader.formats.delimited.rows import DelimitedRows
from loader.formats.delimited.varying_rows import VaryingRows
from loader.formats.report_format import ReportFormat
from loader.rows.errors import ReportError
from loader.rows.header import Header, RowDialect
from loader.rows.reader import ParseContext, RowReader
from loader.rows.sorted_rows import NumberedRows, split_rows
from loader.table.day_rows import DayRows
from loader.table.heading import FoundHeading, HeadingSearch, Likeness
from loader.table.meter_rows import MeterRows
from loader.table.row_filter import RowFilter
from loader.table.top import TopOfFile
from loader.table.unfolded_rows import UnfoldedRows, unfolded_settings
from loader.values.decimals import NumberNotation
from settings import HOURLY_INTERVAL, FormatSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAX_LAYOUTS = 64
"""Layouts of a format that are remembered from one report to the next."""
_ANY_ZONE = ZoneInfo("UTC")
"""Instead of the zone of a report whose format is not known yet."""
_UTF8 = "utf-8"


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
            return found and found._replace(header=self._unfolding(found.source).header)
        except ValueError:
            return None

    def nearest_heading(self, top: TopOfFile) -> Likeness | None:
        """Return the line that is most like a heading of this format; None if none is at all."""
        nearest = self._search.nearest(top)
        found = self._search.find(top, is_only=True) if self._described.is_folded else None
        if nearest is None or found is None:
            return nearest
        try:
            self._unfolding(found.source)
        except ValueError as error:
            return nearest._replace(at=found.rows_at - 1, doubtful=(str(error),))
        return nearest

    def row_filter(self, found: FoundHeading) -> RowFilter | None:
        """Return what passes over lines below a heading; None if all are rows."""
        is_unfolded = found.source is not found.header
        unfolding = self._unfolding(found.source) if is_unfolded else None
        settings = self._described if is_unfolded else self._settings
        row_filter = RowFilter(settings, found.source, unfolding)
        return row_filter if row_filter.is_needed else None

    def _unfolding(self, header: Header) -> UnfoldedRows:
        """Return what unfolds rows that hold several; raise ValueError if columns are wrong."""
        settings = self._described.fitted(header.names)
        kind = DayRows if settings.columns.are_of_days else MeterRows
        return kind(settings, header, NumberNotation(settings).is_missing)

    def fitted(self, header: Header) -> ReportFormat:
        """Return the format of reports with this header, without the columns that they lack."""
        return self._fitted(header.names)

    def _fit(self, names: tuple[str, ...]) -> "ConfiguredFormat":
        rows = self._settings.fitted(names)
        if rows is self._settings:
            return self
        quantities = rows.columns.named()
        settings = self._described.reduced(quantities, has_quality=rows.quality is not None)
        is_asked_for = self.is_interval_asked_for
        return ConfiguredFormat(self.name, settings, is_interval_asked_for=is_asked_for)

    def is_row(self, header: Header, raw: bytes) -> bool:
        """Return whether a line is a valid row below a header."""
        if self._described.is_folded:
            unfolding = self._unfolding(header)
            rows = next(unfolding.unfolded(NumberedRows(raw, [0])), None)
            header, raw = unfolding.header, b"" if rows is None else split_rows(rows.content)[0]
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
