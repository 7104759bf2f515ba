"""Reading the Green Button's XML (ESPI): intervals in UTC, of usage points and meter readings."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from loader.rows.errors import ReportError
from loader.rows.sorted_rows import NumberedRows, SortedRows, split_rows
from loader.rows.spool import Spool
from loader.sources.tables import (
    GREEN_BUTTON_METER,
    GREEN_BUTTON_QUALITY,
    GREEN_BUTTON_START,
    QUANTITY_COLUMNS,
    in_chunks,
    number_of,
    without_exponent,
)
from loader.sources.xml_reader import XmlReader

_ROOTS = {"feed", "entry", "IntervalBlock", "UsagePoint"}
_MAX_PARTS = 10_000
"""Meter readings, reading types and usage points of a file."""
_SEPARATOR = "\x1f"

_WATT_HOURS, _WATTS, _VAR_HOURS = "72", "38", "73"
_REVERSE = "19"
"""The flow direction of energy that is fed in."""
_HIGHEST = "8"
"""The data qualifier of highest values."""
_REGISTERS = {"1", "2", "3"}
"""How readings accumulate that are states of a register."""
_ESTIMATED = "8", "9", "12"
"""The qualities of readings that are estimated or projected."""
_VALID = "0"
_QUALITY = "quality"
"""The key of the quality in a row, beside the names of quantities."""
_ELECTRICITY = {"", "0", "1", "2"}
"""The commodities that are electricity or not said."""
_MAX_MULTIPLIER = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SECONDS = 2**33
_INTEGER = re.compile(r"-?[0-9]{1,12}")
_FIELDS = {
    *("uom", "flowDirection", "accumulationBehaviour", "powerOfTenMultiplier", "commodity"),
    *("dataQualifier", "intervalLength", "defaultQuality"),
}
"""What a reading type says that matters."""


@dataclass(slots=True)
class _Entry:
    """The links of an entry, of which `up` leads to the resource that it belongs to."""

    own: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _MeterReading:
    """What intervals are of."""

    point: str
    """The link of the usage point."""
    related: list[str]
    shortest: int = 0
    """The seconds of the shortest interval."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the intervals of a meter reading measure."""

    quantity: str
    exponent: int
    """The power of ten that values are multiplied by, to be in kilo."""
    quality: str
    """That of values which do not tell theirs."""


def green_button_rows(
    path: str, blocks: Iterable[bytes], unread: list[str]
) -> Iterator[NumberedRows]:
    """Yield a table with a row for each usage point and time, sorted by these.

    What meter readings are not read is named in `unread`. Raises ReportError if the document has no
    intervals of electricity, or is damaged.
    """
    spool = Spool(path)
    try:
        reading = _Document(path, SortedRows(spool))
        parser = XmlReader(path, reading.start, reading.end)
        reading.parser = parser
        for block in blocks:
            parser.feed(block)
        parser.close()
        joining = _Joining(path, reading)
        unread += sorted({*joining.left_out})
        yield from joining.chunks()
    finally:
        spool.close()


