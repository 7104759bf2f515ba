"""The results of an import, as JSON."""

from collections.abc import Sequence
from pathlib import Path

import click

from cli.error_report import ErrorReport, error_summary
from loader.importer import Summary


def results(
    summaries: Sequence[Summary], faults: ErrorReport, *, dry_run: bool
) -> dict[str, object]:
    """What became of reports."""
    reports = [_report(summary) for summary in summaries]
    return {"ok": True, "written": not dry_run, "reports": reports, "faults": error_summary(faults)}


def _report(summary: Summary) -> dict[str, object]:
    report, imported = summary.report, summary.imported
    first, last = report.span or (None, None)
    return {
        "report": report.name,
        "format": None if report.fitting is None else report.fitting.layout.name,
        "interval": report.interval,
        "readings": report.readings,
        "new": imported and imported.new,
        "changed": imported and imported.changed,
        "unchanged": imported and imported.unchanged,
        "flags": imported and dict(imported.flags),
        "missing": report.missing,
        "rejected": report.rejected,
        "rejected_to": _text(summary.rejected_to),
        "first": first,
        "last": last,
        "seconds": round(summary.seconds, 3),
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else click.format_filename(path)
