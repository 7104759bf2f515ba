"""Examining a file: what it is, which format fits, and a format that would load it."""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from domain.time.local_time import LocalTimeResolver
from loader.formats.report_format import ReportFormat
from loader.inspect.amendments import AMENDMENTS
from loader.inspect.beginning import UTF_8, Beginning, kind_of_file, read_beginnings
from loader.inspect.drafts import Draft, entry_name, entry_text, first_draft
from loader.inspect.holdings import find_holdings
from loader.inspect.row_times import find_times
from loader.inspect.sheet import Sheet, find_sheet
from loader.inspect.sheet_columns import columns_of
from loader.inspect.trial import Trial, try_entry, try_format
from loader.report_file import ReportFile
from loader.rows.errors import AmbiguousHeadingError, ReportError
from loader.table.top import TopOfFile


@dataclass(frozen=True)
class NearFormat:
    """A known format that nearly fits."""

    name: str
    missing: Sequence[str]
    additional: Sequence[str]


@dataclass(frozen=True)
class ProposedEntry:
    """An entry of `formats`, and what reading the file with it gave."""

    name: str
    text: str
    trial: Trial
    confirm: Sequence[str]
    evidence: Sequence[str]
    registers: Sequence[str]
    unread: Sequence[str]
    """Columns that it does not read."""
    interval: int | None
    """The seconds of an interval in the first lines."""


@dataclass
class Examination:
    """What is known of a file."""

    path: str
    zone: ZoneInfo
    kind: str
    """What the file is, for people."""
    beginning: Beginning
    sheet: Sheet | None = None
    fitting: Sequence[str] = ()
    """The names of the known formats that its heading fits."""
    known_trial: Trial | None = None
    """What reading it with the one that fits gave."""
    nearest: NearFormat | None = None
    proposed: ProposedEntry | None = None

    @property
    def trial(self) -> Trial | None:
        """The reading that tells of the readings in the file."""
        if self.known_trial is not None and self.known_trial.reads_all:
            return self.known_trial
        return self.known_trial if self.proposed is None else self.proposed.trial

    @property
    def is_readable(self) -> bool:
        """Whether a known format or the proposed one reads all rows."""
        return self.trial is not None and self.trial.reads_all

    def changes_of_clocks(self) -> list[tuple[str, int]]:
        """Return the days on which clocks change, each with the number of its readings."""
        return [] if self.trial is None else _changes_of_clocks(self.trial, self.zone)


def examine(
    path: str, formats: Sequence[ReportFormat], zone: ZoneInfo, taken: Sequence[str] = ()
) -> Examination:
    """Examine a file; raise ReportError if it can't be read at all.

    An entry gets none of the names that are taken already.
    """
    found = Examination(path, zone, kind_of_file(path), Beginning(UTF_8, (), is_whole=True))
    for beginning in read_beginnings(path):
        if found.sheet is None:
            found.beginning, found.sheet = beginning, find_sheet(beginning.lines)
    found.fitting = _fitting(path, formats)
    if len(found.fitting) == 1:
        (known,) = (each for each in formats if each.name == found.fitting[0])
        found.known_trial = try_format(path, known, zone)
        if found.known_trial.reads_all:
            return found
    if found.sheet is not None:
        found.nearest = _nearest(found.sheet, formats)
        proposed = _propose(found, [*taken, *(each.name for each in formats)])
        if found.known_trial is None or (proposed is not None and proposed.trial.reads_all):
            found.proposed = proposed
    return found


def kinds_of_reports(paths: Sequence[str]) -> list[list[str]]:
    """Return the reports of each kind, in their order."""
    kinds = defaultdict[Hashable, list[str]](list)
    for path in paths:
        kinds[_kind(path)].append(path)
    return [*kinds.values()]


