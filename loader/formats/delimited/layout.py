"""How the rows of a report with a certain heading are read."""

from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING

from domain.time.local_time import LocalTimeResolver
from loader.formats.delimited.plain_rows import PlainColumn, PlainLayout
from loader.formats.delimited.quick_times import make_quick_times
from loader.formats.timestamps.parser import InvalidTimestamp, make_timestamp_parser
from loader.rows.header import Header
from loader.values.collected_values import CollectedValues
from loader.values.row_values import RowValues
from settings import HOURLY_INTERVAL, INSTANT_PATTERNS, FormatSettings, TimePattern

if TYPE_CHECKING:
    from loader.rows.errors import RowError


class DelimitedLayout:
    """The columns of reports with the same header, whose times are of the same zone."""

    def __init__(
        self, settings: FormatSettings, header: Header, zone: tzinfo, seconds: int | None = None
    ) -> None:
        """Take the length of the rows in seconds, if it differs from row to row."""
        self.settings = settings = settings.fitted(header.names)
        self.header = header
        self.zone = zone
        self.timestamps = make_timestamp_parser(settings, header.names, zone)
        seconds = seconds or settings.interval or HOURLY_INTERVAL
        self.values = RowValues(settings, header.names, seconds)
        self.collected: CollectedValues | None = None
        """What reads the rows if several may make one reading."""
        if settings.columns.have_conditions or settings.columns.of_kind("register"):
            self.collected = CollectedValues(settings, header.names, self.values)
        self.identifier_field: int | None = None
        if settings.identifier_column is not None:
            self.identifier_field = settings.identifier_column.position(header.names)
        time = settings.time
        interval = timedelta(seconds=settings.interval or 0)
        marks_end = time.marks_end and not time.is_of_day
        self.shift = interval * marks_end
        """By how much a row starts before its time."""
        self.has_offset = time.pattern in INSTANT_PATTERNS or TimePattern(time.pattern).has_offset
        self.local_shift = self.shift * (time.end_clock == "start" and not self.has_offset)
        """By how much the local time of a row's start is earlier than it is written."""
        self.end_shift = self.shift * (time.end_clock is None and not self.has_offset)
        """The same, if rows on days on which clocks change tell whether it is so."""
        self.step = settings.step or 0
        self.tolerance = time.tolerance
        resolver, seconds_before = LocalTimeResolver(zone), int(self.shift.total_seconds())
        self.plain: PlainLayout | None = None
        """How plain rows are read by columns, if they are."""
        times = None
        if self.collected is None:
            times = make_quick_times(settings, self.timestamps, resolver, seconds_before)
        if times is not None:
            self.plain = PlainLayout(
                header,
                settings.decimal,
                times,
                [PlainColumn.of(column) for column in self.values.columns.values()],
                self.values.names,
                identifier_field=self.identifier_field,
                quality_field=self.values.quality_field,
                is_estimated=self.values.estimated and self.values.estimated.matches,
            )

    def is_valid(self, fields: list[str]) -> bool:
        """Return whether the time and the quantities of a row can be parsed."""
        if isinstance(self.timestamps.parse(fields), InvalidTimestamp):
            return False
        if self.collected is not None and not self.collected.series(fields):
            return False
        errors: list[RowError] = []
        (self.collected or self.values).read(0, fields, errors)
        return not errors