class _Document:
    """Takes the elements of a document in their order."""

    def __init__(self, path: str, intervals: SortedRows) -> None:
        self.path = path
        self.intervals = intervals
        """The intervals, by usage point and time."""
        self.meter_readings: dict[str, _MeterReading] = {}
        """By their links, as far as these are known."""
        self.types: dict[str, dict[str, str]] = {}
        """What reading types say, by their links."""
        self.points: set[str] = set()
        """The usage points that have intervals."""
        self.parser: XmlReader
        self._has_root = False
        self._entry = _Entry()
        self._type: dict[str, str] | None = None
        self._reading: dict[str, str] | None = None
        self._line = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "IntervalReading":
            self._reading = {}
            self._line = self.parser.line
        elif name == "link":
            self._link(attributes)
        elif name == "entry":
            self._entry = _Entry()
        elif name == "ReadingType":
            self._type = {}
        if not self._has_root:
            self._has_root = True
            if name not in _ROOTS:
                raise ReportError(
                    f"{self.path}: expected a report, this is an XML document with the element"
                    f" {name!a:.40}: XML is read if it is Green Button (ESPI); download the"
                    " readings as CSV"
                )

    def end(self, name: str, text: str) -> None:
        """Take the end of an element, and its text."""
        reading = self._reading
        if reading is not None:
            if name in ("start", "duration", "value"):
                reading[name] = text.strip()
            elif name == "quality":
                if reading.get(name) not in _ESTIMATED:
                    reading[name] = text.strip()
            elif name == "IntervalReading":
                self._add_interval(reading)
                self._reading = None
        elif self._type is not None and name in _FIELDS:
            self._type[name] = text.strip()
        elif name == "entry":
            self._end_entry()

    def _link(self, attributes: dict[str, str]) -> None:
        link, kind = attributes.get("href", "").rstrip("/"), attributes.get("rel")
        if kind == "self":
            self._entry.own = link
        elif kind == "up":
            self._entry.up = link
        elif kind == "related":
            if len(self._entry.related) > _MAX_PARTS:
                raise self._too_many()
            self._entry.related.append(link)

    def _end_entry(self) -> None:
        entry = self._entry
        if self._type is not None:
            self.types[entry.own] = self._type
            self._type = None
        elif "/MeterReading" in entry.own and "/IntervalBlock" not in entry.own:
            known = self._meter_reading(entry.own)
            known.related = entry.related
        if len(self.types) > _MAX_PARTS:
            raise self._too_many()

    def _meter_reading(self, link: str) -> _MeterReading:
        known = self.meter_readings.get(link)
        if known is None:
            if len(self.meter_readings) > _MAX_PARTS:
                raise self._too_many()
            point = link.partition("/MeterReading")[0]
            known = self.meter_readings[link] = _MeterReading(point, [])
        return known

    def _add_interval(self, reading: dict[str, str]) -> None:
        entry = self._entry
        block = entry.up or entry.own
        link = block.partition("/IntervalBlock")[0]
        start, duration = reading.get("start", ""), reading.get("duration", "")
        if not _INTEGER.fullmatch(start) or not 0 <= int(start) < _MAX_SECONDS:
            raise self._error("start", start, "seconds since 1970")
        if not _INTEGER.fullmatch(duration) or int(duration) < 1:
            raise self._error("duration", duration, "the seconds of the interval")
        value = reading.get("value", "")
        if _SEPARATOR in value or len(value) > 60 or "\n" in value:
            raise self._error("value", value, "a number")
        meter_reading = self._meter_reading(link)
        seconds = int(duration)
        if not meter_reading.shortest or seconds < meter_reading.shortest:
            meter_reading.shortest = seconds
        point = meter_reading.point
        self.points.add(point)
        row = _SEPARATOR.join((link, str(seconds), value, reading.get("quality", "")[:5]))
        key = f"{point}{_SEPARATOR}{int(start):010}"
        self.intervals.add([key], [row.encode("utf-8", "replace")], [self._line])

    def _error(self, name: str, value: str, expected: str) -> ReportError:
        shown = value.encode("unicode_escape").decode()[:60] or "nothing"
        return ReportError(f"{self.path}:{self._line}: {name}: {shown}: expected {expected}")

    def _too_many(self) -> ReportError:
        return ReportError(f"{self.path}: has over {_MAX_PARTS} meter readings: expected a report")


