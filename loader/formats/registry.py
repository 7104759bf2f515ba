"""The known report formats."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import overload

from domain.quantities import ALL_QUANTITIES
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.monitoring_format import MonitoringFormat
from loader.formats.report_format import ReportFormat
from loader.formats.shipped import shipped_settings
from loader.formats.source_format import SourceFormat
from loader.formats.source_tables import SOURCE_TABLES
from loader.rows.errors import ReportError
from settings import MONITORING, FormatSettings, Settings

MONITORING_FULL = FormatSettings.model_validate(
    {
        "columns": {quantity.name: quantity.header for quantity in ALL_QUANTITIES},
        "time": {"column": "Date", "pattern": "iso", "marks": "start"},
        "quality": {"column": "Flags", "estimated": "*estimated*"},
    }
)
"""What `elecdata meters export` writes for a meter with exported energy or estimated readings."""

_MAX_NAMED = 5
"""Formats that a message names."""

_OWN = {"monitoring-full": MONITORING_FULL}


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
    names = [report_format.name for report_format in formats]
    listed = get_close_matches(name, names, _MAX_NAMED) or names[:_MAX_NAMED]
    more = f" or {len(names) - len(listed)} others" if len(listed) < len(names) else ""
    raise ReportError(f"--format {name}: no such format, expected one of {', '.join(listed)}{more}")
