"""What the columns of a table hold: quantities, the meter, the quality of readings."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from domain.columns import Column, Columns
from domain.fixed_point import SCALE
from domain.report_source import RowBatch
from loader.inspect.row_times import RowTimes
from loader.inspect.sheet import Sheet, split_line
from loader.inspect.sheet_columns import SheetColumn, looks_like_identifier
from loader.inspect.texts.numerals import Numerals, number_unit, number_value
from loader.inspect.texts.words import (
    UnitMeaning,
    common_edges,
    plain_words,
    says,
    unit_in,
    without,
)
from loader.rows.registers import RegisterWatch
from settings import MeterColumns

_EXPORTED = {"energy": "exported_energy", "reactive_energy": "exported_reactive_energy"}
_ENERGIES = ("energy", "exported_energy", "reactive_energy", "exported_reactive_energy")
_SUMS = ("energy", "exported_energy")
"""The quantities of which several columns may be parts: of tariffs or phases."""
_MAX_ALIKE = 20
"""Columns of a quantity; more are the intervals of a day with others between them."""
_OTHERS = ("voltage", "intensity", "power factor", "maximeter")
_METERS = ("cups zahlpunkt zaehlpunkt ean prm mprn mpan pod nmi", "meter supply", "")
"""Words for the point of supply, then for the meter; a serial number comes last."""
_MOST_ENERGY = 10.0**12
"""More than any register has."""
_ROLES = {"of thousands": "the decimal mark", "the decimal mark": "of thousands"}
_METER_IN_HEADING = re.compile(r"[A-Z]{2}[A-Z0-9]{0,4}[0-9]{8,}")
_OBIS = re.compile(r"(?:\d+-\d+:)?([1-8])\.(?:8|9|29|7)\b")
_OBIS_QUANTITIES = {
    "1": "energy",
    "2": "exported_energy",
    "3": "reactive_energy",
    "4": "exported_reactive_energy",
}
_SIGNS = {"a+": "energy", "a-": "exported_energy", "r+": "reactive_energy"}
_CHANNELS = {"e": "energy", "b": "exported_energy", "q": "reactive_energy"}
"""The letters of channels in Australia, before their number."""
_ESTIMATED = re.compile(r"e|est.*|calc.*|rechn.*|gesch.*|ersatz.*|stim.*|ges.*", re.IGNORECASE)
_REAL = re.compile(r"r|a|real|read|val|actual|leida|le[ií]do|reel|w", re.IGNORECASE)


def _estimated_words(values: Sequence[str]) -> list[str] | None:
    """Return patterns of the words for estimated readings; None if there are other words."""
    if not all(_ESTIMATED.fullmatch(each) or _REAL.fullmatch(each) for each in values):
        return None
    estimated = [each for each in values if _ESTIMATED.fullmatch(each)]
    return ["E*"] if all(each.startswith("E") for each in estimated) else estimated


@dataclass
class Holdings:
    """What the columns hold, as the sections of a format."""

    columns: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    identifier: str | int | dict[str, str] | None = None
    """What names the meter, as the key `identifier` has it."""
    meters: Sequence[str] = ()
    """The meter that each row is of, if a column names it."""
    decimal: str = "."
    thousands: str = ""
    missing: Sequence[str] = ()
    """Words that stand for missing values."""
    has_power: bool = False
    """Whether energy is worked out from mean power."""
    registers: list[str] = field(default_factory=list)
    """The columns that are those of cumulative registers."""
    used: set[int] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)


class _Finder:
    """Finds what the columns that tell no time hold."""

    def __init__(self, sheet: Sheet, columns: Sequence[SheetColumn], times: RowTimes) -> None:
        self._sheet = sheet
        self._times = times
        self._columns = [each for each in columns if each.place not in times.used]
        self._powers: list[SheetColumn] = []
        """Columns of mean power that stand for energy."""
        self.found = Holdings()

    def find(self) -> Holdings:
        """Return what was found."""
        self._find_numerals()
        self._find_identifier()
        self._find_quality()
        if self._times.day_columns:
            self._take_day(self._times.day_columns)
        else:
            self._take_columns()
        return self.found

    def _find_numerals(self) -> None:
        numerals = Numerals()
        numbers = [each for each in (*self._columns, *self._times.day_columns) if each.is_number]
        for column in numbers:
            numerals.add(column.values)
        units = [column.unit for column in numbers if column.unit is not None]
        numerals.are_thousandths = bool(units) and all(each.factor == "0.001" for each in units)
        self.found.decimal = numerals.decimal
        self.found.thousands = numerals.thousands_mark
        if numerals.is_doubtful and (self._sheet.delimiter, numerals.decimal) != (";", ","):
            role = "of thousands" if numerals.thousands_mark else "the decimal mark"
            mark = min(numerals.doubtful)
            self.found.doubts.append(f"{mark!r} is {role}, not {_ROLES[role]}")
        words = [word for column in numbers for word in column.words]
        self.found.missing = list(dict.fromkeys(words))

    def _find_identifier(self) -> None:
        """Take the column that names the meter: the point of supply rather than a serial number."""
        candidates = [each for each in self._columns if each.is_identifier]
        for words in _METERS:
            for column in candidates:
                if not words or {*words.split()} & {*plain_words(column.name).split()}:
                    self.found.identifier = column.reference
                    self.found.meters = column.texts
                    self.found.used.add(column.place)
                    return
        self.found.identifier = self._meter_in_heading() or self._meter_above()

    def _meter_in_heading(self) -> dict[str, str] | None:
        """Return the pattern of a heading that names the meter of its column."""
        for column in self._columns:
            if column.is_number and (found := _METER_IN_HEADING.search(column.name)):
                before, after = column.name[: found.start()], column.name[found.end() :]
                after = re.sub(r"[0-9]{5,}", "*", after)
                return {"heading": f"{before}{{meter}}{after}"}
        return None

    def _meter_above(self) -> dict[str, str] | None:
        """Return the pattern of a line above the heading that names the meter."""
        delimiter = self._sheet.delimiter
        for line in self._sheet.above:
            name, *texts = split_line(line.text, delimiter)
            values = [text for text in texts if text]
            if says(name, "meter") and len(values) == 1 and looks_like_identifier(values[0]):
                before, _, after = line.text.partition(values[0])
                return {"line": f"{before}{{meter}}{after.rstrip().rstrip(delimiter)}"}
        return None

    def _find_quality(self) -> None:
        """Take the column that says which readings are estimated, if its words are known."""
        for column in self._columns:
            if not column.says("quality") or not column.has_categories or column.is_number:
                continue
            estimated = _estimated_words(column.values)
            if estimated is not None:
                self.found.quality = {"column": column.reference, "estimated": estimated}
                if not any(map(_ESTIMATED.fullmatch, column.values)):
                    self.found.doubts.append(f"{column.label}: do estimated readings begin with E?")
                self.found.used.add(column.place)
                return

    def _common_unit(self) -> UnitMeaning | None:
        """Return the unit that a column of units says, or a line above the heading."""
        for column in self._columns:
            if len(column.values) == 1 and not column.is_number:
                unit = unit_in(column.values[0])
                text = column.values[0]
                if unit is not None and (column.says("unit") or len(text) < 6 or text[-1] == ")"):
                    return unit
        lines = [line.text for line in self._sheet.above]
        units = {unit for line in lines if (unit := unit_in(line)) is not None}
        return units.pop() if len(units) == 1 else None

    # A day in a row

    def _take_day(self, columns: Sequence[SheetColumn]) -> None:
        """Take the columns of a day in a row as one quantity."""
        unit = columns[0].unit or self._common_unit()
        first, last = columns[0].reference, columns[-1].reference
        quantity = "energy" if unit is None else unit.quantity
        column = {"first": first, "last": last, **_factor(unit)}
        if flags := self._times.flag_columns:
            every = {"every": flags[0].place - columns[0].place + 1}
            column |= every
            self._take_flags(flags, every)
        if quantity == "power":
            quantity, self.found.has_power = "energy", True
            column["kind"] = "power"
        self.found.columns[quantity] = column
        self.found.used.update(each.place for each in columns)
        if unit is None:
            self.found.doubts.append("is it energy in kWh? nothing tells the unit")

    def _take_flags(self, columns: Sequence[SheetColumn], every: dict[str, int]) -> None:
        """Take the columns that say of each interval if it was estimated, if words are known."""
        values = dict.fromkeys(text for column in columns for text in column.values)
        estimated = _estimated_words([*values])
        if estimated is None:
            return
        ends = {"first": columns[0].reference, "last": columns[-1].reference}
        self.found.quality = ends | every | {"estimated": estimated}
        if not any(_ESTIMATED.fullmatch(each) for each in values):
            self.found.doubts.append(f"{columns[0].label}: do estimated readings begin with E?")

    # Columns

    def _take_columns(self) -> None:
        """Take the columns of numbers."""
        numbers = [
            each
            for each in self._columns
            if each.is_number and not each.is_identifier and each.place not in self.found.used
        ]
        groups: defaultdict[str, list[SheetColumn]] = defaultdict(list)
        common = self._common_unit()
        for column in numbers:
            if quantity := _quantity(column, column.unit or common):
                groups[quantity].append(column)
        if not groups and numbers:
            groups["energy"] = numbers[:1]
        for quantity in [each for each in groups if len(groups[each]) > _MAX_ALIKE]:
            del groups[quantity]
        self._move_power(groups)
        meters = self._meters_in_columns(groups)
        if meters is not None:
            groups = defaultdict(list, energy=groups["energy"])
        taken = {
            quantity: each if meters is not None else self._chosen(quantity, each)
            for quantity, each in groups.items()
        }
        for quantity, columns in taken.items():
            self._take(quantity, columns, common)
        if meters is not None:
            self._take_meters(meters)
        energies = {name: taken[name] for name in taken if name in _ENERGIES}
        self._find_registers(energies, common)
        self._divide_rows()
        self._tell_doubts(groups, common)

    def _move_power(self, groups: dict[str, list[SheetColumn]]) -> None:
        """Let mean power stand for energy where there is no energy."""
        for power, energy in (("power", "energy"), ("exported_power", "exported_energy")):
            if groups.get(power) and not groups.get(energy):
                groups[energy] = groups[power]
                self._powers += groups[power]
                self.found.has_power = True
        groups.pop("exported_power", None)

    def _meters_in_columns(
        self, groups: Mapping[str, Sequence[SheetColumn]]
    ) -> str | dict[str, str] | None:
        """Return what tells the meters of the columns of energy; None if they are of one meter."""
        columns = groups.get("energy", ())
        names = [column.name for column in columns]
        if len(set(names)) < max(2, len(names)) or isinstance(self.found.identifier, str | int):
            return None
        before, after = common_edges(names)
        meters = [name[len(before) : len(name) - len(after)] for name in names]
        are_meters = all(map(looks_like_identifier, meters)) or all(
            each.says("meter") and not says(meter, "low tariff")
            for each, meter in zip(columns, meters, strict=True)
        )
        if not all(meters) or not are_meters:
            return None
        pattern = f"{before}{{meter}}{after}"
        is_theirs = MeterColumns(pattern).positions(self._sheet.names or names).keys() == {*meters}
        return pattern if is_theirs else dict(zip(names, meters, strict=True))

    def _take_meters(self, meters: str | dict[str, str]) -> None:
        """Let the columns of energy be those of several meters, not parts of a sum."""
        section = self.found.columns["energy"]
        del section["header"]
        self.found.columns["energy"] = {"meters": meters, **section}
        self.found.identifier = None
        self.found.evidence[:] = [
            each for each in self.found.evidence if not each.startswith("energy is the sum")
        ]
        self.found.evidence.append("each column of energy is that of another meter")

    def _chosen(self, quantity: str, columns: list[SheetColumn]) -> list[SheetColumn]:
        """Return the columns of a quantity: those that make a sum, or the likeliest one."""
        intervals = [each for each in columns if not each.says("register")]
        if intervals and len(intervals) < len(columns) and any(c.filled for c in intervals):
            columns = intervals
        alike: defaultdict[str, list[SheetColumn]] = defaultdict(list)
        for column in columns:
            alike[without(column.name, "low tariff")].append(column)
        groups = sorted(
            alike.values(),
            key=lambda group: (not group[0].says("imported"), not group[0].says("consumed")),
        )
        if len(groups) > 1:
            others = ", ".join(each.label for group in groups[1:] for each in group)
            taken = " + ".join(each.label for each in groups[0])
            self.found.doubts.append(f"{quantity}: {taken}, or {others}?")
        first, *more = groups[0]
        is_sum = quantity in _SUMS and len({each.name for each in groups[0]}) == len(groups[0])
        if more and not is_sum and quantity in _ENERGIES:
            others = ", ".join(each.label for each in more)
            self.found.doubts.append(f"{quantity}: {first.label}, or {others}?")
        return groups[0] if is_sum else [first]

    def _take(
        self, quantity: str, columns: Sequence[SheetColumn], common: UnitMeaning | None
    ) -> None:
        """Add the section of a quantity."""
        unit = columns[0].unit or common
        references = [each.reference for each in columns]
        section: dict[str, Any] = {"header": references[0] if len(columns) == 1 else references}
        section |= _factor(unit)
        is_power = unit is not None and unit.quantity in ("power", "reactive_power")
        if quantity in _ENERGIES and (is_power or columns[0] in self._powers):
            section["kind"] = "power"
        if unit_behind := number_unit(columns[0].values):
            section["unit"] = unit_behind
        self.found.columns[quantity] = section
        self.found.used.update(each.place for each in columns)
        if len(columns) > 1:
            self.found.evidence.append(
                f"{quantity} is the sum of {' + '.join(each.label for each in columns)}"
            )

    def _find_registers(
        self, taken: dict[str, list[SheetColumn]], common: UnitMeaning | None
    ) -> None:
        """Say which energies are states of registers: all that never fall, if one of them is."""
        sums = {quantity: self._sums(columns) for quantity, columns in taken.items()}
        if not any(self._rises(numbers) for each in sums.values() for numbers in each):
            return
        for quantity, columns in taken.items():
            section = self.found.columns[quantity]
            is_called_power = columns[0] in self._powers and not (columns[0].unit or common)
            may_be_register = "kind" not in section or is_called_power
            if may_be_register and not _rises_and_falls(sums[quantity][0]):
                section["kind"] = "register"
                if is_called_power:
                    self.found.columns.pop("power", None)
                    self.found.has_power = False
                self.found.registers += [each.label for each in columns]

    def _sums(self, columns: Sequence[SheetColumn]) -> list[Sequence[float]]:
        """Return the numbers of columns in order of time: their sums, then those of each."""
        values = [
            [number_value(text, self.found.decimal) or 0.0 for text in column.texts]
            for column in columns
        ]
        return [[sum(numbers) for numbers in zip(*values, strict=True)], *values]

    def _rises(self, numbers: Sequence[float]) -> bool:
        watch = RegisterWatch("energy")
        starts = np.array(self._times.starts[: len(numbers)], np.int64)
        if len(starts):
            values = np.clip(numbers[: len(starts)], -_MOST_ENERGY, _MOST_ENERGY) * SCALE
            quantities = {"energy": Column(np.rint(values).astype(np.int64))}
            ids, flags = np.arange(len(starts)), np.zeros(len(starts), np.uint8)
            columns = Columns(ids, starts, quantities, flags)
            watch.add(RowBatch.of(columns, np.zeros(len(starts), np.int64)))
        return watch.is_register

    # Rows of several kinds

    def _divide_rows(self) -> None:
        """Take only the rows of a kind, or each kind for its quantity, where times have several."""
        kind = self._kind_column()
        if kind is None or "energy" not in self.found.columns:
            return
        self.found.used.add(kind.place)
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for value in kind.values:
            groups[_quantity_of_rows(value)].append(value)
        section = self.found.columns.pop("energy")
        key = _key(kind)
        unit = unit_in(kind.values[0])
        if "factor" not in section and unit is not None:
            section |= _factor(unit)
            if unit.quantity == "power":
                section["kind"], self.found.has_power = "power", True
        self.found.columns.pop("power", None)
        if len(groups) == 1:
            first, *others = kind.values
            self.found.rows = {key: first}
            self.found.columns["energy"] = section
            self.found.doubts.append(
                f"{kind.label}: rows of {first} are read, those of {', '.join(others)} are not"
            )
            return
        for quantity, values in groups.items():
            patterns = _patterns(values, [v for v in kind.values if v not in values])
            where = {"where": {key: patterns[0] if len(patterns) == 1 else patterns}}
            self.found.columns[quantity] = section | where
        self.found.evidence.append(f"{kind.label} says what a row is of")

    def _kind_column(self) -> SheetColumn | None:
        """Return the column that tells rows of one time apart, other than that of the meter."""
        starts = self._times.starts
        if len({*starts}) * 3 > len(starts) * 2 or len(starts) != len(self._sheet.rows):
            return None
        named = self.found.meters or [""] * len(starts)
        if len({*zip(starts, named, strict=True)}) * 10 > 9 * len(starts):
            return None
        for column in self._columns:
            if (
                column.place in self.found.used
                or not column.has_categories
                or len(column.values) < 2
            ):
                continue
            if len({*zip(starts, named, column.texts, strict=True)}) * 10 > 9 * len(starts):
                return column
        return None

    def _tell_doubts(
        self, groups: dict[str, list[SheetColumn]], common: UnitMeaning | None
    ) -> None:
        """Say what nothing in the file tells."""
        first = groups.get("energy")
        if (
            first
            and not (first[0].unit or common)
            and "kind" not in self.found.columns.get("energy", {})
        ):
            self.found.doubts.append(
                f"{first[0].label}: is it energy in kWh? for Wh, add factor: 0.001;"
                " for mean power, kind: power"
            )
        if self.found.has_power:
            is_unsaid = first and not (first[0].unit or common)
            in_kw = " in kW? for W, add factor: 0.001" if is_unsaid else "?"
            self.found.doubts.append(
                f"energy is worked out from mean power: is it mean power{in_kw}"
            )
        if self.found.registers:
            self.found.doubts.append(
                f"{', '.join(self.found.registers)}: are these states of a register?"
            )


def find_holdings(sheet: Sheet, columns: Sequence[SheetColumn], times: RowTimes) -> Holdings:
    """Return what the columns of a table hold."""
    return _Finder(sheet, columns, times).find()


def _quantity(column: SheetColumn, unit: UnitMeaning | None) -> str | None:
    """Return the quantity of a column; None if it is none that is stored."""
    is_other = column.unit is None and column.says("other")
    if column.says("own use") or column.says("money") or is_other:
        return None
    if quantity := _obis_quantity(column.name):
        return quantity
    is_exported = column.says("exported")
    if column.unit is None and (other := next(filter(column.says, _OTHERS), None)):
        return other.replace(" ", "_")
    is_reactive = column.says("reactive")
    kind = "energy" if unit is None else unit.quantity
    if column.unit is None and unit is None and column.says("power"):
        kind = "power"
    if kind in ("power", "reactive_power") and column.says("maximeter"):
        return "maximeter"
    if is_reactive and kind in ("energy", "power"):
        kind = f"reactive_{kind}"
    if is_exported and kind in _EXPORTED:
        return _EXPORTED[kind]
    return "exported_power" if is_exported and kind == "power" else kind


def _obis_quantity(text: str) -> str | None:
    code = _OBIS.search(text)
    return None if code is None else _OBIS_QUANTITIES.get(code[1])


def _quantity_of_rows(value: str) -> str:
    """Return the quantity of the rows whose kind has this name."""
    if value.casefold() in _SIGNS:
        return _SIGNS[value.casefold()]
    if quantity := _obis_quantity(value):
        return quantity
    if re.fullmatch(r"[EBQ][1-9]", value):
        return _CHANNELS[value[0].casefold()]
    kind = "reactive_energy" if says(value, "reactive") else "energy"
    return _EXPORTED[kind] if says(value, "exported") else kind


def _patterns(values: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return patterns for values: their first word, if no other value begins with it."""
    found = []
    for value in values:
        word, blank, _ = value.partition(" ")
        is_own = blank and len(word) > 3 and not any(each.startswith(word) for each in others)
        found.append(f"{word}*" if is_own else value)
    return list(dict.fromkeys(found))


def _key(column: SheetColumn) -> Any:
    """Return the name of a column as a key."""
    return column.reference if isinstance(column.reference, str | int) else column.place + 1


def _rises_and_falls(numbers: Sequence[float]) -> bool:
    signs = {(after > before) - (after < before) for before, after in pairwise(numbers)}
    return signs >= {-1, 1}


def _factor(unit: UnitMeaning | None) -> dict[str, Any]:
    return {} if unit is None or unit.factor == "1" else {"factor": float(unit.factor)}
