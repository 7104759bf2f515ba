"""What a command tells of an import: as JSON, and as text."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from domain.report_source import ESTIMATED_FIELD
from loader.imports.outcome import ImportSummary
from settings import MONITORING
from storage.imports.import_writer import ImportResult
from storage.imports.merging import Correction, plain_decimal
from storage.meters import MAIN_METER

INTERVAL_HINT = (
    "coverage and demand are empty: say it with --interval SECONDS, or the key interval of the"
    " format, and load again; elecdata inspect FILE shows what the times tell"
)
"""What to do where readings do not tell their interval."""

MANY_GAPS = 20
"""One in so many readings after a gap may be a sign that readings last longer than was thought."""
GAPS_HINT = (
    "rows that last longer than the interval are taken for rows after a gap: if there are such, say"
    " it with the key lengths of the format"
)

MAX_COLUMNS = 10
"""Columns that are not read which a summary names."""

MAX_REPORTS_IN_FULL = 20
"""Reports that are told of in several lines each; of more, each meter gets a line."""


def _report_document(summary: ImportSummary) -> dict[str, object]:
    """Return the JSON document of a report."""
    imported = summary.imported
    first, last = summary.span or (None, None)
    return {
        "report": summary.name,
        "format": summary.format,
        "meter": summary.meter and summary.meter.public_id,
        "interval": summary.intervals[0] if len(summary.intervals) == 1 else None,
        "intervals": list(summary.intervals),
        "gaps": summary.gaps,
        "readings": summary.readings,
        "new": imported and imported.new,
        "changed": imported and imported.changed,
        "unchanged": imported and imported.unchanged,
        "kept": imported and imported.kept,
        "corrections": imported and [asdict(each) for each in imported.corrections],
        "flags": imported and dict(imported.flags),
        "missing": summary.missing,
        "rounded": summary.rounded,
        "unread_rows": summary.unread_rows + summary.passed_over.others,
        "register_events": list(summary.register_events),
        "rejected": summary.rejected,
        "repeated": summary.repeated,
        "ignored_rows": summary.passed_over.ignored,
        "unread_columns": list(summary.passed_over.columns),
        "refused_days": list(summary.refused_days),
        "rejected_to": summary.rejected_to and click.format_filename(summary.rejected_to),
        "first": first,
        "last": last,
        "seconds": round(summary.seconds, 3),
        "error": summary.error,
    }


def report_documents(summaries: Iterable[ImportSummary]) -> Iterator[dict[str, object]]:
    """Yield the JSON documents of reports."""
    return map(_report_document, summaries)


def imported_lines(summaries: Sequence[ImportSummary]) -> list[int]:
    """Return how many rows were imported from each report, or of many from all."""
    counts = [summary.readings for summary in summaries if summary.error is None]
    return counts if len(summaries) <= MAX_REPORTS_IN_FULL else [sum(counts)]


def summary_lines(summaries: Sequence[ImportSummary]) -> Iterator[str]:
    """Yield the lines about reports: of many, one for each meter."""
    if len(summaries) <= MAX_REPORTS_IN_FULL:
        for summary in summaries:
            yield from _lines_in_full(summary)
        return
    meters: defaultdict[str, list[ImportSummary]] = defaultdict(list)
    for summary in summaries:
        meters[summary.meter.public_id if summary.meter else summary.name].append(summary)
    for name, reports in meters.items():
        yield f"{name}: {_counts(reports)}"
    yield f"{len(summaries)} reports: {_counts(summaries)}"


def _lines_in_full(summary: ImportSummary) -> list[str]:
    imported = summary.imported
    rows: list[tuple[str, object]] = []
    if summary.format not in (None, MONITORING):
        rows.append(("format", summary.format))
    rows.append(("readings", summary.readings))
    if summary.meter is not None and summary.meter.public_id != MAIN_METER:
        rows.append(("meter", summary.meter.public_id))
    if imported is not None:
        rows += _changes(imported)
    rows.append(("missing values", summary.missing))
    if summary.rounded:
        rows.append(("rounded values", summary.rounded))
    rows += _left_out(summary)
    if imported is not None:
        flags = ", ".join(f"{count} {name}" for name, count in imported.flags.items())
        rows.append(("flags", flags or "none"))
    if summary.span is not None:
        rows.append(("span", " to ".join(summary.span)))
    if summary.intervals:
        rows.append(("interval", _intervals(summary.intervals)))
    has_many = summary.gaps > 1 and summary.gaps * MANY_GAPS > summary.readings
    if has_many or (summary.gaps and summary.may_vary):
        rows.append(("gaps", f"{summary.gaps}; {GAPS_HINT}"))
    rows += [("register", event) for event in summary.register_events]
    if summary.error is not None:
        rows.append(("error", summary.error))
    rows.append(("time", f"{summary.seconds:.1f} s"))
    rows += [] if imported is None else _corrections(imported)
    return [summary.name, *(f"  {name:<14} {value}" for name, value in rows)]


def _left_out(summary: ImportSummary) -> list[tuple[str, object]]:
    """Return what is not imported."""
    rows: list[tuple[str, object]] = []
    if summary.rejected:
        rows.append(("rejected rows", f"{summary.rejected}{_hint(summary.rejected_to)}"))
    if summary.repeated:
        rows.append(("repeated rows", summary.repeated))
    if summary.passed_over.ignored:
        rows.append(("ignored rows", summary.passed_over.ignored))
    if unread := summary.unread_rows + summary.passed_over.others:
        rows.append(("unread rows", unread))
    if columns := summary.passed_over.columns:
        rows.append(("columns not read", _columns(columns)))
    if summary.refused_days:
        rows.append(("refused days", ", ".join(summary.refused_days)))
    return rows


def _columns(names: Sequence[str]) -> str:
    """Return the names of columns, of many the first ones."""
    more = len(names) - MAX_COLUMNS
    return ", ".join(map(repr, names[:MAX_COLUMNS])) + (f" and {more} more" if more > 0 else "")


def _changes(imported: ImportResult) -> list[tuple[str, object]]:
    """Return what an import did to the readings of a report."""
    rows: list[tuple[str, object]] = [
        ("new", imported.new),
        ("changed", imported.changed),
        ("unchanged", imported.unchanged),
    ]
    return rows + ([("kept values", imported.kept)] if imported.kept else [])


def _corrections(imported: ImportResult) -> list[tuple[str, object]]:
    """Return the first corrections, and how many more there are."""
    rows: list[tuple[str, object]] = [
        ("correction", _correction(each)) for each in imported.corrections
    ]
    more = imported.changed - len(imported.corrections)
    return rows + ([("corrections", f"{more} more readings")] if more else [])


def _correction(correction: Correction) -> str:
    """Return the values of a reading that were replaced, old and new."""
    values = (
        f"{name} {_plain(name, old)} -> {_plain(name, correction.new[name])}"
        for name, old in correction.old.items()
    )
    return f"{correction.date}: {', '.join(values)}"


def _plain(name: str, value: str | None) -> str:
    if name == ESTIMATED_FIELD:
        return "no" if value is None else "yes"
    return plain_decimal(value)


def _intervals(intervals: Sequence[int | None]) -> str:
    """Return the lengths of readings, and what to do where they are not known."""
    texts = ["unknown" if seconds is None else f"{seconds} s" for seconds in intervals]
    hint = f"; {INTERVAL_HINT}" if None in intervals else ""
    return ", then ".join(texts) + hint


def _counts(reports: Sequence[ImportSummary]) -> str:
    """Return what was imported from reports, and the first error."""
    results = [report.imported for report in reports if report.imported is not None]
    parts = [
        f"{sum(getattr(result, name) for result in results)} {name}"
        for name in ("new", "changed", "unchanged")
    ]
    if kept := sum(result.kept for result in results):
        parts.append(f"{kept} kept values")
    if rejected := sum(report.rejected for report in reports):
        files = {report.rejected_to for report in reports} - {None}
        parts.append(f"{rejected} rejected rows{_hint(files.pop() if len(files) == 1 else None)}")
    if repeated := sum(report.repeated for report in reports):
        parts.append(f"{repeated} repeated rows")
    if days := sum(len(report.refused_days) for report in reports):
        parts.append(f"{days} refused days")
    if errors := [report.error for report in reports if report.error is not None]:
        is_same = len({*errors}) == 1
        parts.append(f"error: {errors[0]}" if is_same else f"{len(errors)} reports with errors")
    return ", ".join(parts)


def _hint(file: Path | None) -> str:
    return "" if file is None else f", see {click.format_filename(file)}"
