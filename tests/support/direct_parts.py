"""Readings that tests import without a report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from domain.report_source import RowBatch
from domain.time.sampling_interval import Differences, IntervalSpan
from tests.support.reference_figures import decimal

Values = list[int | None]


@dataclass(frozen=True)
class Part:
    """Readings on their way in: quantities in hundred-thousandths by instant.

    These are the eight, or all and whether the reading is estimated.
    """

    zone: ZoneInfo
    readings: Sequence[tuple[datetime, Values]]
    said_interval: int | None = 900
    columns: Sequence[str] | None = None
    """The quantities that it has; by default all that its readings are as long as."""
    marks: bool | None = None
    """Whether it says which readings are estimated; by default if they are so long."""

    name = "part"
    sha256 = "0" * 64
    rejected = 0
    identifier = None
    missing = 1
    format = "monitoring"

    @property
    def tells_estimated(self) -> bool:
        return self._is_full if self.marks is None else self.marks

    @property
    def _is_full(self) -> bool:
        return len(self.readings[0][1]) > len(QUANTITY_NAMES)

    @property
    def quantities(self) -> Sequence[str]:
        if self.columns is not None:
            return self.columns
        return ALL_QUANTITY_NAMES if self._is_full else QUANTITY_NAMES

    @property
    def span(self) -> tuple[str, str]:
        times = [local(at, self.zone) for at, _ in self.readings]
        return min(times), max(times)

    @property
    def said_spans(self) -> Sequence[IntervalSpan]:
        if self.said_interval is None:
            return []
        first = min(int(at.timestamp()) for at, _ in self.readings)
        return [IntervalSpan(first, self.said_interval, is_said=True)]

    @property
    def differences(self) -> Differences:
        return Differences.of_runs((int(at.timestamp()), (0,)) for at, _ in self.readings)

    def batches(self) -> Iterator[RowBatch]:
        for begin in range(0, len(self.readings), 70):
            some = self.readings[begin : begin + 70]
            times = [local(at, self.zone) for at, _ in some]
            lines = [
                ",".join((str(number), time, ahead(at, self.zone), *written(values))) + "\n"
                for number, (time, (at, values)) in enumerate(
                    zip(times, some, strict=True), begin + 1
                )
            ]
            rows = "".join(lines).encode()
            yield RowBatch(rows, len(some), min(times), max(times), self._is_full)


def written(values: Values) -> list[str]:
    """Return the values of a reading as a RowBatch has them."""
    texts = [decimal(value) for value in values[: len(ALL_QUANTITY_NAMES)]]
    return [*texts, *("1" if value else "" for value in values[len(texts) :])]


def local(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def ahead(at: datetime, zone: ZoneInfo) -> str:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return str(int(offset.total_seconds()))
