"""Assigning reports to meters: by an option, by what a report or its name says, or by default."""

import re
import shlex

from loader.report import Report
from loader.rows.errors import ReportError
from settings import MeterSettings
from storage.meters import (
    MAIN_METER,
    MeterAdmin,
    MeterRecord,
    identifier_conflict,
    random_public_id,
)

_METER = "{meter}"
_WILDCARDS = {_METER: "(?P<meter>[A-Za-z0-9][A-Za-z0-9._-]{0,63}?)", "*": ".*", "?": "."}


class MeterAssignment:
    """Finds, or registers, the meters of reports. Raises a StorageError if the database fails."""

    def __init__(
        self,
        meters: MeterAdmin,
        settings: MeterSettings,
        name: str | None = None,
        *,
        register: bool = False,
    ) -> None:
        """Assign all reports to the meter that is named, if any; register unknown ones or not."""
        self._meters = meters
        self._settings = settings
        self._name = name
        self._registers = register

    async def meter_of(self, report: Report) -> MeterRecord:
        """Return the meter of a report, whose beginning is read; raise ReportError without one."""
        identifier = report.read_identifier()
        if self._name is not None:
            return await self._named(self._name, identifier, report)
        known = identifier and await self._meters.with_identifier(identifier)
        if known:
            return known
        name = meter_in_name(self._settings.file_name, report.name)
        if name is not None:
            return await self._named(name, identifier, report)
        meters = await self._meters.first(2)
        if not meters:
            return await self._register(self._settings.default or MAIN_METER, identifier)
        if identifier is not None:
            return await self._identified(identifier, meters, report)
        if len(meters) == 1:
            return meters[0]
        return await self._default(report)

    async def _named(self, name: str, identifier: str | None, report: Report) -> MeterRecord:
        known = await self._meters.find(name)
        if known is not None:
            return known
        if not self._registers:
            raise ReportError(
                f"{report.path}: there is no meter {name!a:.80}: to register it, run elecdata load"
                f" --meter {shlex.quote(name)} --register {shlex.quote(report.path)}"
            )
        # Identifiers are personal: they become no public ids.
        return await self._register(random_public_id() if name == identifier else name, identifier)

    async def _identified(
        self, identifier: str, meters: list[MeterRecord], report: Report
    ) -> MeterRecord:
        """Return the meter of an identifier that none has on record."""
        if self._registers:
            return await self._register(random_public_id(), identifier)
        if len(meters) > 1:
            raise ReportError(
                f"{report.path}: no meter is {identifier} in reports: add --register to load it as"
                " a new meter, or --meter NAME to say which one it is"
            )
        if meters[0].identifier is not None:
            raise ReportError(identifier_conflict(meters[0], report.path, identifier))
        return meters[0]

    async def _default(self, report: Report) -> MeterRecord:
        """Return the meter of a report that does not tell whose it is, of several meters."""
        default = self._settings.default
        if default is None:
            raise ReportError(
                f"{report.path}: there are several meters, and the report does not tell whose it"
                " is: say so with --meter NAME, meter.file_name or meter.default"
            )
        known = await self._meters.find(default)
        if known is None:
            raise ReportError(f"{report.path}: meter.default: there is no meter {default}")
        return known

    async def _register(self, public_id: str, identifier: str | None) -> MeterRecord:
        return await self._meters.register(public_id, str(self._settings.timezone), identifier)


def meter_in_name(pattern: str | None, name: str) -> str | None:
    """Return what stands for {meter} in the name of a file; None if the name does not match."""
    if pattern is None:
        return None
    parts = re.split(r"(\{meter\}|\*|\?)", pattern)
    expression = "".join(_WILDCARDS.get(part, re.escape(part)) for part in parts)
    found = re.fullmatch(f"{expression}(?:\\.gz)?", name, re.DOTALL)
    return found and found["meter"]
