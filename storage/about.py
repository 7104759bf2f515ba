"""One record that says which meter it is, and from when to when it has readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from storage.engine import Engine
from storage.scope import Period, scope
from storage.table import Field, Kind, Table, given, nothing

FIELDS = (
    Field("first_reading", Kind.INSTANT, "Start of the first reading"),
    Field("last_reading", Kind.INSTANT, "Start of the last reading"),
    Field("end", Kind.INSTANT, "End of the last reading's interval"),
    Field("timezone", Kind.TEXT, "Zone of the meter"),
    Field("interval_seconds", Kind.COUNT, "From the start of a reading to that of the next"),
    Field("identifier", Kind.TEXT, "What reports call the meter"),
)


@dataclass(frozen=True, slots=True)
class About:
    """What the meter is; it costs a look at both ends of an index."""

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return "about"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @classmethod
    def of(cls, _: Mapping[str, str]) -> Self:
        """The question; no parameter changes it."""
        return cls()

    async def table(self, engine: Engine) -> Table:
        """One row, or none where there are no readings."""
        whole = await scope(engine, Period())
        if whole is None:
            return nothing(self.fields)
        meter = whole.meter
        row = (
            whole.first_reading,
            whole.last_reading,
            whole.until,
            meter.zone.name,
            meter.interval,
            meter.identifier,
        )
        return Table(self.fields, whole.zone, 1, given([row]))
