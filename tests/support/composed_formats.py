"""Formats composed of keys of all kinds, each with a file that is written as it says."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

from domain.quantities import DECIMALS
from settings import FormatSettings
from tests.support.report_factory import MADRID

METERS = ("AB12", "CD34", "EF56")
ENERGY, EXPORTED, VOLTAGE, POWER = "energy", "exported_energy", "voltage", "power"
_COLUMNS = {ENERGY: "Energía", EXPORTED: "Feed-in", VOLTAGE: "Volt", POWER: "Watt"}
_LEAST = Decimal(1).scaleb(-DECIMALS)
_LOCAL = "%d/%m/%Y %H:%M"
_OF_DAY = ("hour-end", "hour-start", "hour-clock", "period", "order", "day-row")

CHOICES: Mapping[str, tuple[Any, ...]] = {
    "delimiter": tuple(";,|\t"),
    "decimal": tuple(".,"),
    "thousands": (None, None, "'", " "),
    "encoding": ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"),
    "newline": ("\n", "\r\n", "\r"),
    "packing": (None, "gzip", "zip"),
    "time": (
        *("start", "late", "end", "end by start", "iso", "epoch", "epoch-ms", "offset", "columns"),
        *("both", "both clocks", "both by start"),
        *_OF_DAY,
    ),
    "zone": (None, None, "+01:00", "America/New_York"),
    "interval": (3600, 1800, 900),
    "names": ("heading", "place", "none", "matches"),
    "above": (0, 1, 3),
    "is_skip_said": (False, True),
    "has_sep": (False, True),
    "ignored_rows": (False, True),
    "filtered": (False, True),
    "unread": (False, True),
    "trailing": (False, True),
    "is_quoted": (False, False, True),
    "has_blank_lines": (False, True),
    "is_newest_first": (False, False, True),
    "is_interval_asked": (False, False, True),
    "meter": (None, "column", "column", "line", "heading"),
    "energy": ("plain", "factor", "power", "sum", "register", "registers", "round"),
    "others": ((), (VOLTAGE,), (EXPORTED,), (VOLTAGE, EXPORTED), (POWER,)),
    "typed": (False, False, True),
    "quality": (False, True),
    "optional": (None, "there", "absent"),
    "day": ((2024, 7, 1), (2024, 3, 30), (2024, 10, 26), (2024, 3, 9), (2024, 11, 2)),
    "days": (1, 2, 3),
    "fault": (None, "bad", "repeated", "gap"),
}
"""What keys and files may have."""


@dataclass
class _Row:
    start: datetime
    """The interval that the row is of, in UTC."""
    length: timedelta
    meter: str
    kind: str = ""
    """The quantity of the row, if each has rows of its own."""
    texts: dict[str, str] = field(default_factory=dict)
    """The fields, by column."""


Reading = tuple[str, datetime]
"""A meter and the start of a reading in UTC."""


class ComposedFormat:
    """A format, its file, and the readings in it."""

    def __init__(self, keys: Mapping[str, Any], seed: int) -> None:
        """Take one of each of CHOICES; those that exclude others give way."""
        self.keys = keys = _consistent(dict(keys))
        self._random = Random(seed)  # noqa: S311 - test data
        self.zone: tzinfo = _zone(keys["zone"])
        self.length = timedelta(seconds=keys["interval"])
        self.readings: dict[Reading, dict[str, Any]] = {}
        """What was written, by quantity; `estimated` tells whether the reading is."""
        self.rounded = 0
        self.repeated = 0
        self.corrections: dict[str, str] = {}
        """What is right instead of the texts that no number has."""
        meters = METERS if keys["meter"] == "column" else METERS[:1]
        each = [self._meter_rows(meter) for meter in meters]
        rows = self._mixed(each)
        names = [*self._columns(rows)]
        self._random.shuffle(names)
        if keys["time"] == "day-row":
            names = [name for name in names if name[:1] != "#"] + [
                name for name in rows[0].texts if name[:1] == "#"
            ]
        self._names = names
        self.description = self._description()
        self._rows = rows
        if keys["optional"] == "absent":
            self._leave_out_optional()

    def settings(self) -> FormatSettings:
        """Return the description as the configuration gives it."""
        return FormatSettings.model_validate(self.description)

    def write(self, folder: Path) -> Path:
        """Write the file, and return its path."""
        keys = self.keys
        lines = ["sep=" + keys["delimiter"]] * keys["has_sep"]
        lines += [f"Title {number}" for number in range(keys["above"])]
        if keys["meter"] == "line":
            lines[-1] = f"Meter{keys['delimiter']}{METERS[0]}"
        end = keys["delimiter"] * keys["trailing"]
        if keys["names"] != "none":
            lines.append(keys["delimiter"].join(self._names) + end)
        for row in self._rows:
            fields = [row.texts[name] for name in self._names]
            if keys["is_quoted"]:
                fields = [self._random.choice(['"%s"', '="%s"', " %s "]) % each for each in fields]
            lines.append(keys["delimiter"].join(fields) + end)
        if keys["has_blank_lines"]:
            blank = keys["delimiter"] * (len(self._names) - 1)
            lines += ["", blank]
            lines.insert(-3, "")
        for at in (len(lines), len(lines) - 1) * keys["ignored_rows"]:
            lines.insert(at, f"Sum{keys['delimiter']}12")
        content = keys["newline"].join([*lines, ""]).encode(keys["encoding"])
        path = folder / "composed.csv"
        if keys["packing"] == "gzip":
            content = gzip.compress(content, 1)
        elif keys["packing"] == "zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr("member.csv", content)
            content = packed.getvalue()
        path.write_bytes(content)
        return path

    def _leave_out_optional(self) -> None:
        """Leave out the columns that reports may lack."""
        column = _COLUMNS[VOLTAGE]
        self._names = [
            name
            for name in self._names
            if name != "Quality" and name != column and not name.startswith(f"#{column}")
        ]
        is_alone = self.keys["energy"].startswith("reg") and self.keys["others"] == (VOLTAGE,)
        for key, reading in [*self.readings.items()]:
            reading.pop("estimated", None)
            reading.pop(VOLTAGE, None)
            if (is_alone or self.keys["time"] == "day-row") and {*reading.values()} <= {None}:
                del self.readings[key]

    # The readings

    def _meter_rows(self, meter: str) -> list[_Row]:
        """Make the readings of a meter, and return the rows that tell them."""
        starts = self._starts()
        estimated = {start: self._random.random() < 0.2 for start, _ in starts}
        quantities: dict[str, list[tuple[datetime, timedelta, dict[str, str]]]] = {}
        for name in (ENERGY, *self.keys["others"]):
            quantities[name] = self._quantity(name, meter, starts)
        rows = []
        for at, (start, length) in enumerate(starts):
            kinds = [[name] for name in quantities] if self.keys["typed"] else [[*quantities]]
            for kind in kinds:
                row = _Row(start, length, meter, kind[0] if self.keys["typed"] else "")
                for name in kind:
                    row.texts |= quantities[name][at][2]
                row.texts |= self._other_texts(row, is_estimated=estimated[start])
                rows.append(row)
            if self.keys["quality"] and estimated[start] and (meter, start) in self.readings:
                self.readings[meter, start]["estimated"] = True
        if self.keys["typed"] and self._random.random() < 0.5:
            rows.sort(key=lambda row: row.kind)
        rows = self._faulty(rows)
        if self.keys["is_newest_first"] and not self._changes(starts[0][0], starts[-1][0]):
            rows.reverse()
        return self._folded(rows) if self.keys["time"] == "day-row" else rows

    def _other_texts(self, row: _Row, *, is_estimated: bool) -> dict[str, str]:
        """Return the fields of a row that are no quantities."""
        keys = self.keys
        texts = {
            "Type": _COLUMNS[row.kind] + " kind" if row.kind else None,
            "Meter": row.meter if keys["meter"] == "column" else None,
            f"Zähler {row.meter}": "" if keys["meter"] == "heading" else None,
            "Quality": ("est. 3" if is_estimated else "real") if keys["quality"] else None,
            "Status": "final" if keys["filtered"] else None,
            "Remark": self._random.choice(["", "x"]) if keys["unread"] else None,
        }
        written = {name: text for name, text in texts.items() if text is not None}
        return written | self._time(row.start, row.length)

    def _starts(self) -> list[tuple[datetime, timedelta]]:
        """Return the start and the length of each interval of whole local days."""
        begin = datetime.combine(date(*self.keys["day"]), time(), self.zone)
        end = begin + timedelta(days=self.keys["days"])
        at, last = begin.astimezone(UTC), end.astimezone(UTC)
        is_own = self.keys["time"].startswith("both") and not self._changes(at, last)
        found = []
        while at < last:
            length = self.length
            if is_own and at + 2 * length <= last and self._random.random() < 0.3:
                length *= 2
            found.append((at, length))
            at += length
        return found

    def _changes(self, first: datetime, last: datetime) -> bool:
        """Whether clocks of the report change between two instants, or a day beside these."""
        day = timedelta(days=1)
        offsets = {(at.astimezone(self.zone)).utcoffset() for at in (first - day, last + day)}
        return len(offsets) > 1

    def _quantity(
        self, name: str, meter: str, starts: list[tuple[datetime, timedelta]]
    ) -> list[tuple[datetime, timedelta, dict[str, str]]]:
        """Give the readings a quantity, and return the texts of its columns for each."""
        column, how = _COLUMNS[name], self.keys["energy"] if name == ENERGY else "plain"
        random = self._random
        if how in ("register", "registers"):
            return self._registers(meter, starts, 1 + (how == "registers"))
        found = []
        for start, length in starts:
            is_missing = random.random() < 0.1
            hours = Decimal(length // timedelta(minutes=15)) / 4
            written = Decimal(random.randrange(-9999, 9_999_999)).scaleb(-3)
            if name == POWER:
                value = written / hours
                # Powers of which the energy is a multiple are exact.
            elif how == "power":
                value = written * hours
            elif how == "factor":
                value = written * Decimal("0.01")
            elif how == "round":
                written += Decimal(random.randrange(10**7)).scaleb(-7)
                value = written.quantize(_LEAST, ROUND_HALF_UP)
                self.rounded += value != written and not is_missing
            else:
                value = written
            texts = {column: "" if is_missing else self._number(written)}
            if how == "sum":
                part = Decimal(random.randrange(-999, 9999)).scaleb(-3)
                parts = (written - part, part)
                texts = {
                    f"{column} {at}": "-" if is_missing else self._number(each)
                    for at, each in enumerate(parts)
                }
            found.append((start, length, texts))
            self._note(meter, start, name, None if is_missing else value)
        return found

    def _registers(
        self, meter: str, starts: list[tuple[datetime, timedelta]], count: int
    ) -> list[tuple[datetime, timedelta, dict[str, str]]]:
        """Write the states of registers at the time of each row."""
        states = [Decimal(self._random.randrange(10_000, 20_000)) for _ in range(count)]
        is_end = self.keys["time"] in ("end", "end by start", "hour-end", "hour-clock")
        found = []
        for at, (start, length) in enumerate(starts):
            rises = [Decimal(self._random.randrange(2000)).scaleb(-3) for _ in states]
            states = [state + rise for state, rise in zip(states, rises, strict=True)]
            texts = {
                f"{_COLUMNS[ENERGY]} {which}": self._number(state)
                for which, state in enumerate(states)
            }
            found.append((start, length, texts))
            if not at:
                if self.keys["others"]:
                    self._note(meter, start, ENERGY, None)
            elif is_end:
                self._note(meter, start, ENERGY, sum(rises, Decimal(0)))
            else:
                self._note(meter, starts[at - 1][0], ENERGY, sum(rises, Decimal(0)))
        if not is_end and self.keys["others"]:
            self._note(meter, starts[-1][0], ENERGY, None)
        return found

    def _note(self, meter: str, start: datetime, name: str, value: Decimal | None) -> None:
        self.readings.setdefault((meter, start), {})[name] = value

    def _number(self, value: Decimal) -> str:
        thousands = self.keys["thousands"] or ""
        whole, _, decimals = f"{value:,f}".partition(".")
        text = whole.replace(",", thousands) + f".{decimals}" * bool(decimals)
        return text.replace(".", self.keys["decimal"])

    # The rows

    def _time(self, start: datetime, length: timedelta) -> dict[str, str]:
        """Return the fields that tell the time of a row."""
        how = self.keys["time"]
        local, end = start.astimezone(self.zone), (start + length).astimezone(self.zone)
        end_by_start = local.replace(tzinfo=None) + length
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.zone)
        number = (start - midnight.astimezone(UTC)) // self.length
        day = {"Day": f"{local:%Y-%m-%d}"}
        seconds = int(start.timestamp()) // 60 % 7 * 10 - 30
        # Where clocks go back, a time that is early may be of the pass before.
        seconds = abs(seconds) if self._changes(start, start) else seconds
        late = (start + timedelta(seconds=seconds)).astimezone(self.zone)
        texts: dict[str, Callable[[], dict[str, str]]] = {
            "start": lambda: {"Time": f"{local:{_LOCAL}}"},
            "late": lambda: {"Time": f"{late:{_LOCAL}:%S}"},
            "end": lambda: {"Time": f"{end:{_LOCAL}}"},
            "end by start": lambda: {"Time": f"{end_by_start:{_LOCAL}}"},
            "iso": lambda: {"Time": local.isoformat()},
            "epoch": lambda: {"Time": str(int(start.timestamp()))},
            "epoch-ms": lambda: {"Time": str(int(start.timestamp()) * 1000)},
            "offset": lambda: {"Time": f"{local:%d.%m.%y %I:%M %p %z}"},
            "columns": lambda: day | {"Clock": f"{local:%H:%M}"},
            "both": lambda: {"Time": f"{local:{_LOCAL}}", "Until": f"{end:{_LOCAL}}"},
            "both clocks": lambda: {"Time": f"{local:{_LOCAL}}", "Until": f"{end:%H.%M}"},
            "both by start": lambda: {
                "Time": f"{local:{_LOCAL}}",
                "Until": f"{end_by_start:{_LOCAL}}",
            },
            "hour-end": lambda: day | {"Hour": str(number + 1)},
            "hour-start": lambda: day | {"Hour": str(number)},
            "hour-clock": lambda: day | {"Hour": f"{local.hour + 1}"},
            "period": lambda: day | {"Period": str(number)},
            "order": lambda: day,
            "day-row": lambda: day | {"Period": str(number)},
        }
        return texts[how]()

    def _faulty(self, rows: list[_Row]) -> list[_Row]:
        """Return the rows with faults, none on days on which clocks may change."""
        fault, random = self.keys["fault"], self._random
        plain = [row for row in rows if not self._changes(row.start, row.start + row.length)]
        if fault is None or not plain:
            return rows
        chosen = random.sample(plain, min(len(plain), 3))
        if fault == "bad":
            for row in chosen:
                columns = [
                    name
                    for name, text in row.texts.items()
                    if name.rstrip(" 01") in _COLUMNS.values() and text not in ("", "-")
                ]
                for column in columns[-1:]:
                    wrong = f"wrong{len(self.corrections)}w"
                    self.corrections[wrong], row.texts[column] = row.texts[column], wrong
            return rows
        if fault == "repeated":
            for row in chosen:
                at = rows.index(row) + 1
                while at < len(rows) and not self._changes(rows[at].start, rows[at].start):
                    at += 1 + random.randrange(4)
                at = min(at, len(rows))
                self.repeated += 1
                rows.insert(at, row)
            return rows
        lost = {row.start for row in chosen}
        for row in chosen:
            self.readings.pop((row.meter, row.start), None)
        return [row for row in rows if row.start not in lost]

    def _folded(self, rows: list[_Row]) -> list[_Row]:
        """Return a row for each day, with the fields of its intervals in columns."""
        count = int(timedelta(hours=25) / self.length)
        found = []
        for _, of_day in groupby(rows, key=lambda row: row.texts["Day"]):
            parts = [*of_day]
            texts = {
                name: text
                for name, text in parts[0].texts.items()
                if name not in ("Period", *_COLUMNS.values())
            }
            for name in (ENERGY, *self.keys["others"]):
                column = _COLUMNS[name]
                by_number = {int(part.texts["Period"]): part.texts[column] for part in parts}
                texts |= {f"#{column} {at}": by_number.get(at, "") for at in range(count)}
            if self.keys["quality"]:
                for part in parts:
                    reading = self.readings.get((part.meter, part.start), {})
                    reading["estimated"] = texts["Quality"] != "real"
            found.append(_Row(parts[0].start, self.length, parts[0].meter, "", texts))
        for key, reading in [*self.readings.items()]:
            if not any(isinstance(value, Decimal) for value in reading.values()):
                del self.readings[key]
        return found

    def _mixed(self, each: list[list[_Row]]) -> list[_Row]:
        """Return the rows of meters in any order, and rows that are not read among them."""
        queues = [iter(rows) for rows in each]
        order = [at for at, rows in enumerate(each) for _ in rows]
        self._random.shuffle(order)
        rows = [next(queues[at]) for at in order]
        if self.keys["filtered"]:
            for _ in range(3):
                at = self._random.randrange(len(rows))
                texts = dict.fromkeys(rows[at].texts, "?") | {"Status": "draft"}
                rows.insert(at, _Row(rows[at].start, self.length, "", "", texts))
        return rows

    def _columns(self, rows: list[_Row]) -> dict[str, None]:
        names = dict.fromkeys(name for row in rows for name in row.texts)
        for row in rows:
            row.texts = dict.fromkeys(names, "") | row.texts
        return names

    # The description

    def _ref(self, name: str) -> Any:
        """Return how the description names a column."""
        if self.keys["names"] in ("place", "none"):
            return self._names.index(name) + 1
        if self.keys["names"] == "matches":
            return {"matches": f"{name[0]}?{name[2:]}*"}
        return name

    def _description(self) -> dict[str, Any]:
        keys = self.keys
        identifiers = {
            "column": self._ref("Meter") if keys["meter"] == "column" else None,
            "line": {"line": f"Meter{keys['delimiter']}{{meter}}"},
            "heading": {"heading": "Zähler {meter}"},
            None: None,
        }
        quality: dict[str, Any] = {"estimated": "est*"}
        if keys["quality"]:
            quality["column"] = self._ref("Quality")
        if keys["optional"]:
            quality["optional"] = "true"
        is_skip_said = keys["is_skip_said"] or keys["names"] in ("place", "none")
        described = {
            "delimiter": keys["delimiter"],
            "decimal": keys["decimal"],
            "encoding": keys["encoding"].removesuffix("-sig"),
            "columns": {name: self._column(name) for name in (ENERGY, *keys["others"])},
            "time": self._described_time(),
            "thousands": keys["thousands"],
            "round": "true" if keys["energy"] == "round" else None,
            "interval": None if keys["time"].startswith("both") else str(keys["interval"]),
            "heading": "none" if keys["names"] == "none" else None,
            "skip": str(keys["above"]) if is_skip_said else None,
            "ignored_rows": "Sum*" if keys["ignored_rows"] else None,
            "rows": {self._key("Status"): ["fin*", "other"]} if keys["filtered"] else None,
            "quality": quality if keys["quality"] else None,
            "identifier": identifiers[keys["meter"]],
        }
        return {key: value for key, value in described.items() if value is not None}

    def _key(self, name: str) -> Any:
        """Return how the key of a section names a column."""
        return self._names.index(name) + 1 if self.keys["names"] in ("place", "none") else name

    def _column(self, name: str) -> dict[str, Any]:
        column = _COLUMNS[name]
        how = self.keys["energy"] if name == ENERGY else "plain"
        if self.keys["time"] == "day-row":
            own = [each for each in self._names if each.startswith(f"#{column} ")]
            described: dict[str, Any] = {"first": self._ref(own[0]), "last": self._ref(own[-1])}
        elif how in ("sum", "registers"):
            described = {"header": [self._ref(f"{column} 0"), self._ref(f"{column} 1")]}
        elif how == "register":
            described = {"header": self._ref(f"{column} 0")}
        else:
            described = {"header": self._ref(column)}
        if how in ("register", "registers"):
            described["kind"] = "register"
        if how == "power":
            described["kind"] = "power"
        if name == POWER:
            described["kind"] = "energy"
        if name == VOLTAGE and self.keys["optional"]:
            described["optional"] = "true"
        if how == "factor":
            described["factor"] = "0.01"
        if self.keys["typed"]:
            described["where"] = {self._key("Type"): f"{column} *"}
        return described

    def _described_time(self) -> dict[str, Any]:
        how = self.keys["time"]
        local = {"column": "Time", "pattern": _LOCAL}
        day = {"column": "Day", "pattern": "%Y-%m-%d"}
        times: dict[str, dict[str, Any]] = {
            "start": local | {"marks": "start"},
            "late": local | {"marks": "start", "pattern": f"{_LOCAL}:%S", "tolerance": "30"},
            "end": local | {"marks": "end"},
            "end by start": local | {"marks": "end", "end_clock": "start"},
            "iso": local | {"pattern": "iso", "marks": "start"},
            "epoch": local | {"pattern": "epoch", "marks": "start"},
            "epoch-ms": local | {"pattern": "epoch-ms", "marks": "start"},
            "offset": local | {"pattern": "%d.%m.%y %I:%M %p %z", "marks": "start"},
            "columns": day
            | {"column": ["Day", "Clock"], "pattern": "%Y-%m-%d %H:%M"}
            | {"marks": "start"},
            "both": local | {"end": {"column": "Until"}},
            "both clocks": local | {"end": {"column": "Until", "pattern": "%H.%M"}},
            "both by start": local | {"end": {"column": "Until"}, "end_clock": "start"},
            "hour-end": day | {"hour": "Hour", "hours": "counted", "marks": "end"},
            "hour-start": day | {"hour": "Hour", "hours": "counted", "marks": "start"},
            "hour-clock": day | {"hour": "Hour", "hours": "clock", "marks": "end"},
            "period": day | {"period": "Period", "hours": "counted", "first_period": "0"},
            "order": day | {"period": "order"},
            "day-row": day | {"hours": "counted"},
        }
        described = dict(times[how])
        column = described["column"]
        described["column"] = (
            [*map(self._ref, column)] if isinstance(column, list) else self._ref(column)
        )
        for key in ("hour", "period"):
            if described.get(key) in self._names:
                described[key] = self._ref(described[key])
        if "end" in described:
            described["end"] = described["end"] | {"column": self._ref("Until")}
        if self.keys["zone"]:
            described["timezone"] = self.keys["zone"]
        return described


def _zone(name: str | None) -> tzinfo:
    zone = FormatSettings.model_validate(
        {
            "columns": {ENERGY: "E"},
            "time": {"column": "T", "pattern": "iso", "marks": "start", "timezone": name or "UTC"},
        }
    ).time.timezone
    assert zone is not None
    return zone if name else MADRID


def _consistent(keys: dict[str, Any]) -> dict[str, Any]:
    """Return choices of which none excludes another."""
    if keys["decimal"] == keys["delimiter"]:
        keys["decimal"] = "."
    is_register, is_own = keys["energy"].startswith("register"), keys["time"].startswith("both")
    how = "start" if is_register and is_own else keys["time"]
    is_day, is_ordered = how == "day-row", how == "order"
    is_repeated, is_lacking = keys["fault"] == "repeated", keys["optional"] == "absent"
    changes: list[tuple[bool, dict[str, Any]]] = [
        (is_register and is_own, {"time": "start"}),
        (is_register, {"fault": None, "quality": False}),
        (how.startswith("hour"), {"interval": 3600}),
        (how.startswith("both"), {"is_interval_asked": False}),
        (is_day, {"typed": False}),
        (is_lacking and keys["names"] in ("place", "none"), {"names": "heading"}),
        (is_lacking, {"fault": None}),
        (is_day and keys["energy"].startswith(("sum", "reg")), {"energy": "plain"}),
        (is_ordered, {"is_newest_first": False}),
        (is_ordered or (is_day and is_repeated), {"fault": None}),
        # No clocks change anywhere then: a repeated time tells no other zone.
        (is_repeated, {"day": (2024, 7, 1)}),
        (keys["names"] == "none" and keys["meter"] == "heading", {"meter": "column"}),
        (keys["meter"] == "line", {"above": max(keys["above"], 1)}),
    ]
    for is_needed, change in changes:
        if is_needed:
            keys |= change
    return keys
