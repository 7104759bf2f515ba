"""Drafts of a format for a file, and how they are written in config.yaml."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from loader.inspect.beginning import UTF_8, Beginning
from loader.inspect.holdings import Holdings
from loader.inspect.row_times import RowTimes
from loader.inspect.sheet import Sheet

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

    def sure_of(self, words: str) -> "Draft":
        """Return a draft without the doubts that have some words in them."""
        return replace(self, doubts=[doubt for doubt in self.doubts if words not in doubt])

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
    if times.end_section is not None and times.varies and not holdings.registers:
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
        "ignored_rows": line_patterns([line.text for line in sheet.strays]) or None,
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


def line_patterns(lines: Sequence[str]) -> list[str]:
    """Return patterns of lines that are no rows: their first word, or all of each."""
    patterns = []
    for line in lines[:_MAX_STRAYS]:
        word = re.match(r'"?[^\W\d_]{3,}', line.strip())
        patterns.append(f"{word[0]}*" if word else line)
    return list(dict.fromkeys(patterns))
