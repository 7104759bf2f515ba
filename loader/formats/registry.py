"""The known report formats, and the detection of a report's format by its header."""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

from domain.quantities import QUANTITY_NAMES
from loader.formats.delimited import DelimitedLayout, DelimitedRows
from loader.formats.monitoring import MONITORING_HEADER, MonitoringRows
from loader.formats.varying_rows import VaryingRows
from loader.rows.errors import ReportError
from loader.rows.header import Header, read_header
from loader.rows.reader import ParseContext, RowReader
from settings import HOURLY_INTERVAL, MONITORING, ColumnName, FormatSettings, Settings

_MAX_LAYOUTS = 64
"""Layouts of a format that are remembered from one report to the next."""

DISTRIBUTOR_HOURLY = FormatSettings.model_validate(
    {
        "delimiter": ";",
        "decimal": ",",
        "columns": {"energy": "Consumo_kWh"},
        "time": {
            "column": "Fecha",
            "hour": "Hora",
            "hours": "counted",
            "pattern": "%d/%m/%Y",
            "marks": "end",
        },
        "identifier": "CUPS",
        "ignored": ["Metodo_obtencion"],
    }
)
"""The hourly export of Spanish distributors."""


class ReportFormat(Protocol):
    """A format that a report may have."""

    name: str
    expected: str
    """Its header, for messages."""
    interval: int | None
    """Seconds from one reading to the next, if the format defines them."""
    has_lengths: bool
    """Whether rows tell how long they last, each one."""
    may_vary: bool
    """Whether a row after a gap may be a longer one, although the format says one interval."""
    is_interval_asked_for: bool
    """Whether the command says so, not the format."""
    identifier: ColumnName | None
    """The column that names the meter, if there is one."""
    quantities: Sequence[str]
    """The names of the quantities that it has columns for."""
    energies: Sequence[str]
    """Of these, the ones whose columns are said to be no registers."""
    tells_estimated: bool
    """Whether a column says which readings were estimated."""

    def parse_header(self, raw: bytes) -> Header | None:
        """Return the header in a report's first line; None if it is not of this format."""

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""


class MonitoringFormat:
    """The project's own format."""

    name = MONITORING
    expected = ",".join(MONITORING_HEADER)
    identifier: ColumnName | None = None
    quantities: Sequence[str] = QUANTITY_NAMES
    energies: Sequence[str] = ()
    tells_estimated = False
    has_lengths = False
    may_vary = False

    def __init__(self, interval: int | None = None, *, is_interval_asked_for: bool = False) -> None:
        self.interval = interval
        self.is_interval_asked_for = is_interval_asked_for

    def parse_header(self, raw: bytes) -> Header | None:
        """Return the header in a report's first line; None if it is not of this format."""
        header = read_header(raw, ",", "utf-8")
        return header if header.names == MONITORING_HEADER else None

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
        self._required = settings.headers()
        self.expected = settings.delimiter.join(map(str, (*self._required, *settings.ignored)))
        self.interval = settings.interval
        self.has_lengths = bool(settings.lengths)
        self.may_vary = self.interval is not None and settings.time.hour is None
        self.identifier = settings.identifier
        self.quantities: Sequence[str] = tuple(settings.columns.named())
        self.energies: Sequence[str] = settings.columns.of_kind("energy", "register")
        self.tells_estimated = settings.quality is not None
        self._settings = settings
        self._layout = lru_cache(maxsize=_MAX_LAYOUTS)(partial(DelimitedLayout, settings))

    def parse_header(self, raw: bytes) -> Header | None:
        """Return the header in a report's first line; None if it is not of this format."""
        header = read_header(raw, self._settings.delimiter, self._settings.encoding)
        required = [column.positions(header.names) for column in self._required]
        if any(len(positions) != 1 for positions in required):
            return None
        named = {position for (position,) in required}
        named.update(*(column.positions(header.names) for column in self._settings.ignored))
        is_match = len(named) == len(header.names) == len(set(header.names))
        return header if is_match else None

    def row_reader(self, header: Header, context: ParseContext) -> RowReader[Any]:
        """Return a reader of the rows below a header."""
        if self._settings.time.hour is not None and self.interval != HOURLY_INTERVAL:
            raise ReportError(
                f"--interval {self.interval}: the format {self.name} counts hours: expected"
                f" {HOURLY_INTERVAL}, or no --interval"
            )
        zone = self._settings.time.timezone or context.zone
        layout = self._layout(header, zone)
        if not self.has_lengths:
            return DelimitedRows(context, layout)
        if header.has_reasons:
            raise ReportError(
                f"{context.path}: rejected rows do not tell how long they last: correct them in the"
                f" report, and load that, as the format {self.name} has several lengths"
            )
        lengths = {each: self._layout(header, zone, each) for each in self._settings.lengths}
        return VaryingRows(context, layout, lengths)


SHIPPED_FORMATS: tuple[ReportFormat, ...] = (
    MonitoringFormat(),
    ConfiguredFormat("distributor-hourly", DISTRIBUTOR_HOURLY),
)


def known_formats(settings: Settings, interval: int | None = None) -> tuple[ReportFormat, ...]:
    """Return the shipped formats and the configured ones, which replace those of equal names.

    An interval that is asked for takes the place of what formats say.
    """
    described = {"distributor-hourly": DISTRIBUTOR_HOURLY, **settings.formats}
    monitoring = described.pop(MONITORING, None)
    said = None if monitoring is None else monitoring.interval
    formats: list[ReportFormat] = [
        MonitoringFormat(interval or said, is_interval_asked_for=interval is not None)
    ]
    for name, each in described.items():
        is_asked_for = interval is not None
        asked = {"interval": interval, "lengths": ()}
        changed = each.model_copy(update=asked) if is_asked_for else each
        formats.append(ConfiguredFormat(name, changed, is_interval_asked_for=is_asked_for))
    return tuple(formats)


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


def detect_format(formats: Sequence[ReportFormat], path: str, raw: bytes) -> DetectedFormat:
    """Detect the format by a report's first line; raise ReportError unless exactly one matches."""
    matches = [
        DetectedFormat(report_format, header)
        for report_format in formats
        if (header := report_format.parse_header(raw)) is not None
    ]
    text = raw.decode("utf-8-sig", "replace").rstrip("\r")[:80]
    if not matches:
        known = ", or ".join(f"{known.expected} ({known.name})" for known in formats)
        raise ReportError(f"{path}:1: heading: {text!a}: expected {known}")
    if len(matches) > 1:
        names = ", ".join(match.format.name for match in matches)
        raise ReportError(
            f"{path}:1: heading: {text!a}: fits several formats: say which with --format: {names}"
        )
    return matches[0]
