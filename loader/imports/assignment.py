"""Assigning reports to meters: by an option, by what a report or its name says, or by default."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from loader.rows.errors import ReportError
from settings import MeterSettings
from storage.common.identifiers import is_same_meter, supply_point
from storage.meters import (
    MAIN_METER,
    MeterAdmin,
    MeterRecord,
    identifier_conflict,
    random_public_id,
)

_METER = "{meter}"
_WILDCARDS = {_METER: "(?P<meter>[A-Za-z0-9][A-Za-z0-9._-]{0,63}?)", "*": ".*", "?": "."}


@dataclass(frozen=True, slots=True)
class ReportOrigin:
    """What tells whose a report is."""

    path: str
    file_name: str
    identifier: str | None
    """The meter's name in the report, if it has one."""


@dataclass(frozen=True, slots=True)
class NewMeter:
    """A meter that is registered with its first report."""

    public_id: str
    identifier: str | None


class MeterAssignment:
    """Finds the meters of reports, of many at a time: first `look_up`, then `meter_of`."""

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
        self._known: dict[str, MeterRecord] = {}
        """By public id."""
        self._new: dict[str, NewMeter] = {}
        """By public id."""
        self._identified: dict[str, MeterRecord | NewMeter] = {}
        """By identifier, as `supply_point` returns it."""
        self._first: list[MeterRecord | NewMeter] = []
        """The only meter or, if there are several, two of them."""

    async def look_up(self, origins: Sequence[ReportOrigin]) -> None:
        """Look up the meters that reports may belong to; raise a StorageError if that fails."""
        identifiers = {origin.identifier for origin in origins if origin.identifier is not None}
        names = {self.named_by(origin) for origin in origins} - {None}
        names.add(self._settings.default)
        wanted = sorted({name for name in names if name is not None} | identifiers)
        self._known, identified = await self._meters.find_all(wanted)
        self._identified = {}
        for known, meter in identified.items():
            self._identified.setdefault(supply_point(known), meter)
        self._first = [*await self._meters.first(2)]

    def meter_of(self, origin: ReportOrigin) -> MeterRecord | NewMeter:
        """Return the meter of a report; raise ReportError without one."""
        identifier = origin.identifier
        if self._name is not None:
            return self._named(self._name, origin)
        if identifier is not None and (known := self._identified_by(identifier)):
            return known
        name = self.named_by(origin)
        if name is not None:
            return self._named(name, origin)
        if not self._first:
            return self._register(self._settings.default or MAIN_METER, identifier)
        if identifier is not None:
            return self._unknown(identifier, origin)
        if len(self._first) == 1:
            return self._first[0]
        return self._default(origin)

    def named_by(self, origin: ReportOrigin) -> str | None:
        """Return the name of the meter that the command or the file's name gives."""
        return self._name or meter_in_name(self._settings.file_name, origin.file_name)

    def _named(self, name: str, origin: ReportOrigin) -> MeterRecord | NewMeter:
        known = self._known.get(name) or self._new.get(name) or self._identified_by(name)
        if known is not None:
            return known
        if not self._registers:
            raise ReportError(
                f"{origin.path}: there is no meter {name!r:.80}: to register it, run elecdata load"
                f" --meter {shlex.quote(name)} --register {shlex.quote(origin.path)}"
            )
        # Identifiers are personal: they become no public ids.
        is_identifier = is_same_meter(name, origin.identifier)
        return self._register(random_public_id() if is_identifier else name, origin.identifier)

    def _identified_by(self, identifier: str) -> MeterRecord | NewMeter | None:
        """Return the meter that reports call so."""
        return self._identified.get(supply_point(identifier))

    def _unknown(self, identifier: str, origin: ReportOrigin) -> MeterRecord | NewMeter:
        """Return the meter of an identifier that none has on record."""
        if self._registers:
            return self._register(random_public_id(), identifier)
        if len(self._first) > 1:
            raise ReportError(
                f"{origin.path}: no meter is {identifier} in reports: add --register to load it as"
                " a new meter, or --meter NAME to say which one it is"
            )
        (only,) = self._first
        if only.identifier is not None:
            raise ReportError(
                identifier_conflict(only.public_id, only.identifier, origin.path, identifier)
            )
        self._first = [replace(only, identifier=identifier)]
        self._identified[supply_point(identifier)] = only
        return only

    def _default(self, origin: ReportOrigin) -> MeterRecord | NewMeter:
        """Return the meter of a report that does not tell whose it is, of several meters."""
        default = self._settings.default
        if default is None:
            raise ReportError(
                f"{origin.path}: there are several meters, and the report does not tell whose it"
                " is: say so with --meter NAME, meter.file_name or meter.default"
            )
        known = self._known.get(default) or self._new.get(default)
        if known is None:
            raise ReportError(f"{origin.path}: meter.default: there is no meter {default}")
        return known

    def _register(self, public_id: str, identifier: str | None) -> NewMeter:
        meter = NewMeter(public_id, identifier)
        self._new[public_id] = meter
        if identifier is not None:
            self._identified[supply_point(identifier)] = meter
        self._first = [*self._first, meter][:2]
        return meter


def meter_in_name(pattern: str | None, name: str) -> str | None:
    """Return what stands for {meter} in the name of a file; None if the name does not match."""
    if pattern is None:
        return None
    found = _expression(pattern).fullmatch(name)
    return found and found["meter"]


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\{meter\}|\*|\?)", pattern)
    expression = "".join(_WILDCARDS.get(part, re.escape(part)) for part in parts)
    return re.compile(f"{expression}(?:\\.gz)?", re.DOTALL)
