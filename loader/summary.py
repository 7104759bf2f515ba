"""The JSON document that describes the outcome of an import."""

from collections.abc import Sequence
from pathlib import Path

import click

from cli.error_report import ErrorReport, error_summary
from loader.importer import ImportSummary


def import_document(
    summaries: Sequence[ImportSummary], errors: ErrorReport, *, dry_run: bool
) -> dict[str, object]:
    """Return the JSON document of an import."""
    reports = [_report_document(summary) for summary in summaries]
    return {"ok": True, "written": not dry_run, "reports": reports, "faults": error_summary(errors)}


def _report_document(summary: ImportSummary) -> dict[str, object]:
    report, imported = summary.report, summary.imported
    first, last = report.span or (None, None)
    return {
        "report": report.name,
        "format": None if report.detected is None else report.detected.format.name,
        "meter": summary.meter and summary.meter.public_id,
        "interval": report.interval,
        "readings": report.readings,
        "new": imported and imported.new,
        "changed": imported and imported.changed,
        "unchanged": imported and imported.unchanged,
        "flags": imported and dict(imported.flags),
        "missing": report.missing,
        "rejected": report.rejected,
        "rejected_to": _path_text(summary.rejected_to),
        "first": first,
        "last": last,
        "seconds": round(summary.seconds, 3),
    }


def _path_text(path: Path | None) -> str | None:
    return None if path is None else click.format_filename(path)