class _Joining:
    """Joins the intervals of a usage point and time."""

    def __init__(self, path: str, document: _Document) -> None:
        self._path = path
        self._intervals = document.intervals
        self._has_meter = len(document.points) > 1
        self._series: dict[str, _Measured] = {}
        """What is read, by the link of the meter reading."""
        self.left_out: list[str] = []
        """What others are."""
        for link, each in document.meter_readings.items():
            if each.shortest:
                self._add_series(link, each, document.types)
        if not self._series:
            found = "; ".join(sorted({*self.left_out})[:3]) or "nothing"
            raise ReportError(
                f"{path}: expected intervals of electricity in Wh, VArh or W: found {found}"
            )
        self._leave_out_sums(document.meter_readings)
        self._quantities = [
            name
            for name in QUANTITY_COLUMNS
            if any(series.quantity == name for series in self._series.values())
        ]
        self._names = _point_names(document.points)

    def chunks(self) -> Iterator[NumberedRows]:
        """Yield the heading and the rows."""
        columns = [QUANTITY_COLUMNS[name] for name in self._quantities]
        meter = [GREEN_BUTTON_METER] * self._has_meter
        return in_chunks(
            self._rows(), ",".join([*meter, GREEN_BUTTON_START, *columns, GREEN_BUTTON_QUALITY])
        )

    def _rows(self) -> Iterator[tuple[int, str]]:
        for key, chunks in self._intervals.take():
            point, start = key.split(_SEPARATOR)
            joined: list[dict[str, str]] = []
            first_line = 0
            for content, lines in chunks:
                for raw, line in zip(split_rows(content), lines, strict=True):
                    if self._add(joined, raw.decode()):
                        first_line = first_line or line
            moment = _EPOCH + timedelta(seconds=int(start))
            names = [self._names[point]] * self._has_meter
            for values in joined:
                fields = (values.get(name, "") for name in self._quantities)
                quality = values.get(_QUALITY, _VALID)
                yield first_line, ",".join([*names, moment.isoformat(), *fields, quality])

    def _add(self, joined: list[dict[str, str]], row: str) -> bool:
        """Add the value of an interval to the row of its time; return whether it is read.

        One that has another value already gets a row of its own, which is then rejected.
        """
        link, _, value, quality = row.split(_SEPARATOR)
        series = self._series.get(link)
        if series is None:
            return False
        number = number_of(value)
        text = value if number is None else without_exponent(number.scaleb(series.exponent))
        text = f'"{text.replace(chr(34), "")}"' if "," in text or '"' in text else text
        quality = quality or series.quality
        for values in joined:
            if series.quantity not in values:
                break
            if values[series.quantity] == text:
                return True
        else:
            values = {}
            joined.append(values)
        values[series.quantity] = text
        if quality in _ESTIMATED or values.get(_QUALITY, _VALID) == _VALID:
            values[_QUALITY] = quality if quality.isdecimal() else _VALID
        return True

    def _add_series(
        self, link: str, reading: _MeterReading, types: dict[str, dict[str, str]]
    ) -> None:
        found = [types[each] for each in reading.related if each in types]
        if not found and len(types) == 1:
            found = [*types.values()]
        if len(found) != 1:
            raise ReportError(
                f"{self._path}: MeterReading {link[-60:]!a}: expected one ReadingType that it is"
                f" linked to, there are {len(found)}"
            )
        series = self._read_as(found[0])
        if isinstance(series, str):
            self.left_out.append(series)
        else:
            self._series[link] = series

    def _read_as(self, kind: dict[str, str]) -> _Measured | str:
        """Return what a reading type measures, or what it is if that is not read."""
        unit, direction = kind.get("uom", ""), kind.get("flowDirection", "")
        if kind.get("commodity", "") not in _ELECTRICITY:
            return f"commodity {kind['commodity']!a:.20}"
        if kind.get("accumulationBehaviour", "") in _REGISTERS:
            return (
                "states of a cumulative register (accumulationBehaviour"
                f" {kind['accumulationBehaviour']})"
            )
        exported = direction == _REVERSE
        if unit == _WATT_HOURS:
            quantity = "exported_energy" if exported else "energy"
        elif unit == _VAR_HOURS:
            quantity = "exported_reactive_energy" if exported else "reactive_energy"
        elif unit == _WATTS and not exported:
            quantity = "maximeter" if kind.get("dataQualifier") == _HIGHEST else "power"
        else:
            return f"uom {unit!a:.20} of flowDirection {direction or 'nothing'!a:.20}"
        multiplier = kind.get("powerOfTenMultiplier", "") or "0"
        if not _INTEGER.fullmatch(multiplier) or abs(int(multiplier)) > _MAX_MULTIPLIER:
            raise ReportError(
                f"{self._path}: powerOfTenMultiplier: {multiplier!a:.40}: expected a whole number"
            )
        return _Measured(quantity, int(multiplier) - 3, kind.get("defaultQuality", "")[:5])

    def _leave_out_sums(self, readings: dict[str, _MeterReading]) -> None:
        """Leave out the sums of days or bills that stand beside the intervals of a quantity."""
        shortest: dict[tuple[str, str], int] = {}
        for link, series in self._series.items():
            reading = readings[link]
            key = reading.point, series.quantity
            shortest[key] = min(shortest.get(key, reading.shortest), reading.shortest)
        for link, series in [*self._series.items()]:
            seconds = readings[link].shortest
            if seconds != shortest[readings[link].point, series.quantity]:
                del self._series[link]
                self.left_out.append(f"{series.quantity} of {seconds} seconds")


def _point_names(points: Iterable[str]) -> dict[str, str]:
    """Return the names of usage points: of their links, what tells them from each other."""
    return {point: _short(point) for point in points}


def _short(link: str) -> str:
    """Return what a link says of the customer and the usage point."""
    path = link.partition("/resource/")[2] or link
    return re.sub(r"[\x00-\x1f,\"]", " ", path)[-64:].strip() or "1"