def _kind(path: str) -> Hashable:
    """Return what is equal for reports of one kind: the file's, and what its heading names."""
    try:
        kind = kind_of_file(path)
        sheets = [find_sheet(beginning.lines) for beginning in read_beginnings(path)]
    except ReportError as error:
        return str(error)
    found = next((sheet for sheet in sheets if sheet is not None), None)
    if found is None:
        return kind
    # Totals, dates and numbers of meters in a heading differ from report to report.
    names = tuple(re.sub("[0-9]+", "0", name) for name in found.names or ())
    return kind, found.delimiter, found.width, names


def _fitting(path: str, formats: Sequence[ReportFormat]) -> Sequence[str]:
    """Return the formats that a file's heading fits: the one that is taken, or all of them."""
    try:
        with ReportFile(path, formats=formats) as file:
            next(iter(file.whole().rows), None)
            return [] if file.detected is None else [file.detected.format.name]
    except AmbiguousHeadingError as error:
        return error.formats
    except ReportError:
        return []


def _nearest(sheet: Sheet, formats: Sequence[ReportFormat]) -> NearFormat | None:
    """Return the known format with the most columns in a heading; None if none has half of them."""
    if sheet.heading is None:
        return None
    top = TopOfFile([sheet.heading.text.encode()])
    found = [(each.nearest_heading(top), each.name) for each in formats]
    near = [
        (like, name)
        for like, name in found
        if like is not None and like.found >= len(like.missing) + len(like.doubtful)
    ]
    if not near:
        return None
    like, name = min(near, key=lambda pair: pair[0].rank)
    return NearFormat(name, [*like.missing, *like.doubtful], like.additional)


def _propose(found: Examination, known: Sequence[str]) -> ProposedEntry | None:
    """Return the entry that reads the most of a file."""
    sheet = found.sheet
    assert sheet is not None
    columns = columns_of(sheet)
    times = find_times(columns, found.zone, is_whole=found.beginning.is_whole)
    if times is None:
        return None
    holdings = find_holdings(sheet, columns, times)
    if not holdings.columns:
        return None
    name = entry_name(found.path, known)
    draft = first_draft(found.beginning, sheet, times, holdings, found.zone)
    draft, trial = _improved(found, name, draft)
    used = times.used | holdings.used
    is_local = not (times.is_instant or "timezone" in draft.entry["time"])
    seen, asked = _zone_notes(found, trial) if is_local else ([], [])
    return ProposedEntry(
        name,
        entry_text(name, draft.entry),
        trial,
        [*draft.doubts, *asked],
        [*times.evidence, *holdings.evidence, *seen],
        holdings.registers,
        [column.label for column in columns if column.filled and column.place not in used],
        times.interval,
    )


def _changes_of_clocks(trial: Trial, zone: ZoneInfo) -> list[tuple[str, int]]:
    resolver = LocalTimeResolver(zone)
    return [
        (day, count)
        for day, count in sorted(trial.days.items())
        if resolver.offset_all_day(date.fromisoformat(day)) is None
    ]


def _zone_notes(found: Examination, trial: Trial) -> tuple[list[str], list[str]]:
    """Return what shows that times are those of the meter's zone, or the question whether."""
    changes = _changes_of_clocks(trial, found.zone)
    if changes and trial.reads_all:
        return [f"clocks change as in {found.zone}"], []
    return [], [
        f"are these local times of {found.zone} (meter.timezone)? otherwise set time.timezone"
    ]


def _improved(found: Examination, name: str, draft: Draft) -> tuple[Draft, Trial]:
    """Return a draft, changed as long as this lets more rows be read."""
    trial = try_entry(found.path, name, entry_text(name, draft.entry), found.zone)
    changes = list(AMENDMENTS)
    while not trial.reads_all:
        for change in changes:
            sign, changing = change
            changed = changing(draft, trial) if sign in trial.messages else None
            if changed is None:
                continue
            tried = try_entry(found.path, name, entry_text(name, changed.entry), found.zone)
            if tried.rank > trial.rank:
                draft, trial = changed, tried
                changes.remove(change)
                break
        else:
            break
    return draft, trial
