"""Drafts of a format for a file, and how they are written in config.yaml."""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from loader.inspect.beginning import UTF_8, Beginning
from loader.inspect.holdings import Holdings
from loader.inspect.row_times import RowTimes
from loader.inspect.sheet import NumberedLine, Sheet

_MAX_STRAYS = 5
_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Draft:
    """A format that may fit a file, and what a person has to confirm."""

    entry: dict[str, Any]
    doubts: Sequence[str] = ()
    standard_offset: str = "+00:00"
    """The offset of standard time in the zone of the meter."""

    def changed(self, *doubts: str, **sections: Any) -> "Draft":
        """Return a draft with other sections; those of None are left out."""
        entry = copy.deepcopy(self.entry) | sections
        kept = {name: each for name, each in entry.items() if each is not None}
        return replace(self, entry=kept, doubts=[*self.doubts, *doubts])

    def with_time(self, *doubts: str, **keys: Any) -> "Draft":
        """Return a draft with other keys in the section `time`."""
        time = {
            name: each for name, each in (self.entry["time"] | keys).items() if each is not None
        }
        return self.changed(*doubts, time=time)


def first_draft(
    beginning: Beginning, sheet: Sheet, times: RowTimes, holdings: Holdings, zone: ZoneInfo
) -> Draft:
    """Return the format that the first lines of a file suggest."""
    time = dict(times.section)
    if times.end_section is not None and times.varies:
        time["end"] = times.end_section
    elif not (times.day_columns or "period" in time):
        time["marks"] = times.marks
    needs_length = times.marks == "end" or holdings.has_power or times.is_said
    interval = times.interval if needs_length and not {"hour", "end"} & {*time} else None
    lengths = times.lengths if interval and holdings.has_power else ()
    entry: dict[str, Any] = {
        "heading": "none" if sheet.names is None else None,
        "delimiter": sheet.delimiter if sheet.delimiter != "," else None,
        "decimal": holdings.decimal if holdings.decimal != "." else None,
        "thousands": holdings.thousands or None,
        "missing": list(holdings.missing) or None,
        "encoding": beginning.encoding if beginning.encoding != UTF_8 else None,
        "sheet": beginning.sheet,
        "columns": {name: _short(column) for name, column in holdings.columns.items()},
        "rows": holdings.rows or None,
        "time": time,
        "interval": None if lengths else interval,
        "lengths": list(lengths) or None,
        "identifier": holdings.identifier,
        "quality": holdings.quality or None,
        "ignored_rows": _stray_patterns(sheet.strays) or None,
    }
    doubts = [*times.doubts, *holdings.doubts]
    if lengths:
        doubts.append(f"rows last {' or '.join(map(str, lengths))} seconds, or is that a gap?")
    kept = {name: each for name, each in entry.items() if each is not None}
    return Draft(kept, doubts, _standard_offset(min(times.starts, default=0), zone))


def _standard_offset(second: int, zone: ZoneInfo) -> str:
    """Return the offset of standard time in the year of an instant, such as +01:00."""
    year = datetime.fromtimestamp(second, UTC).year
    offsets = (datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7))
    minutes = int(min(each for each in offsets if each is not None).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def entry_text(name: str, entry: dict[str, Any]) -> str:
    """Return the section `formats` of config.yaml with an entry."""
    return yaml.safe_dump(
        {"formats": {name: entry}},
        allow_unicode=True,
        default_flow_style=None,
        sort_keys=False,
        width=100,
    )


def entry_name(path: str, known: Sequence[str]) -> str:
    """Return a name for the format of a file: that of the file, unless it is taken."""
    stem = PurePath(path).name.partition(".")[0].casefold()
    name = _NAME.sub("-", stem).strip("-")[:30] or "report"
    name = f"report-{name}" if name[0].isdigit() else name
    return f"{name}-2" if name in known else name


def _short(column: dict[str, Any]) -> Any:
    """Return the section of a column, or its name alone where that says all."""
    is_name_alone = {*column} == {"header"} and not isinstance(column["header"], list)
    return column["header"] if is_name_alone else column


def _stray_patterns(strays: Sequence[NumberedLine]) -> list[str]:
    """Return patterns of lines that are no rows: their first word, or all of it."""
    patterns = []
    for line in strays[:_MAX_STRAYS]:
        word = re.match(r"[^\W\d_]{3,}", line.text.strip())
        patterns.append(f"{word[0]}*" if word else line.text)
    return list(dict.fromkeys(patterns))


def _round(draft: Draft) -> Draft | None:
    if "round" in draft.entry:
        return None
    return draft.changed("numbers with more than five decimals are rounded", round=True)


def _registers(draft: Draft) -> Draft | None:
    columns = {
        name: {**(column if isinstance(column, dict) else {"header": column}), "kind": "register"}
        for name, column in draft.entry["columns"].items()
        if name.endswith("energy")
    }
    return draft.changed("the energies are states of a cumulative register", columns=columns)


def _ends_by_start(draft: Draft) -> Draft | None:
    time = draft.entry["time"]
    if time.get("marks") != "end" or "end_clock" in time:
        return None
    return draft.with_time(
        "where clocks change, ends are written as the start plus the length", end_clock="start"
    )


def _standard_time(draft: Draft) -> Draft | None:
    if "timezone" in draft.entry["time"]:
        return None
    offset = draft.standard_offset
    return draft.with_time(
        f"times are of {offset} all year, without daylight saving", timezone=offset
    )


def _hours(kind: str) -> Callable[[Draft], Draft | None]:
    def change(draft: Draft) -> Draft | None:
        time = draft.entry["time"]
        if not {"hour", "period", "first"}.intersection(time) or time.get("hours") == kind:
            return None
        return draft.with_time(
            f"hours are {_HOURS[kind]} on days on which clocks change", hours=kind
        )

    return change


def _lengths_told(draft: Draft) -> Draft | None:
    if "interval" not in draft.entry or draft.entry["time"].get("marks") == "end":
        return None
    return draft.changed(interval=None)


def _one_length(draft: Draft) -> Draft | None:
    if "lengths" not in draft.entry:
        return None
    return draft.changed(lengths=None, interval=draft.entry["lengths"][0])


def _without_power(draft: Draft) -> Draft | None:
    columns = draft.entry["columns"]
    if "power" not in columns or len(columns) == 1:
        return None
    return draft.changed(columns={name: c for name, c in columns.items() if name != "power"})


_HOURS = {"clock": "those of the clock", "counted": "counted"}

_Change = Callable[[Draft], Draft | None]
"""Changes a draft that does not read all rows; None where it has no place."""

AMENDMENTS: Sequence[tuple[str, _Change]] = (
    ("round: true", _round),
    ("cumulative register", _registers),
    ("local time", _ends_by_start),
    ("a local time that exists", _standard_time),
    ("", _hours("clock")),
    ("", _hours("counted")),
    ("", _lengths_told),
    ("", _one_length),
    ("", _without_power),
)
"""What may help, and what the messages say where it may."""
