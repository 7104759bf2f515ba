"""The formats of reports that are known, and which of them a report has."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from loader.delimited import DelimitedRows
from loader.faults import ReportError
from loader.heading import Heading, read_heading
from loader.monitoring import HEADER, MonitoringRows
from loader.rows import Rows, Surroundings
from settings import MONITORING, Format, Settings

DISTRIBUTOR_HOURLY = Format.model_validate(
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


class Layout(Protocol):
    """A format that a report may have."""

    name: str
    expected: str
    """Its heading, as messages show it."""
    interval: int | None
    """The seconds from one reading to the next, where the format says it."""

    def heading(self, raw: bytes) -> Heading | None:
        """What a report's first line says, if it is of this format."""

    def rows(self, heading: Heading, around: Surroundings) -> Rows[Any]:
        """What reads the rows below that heading."""


class Monitoring:
    """The project's own format."""

    name = MONITORING
    expected = ",".join(HEADER)
    interval: int | None = None

    def heading(self, raw: bytes) -> Heading | None:
        """What a report's first line says, if it is of this format."""
        found = read_heading(raw, ",", "utf-8")
        return found if found.names == HEADER else None

    def rows(self, heading: Heading, around: Surroundings) -> Rows[Any]:
        """What reads the rows below that heading."""
        return MonitoringRows(around, heading)


class Described:
    """A format that settings describe; its columns may stand in any order."""

    def __init__(self, name: str, layout: Format) -> None:
        self.name = name
        self.expected = layout.delimiter.join((*layout.headers(), *layout.ignored))
        self.interval = layout.interval
        self._layout = layout

    def heading(self, raw: bytes) -> Heading | None:
        """What a report's first line says, if it is of this format."""
        layout = self._layout
        found = read_heading(raw, layout.delimiter, layout.encoding)
        names, needed = set(found.names), set(layout.headers())
        is_fitting = needed <= names <= needed.union(layout.ignored)
        return found if is_fitting and len(names) == len(found.names) else None

    def rows(self, heading: Heading, around: Surroundings) -> Rows[Any]:
        """What reads the rows below that heading."""
        return DelimitedRows(around, heading, self._layout)


SHIPPED: tuple[Layout, ...] = (
    Monitoring(),
    Described("distributor-hourly", DISTRIBUTOR_HOURLY),
)


def known_layouts(settings: Settings) -> tuple[Layout, ...]:
    """The formats that are shipped and those of the settings, which win where names are equal."""
    layouts = {layout.name: layout for layout in SHIPPED}
    layouts.update({name: Described(name, layout) for name, layout in settings.formats.items()})
    return tuple(layouts.values())


def named_layout(layouts: Sequence[Layout], name: str) -> Layout:
    """The format of this name; raises ReportError where there is none."""
    for layout in layouts:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in layouts)
    raise ReportError(f"--format {name}: no such format, expected one of {known}")


class Fitting(NamedTuple):
    """The format of a report, and its heading."""

    layout: Layout
    heading: Heading


def fitting_layout(layouts: Sequence[Layout], path: str, raw: bytes) -> Fitting:
    """The format that a first line belongs to; raises ReportError where it isn't exactly one."""
    found = [
        Fitting(layout, heading)
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
