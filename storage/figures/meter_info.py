"""Meter information: one record of its name, zone, interval, first and last reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from domain.parameters import Parameter, Params
from storage.backends.base import ReadEngine
from storage.figures.result import Field, FieldType, ResultTable, as_chunks
from storage.figures.selection import Period, Selection, interval_note, select
from storage.meters import Meter, spans_text

INTERVAL_MEANS = "Seconds from one reading to the next; null if unknown, or if there are several"

FIELDS = (
    Field("first_reading", FieldType.INSTANT, "Start of the first reading"),
    Field("last_reading", FieldType.INSTANT, "Start of the last reading"),
    Field("end", FieldType.INSTANT, "End of the last reading's interval"),
    Field("timezone", FieldType.TEXT, "Time zone of the meter"),
    Field("interval_seconds", FieldType.COUNT, INTERVAL_MEANS),
    Field("intervals", FieldType.TEXT, "Intervals in seconds, each with its first reading"),
    Field("identifier", FieldType.TEXT, "Name of the meter in reports"),
    Field("meter", FieldType.TEXT, "Name of the meter in requests"),
    Field("name", FieldType.TEXT, "Name of the meter for people"),
)


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """A query for the meter, which costs a look at both ends of an index."""

    parameters: ClassVar[Sequence[Parameter]] = ()

    @property
    def key(self) -> str:
        """A text that is equal for queries with the same result."""
        return "about"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return FIELDS

    @classmethod
    def of(cls, _: Params) -> Self:
        """Return the query; it has no parameters."""
        return cls()

    async def select(self, engine: ReadEngine, meter: Meter) -> Selection | None:
        """Return all readings."""
        return await select(engine, meter, Period())

    def scanned(self, selection: Selection) -> int:  # noqa: ARG002 - whatever is selected
        """Return how many readings are read: none."""
        return 0

    async def table(self, engine: ReadEngine, selection: Selection) -> ResultTable:  # noqa: ARG002 - the selection tells all
        """Return one row."""
        meter = selection.meter
        ends = selection.first_reading, selection.last_reading + 1
        row = (
            selection.first_reading,
            selection.last_reading,
            None if meter.intervals.at(selection.last_reading) is None else selection.until,
            meter.zone.name,
            next(iter(selection.lengths)) if len(selection.lengths) == 1 else None,
            spans_text(meter.intervals, meter.zone, *ends),
            meter.identifier,
            meter.public_id,
            meter.name,
        )
        metadata = interval_note(selection)
        return ResultTable(self.fields, selection.zone, 1, as_chunks([row]), metadata)
