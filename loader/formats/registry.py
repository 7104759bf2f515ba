"""The formats of reports that are known, and which of them a report has."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from loader.formats.delimited import DelimitedRows
from loader.formats.monitoring import HEADER, MonitoringRows
from loader.rows.errors import ReportError
from loader.rows.header import Header, read_header
from loader.rows.reader import ParseContext, RowReader
from settings import MONITORING, FormatSettings, Settings

DISTRIBUTOR_HOURLY = FormatSettings.model_validate(
    {
        "delimiter": ";",
        "decimal": ",",
        "columns": {"energy": "Consumo_kWh"},
        "time": {"column": "Fecha", "hour": "Hora", "pattern": "%d/%m/%Y", "marks": "end"},
        "identifier": "CUPS",
        "ignored": ["Metodo_obtencion"],
    }
)
"""The hourly export of Spanish distributors."""


class ReportFormat(Protocol):
    """A format that a report may have."""

    name: str
    expected: str
    """Its heading, as messages show it."""
    interval: int | None
    """The seconds from one reading to the next, where the format says it."""

    def heading(self, raw: bytes) -> Header | None:
        """What a report's first line says, if it is of this format."""

    def rows(self, heading: Header, around: ParseContext) -> RowReader[Any]:
        """What reads the rows below that heading."""


class MonitoringFormat:
    """The project's own format."""

    name = MONITORING
    expected = ",".join(HEADER)
    interval: int | None = None

    def heading(self, raw: bytes) -> Header | None:
        """What a report's first line says, if it is of this format."""
        found = read_header(raw, ",", "utf-8")
        return found if found.names == HEADER else None

    def rows(self, heading: Header, around: ParseContext) -> RowReader[Any]:
        """What reads the rows below that heading."""
        return MonitoringRows(around, heading)


class ConfiguredFormat:
    """A format that settings describe; its columns may stand in any order."""

    def __init__(self, name: str, layout: FormatSettings) -> None:
        self.name = name
        self.expected = layout.delimiter.join((*layout.headers(), *layout.ignored))
        self.interval = layout.interval
        self._layout = layout

    def heading(self, raw: bytes) -> Header | None:
        """What a report's first line says, if it is of this format."""
        layout = self._layout
        found = read_header(raw, layout.delimiter, layout.encoding)
        names, needed = set(found.names), set(layout.headers())
        is_fitting = needed <= names <= needed.union(layout.ignored)
        return found if is_fitting and len(names) == len(found.names) else None

    def rows(self, heading: Header, around: ParseContext) -> RowReader[Any]:
        """What reads the rows below that heading."""
        return DelimitedRows(around, heading, self._layout)


SHIPPED_FORMATS: tuple[ReportFormat, ...] = (
    MonitoringFormat(),
    ConfiguredFormat("distributor-hourly", DISTRIBUTOR_HOURLY),
)


def known_formats(settings: Settings) -> tuple[ReportFormat, ...]:
    """The formats that are shipped and those of the settings, which win where names are equal."""
    layouts = {layout.name: layout for layout in SHIPPED_FORMATS}
    layouts.update(
        {name: ConfiguredFormat(name, layout) for name, layout in settings.formats.items()}
    )
    return tuple(layouts.values())


def format_by_name(layouts: Sequence[ReportFormat], name: str) -> ReportFormat:
    """The format of this name; raises ReportError where there is none."""
    for layout in layouts:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in layouts)
    raise ReportError(f"--format {name}: no such format, expected one of {known}")


class DetectedFormat(NamedTuple):
    """The format of a report, and its heading."""

    layout: ReportFormat
    heading: Header


def detect_format(layouts: Sequence[ReportFormat], path: str, raw: bytes) -> DetectedFormat:
    """The format that a first line belongs to; raises ReportError where it isn't exactly one."""
    found = [
        DetectedFormat(layout, heading)
        for layout in layouts
        if (heading := layout.heading(raw)) is not None
    ]
    text = raw.decode("utf-8-sig", "replace").rstrip("\r")[:80]
    if not found:
        known = ", or ".join(f"{layout.expected} ({layout.name})" for layout in layouts)
        raise ReportError(f"{path}:1: heading: {text!a}: expected {known}")
    if len(found) > 1:
        names = ", ".join(layout.name for layout, _ in found)
        raise ReportError(
            f"{path}:1: heading: {text!a}: fits several formats: say which with --format: {names}"
        )
    return found[0]
