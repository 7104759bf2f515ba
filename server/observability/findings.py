"""Findings of the checks, and their formats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import click


class Level(StrEnum):
    """The severity of a finding."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
_MARGIN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, what was found, and what to do if it isn't fine.

    Details are for scripts.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


def ok(subject: str, found: str, details: Mapping[str, str] | None = None) -> Finding:
    """Return a finding: something is fine."""
    return Finding(Level.OK, subject, found, details=details or {})


def warn(subject: str, found: str, remedy: str) -> Finding:
    """Return a finding: something works, and should be changed."""
    return Finding(Level.WARN, subject, found, remedy)


def fail(subject: str, found: str, remedy: str = "") -> Finding:
    """Return a finding: the service can't work like this."""
    return Finding(Level.FAIL, subject, found, remedy)


def format_lines(finding: Finding) -> tuple[str, list[str]]:
    """Return a finding as text for people: the level in its colour, and the lines after it."""
    level = click.style(f"{finding.level:<5}", fg=_COLOURS[finding.level])
    lines = [f" {finding.subject:<{_MARGIN - 7}} {finding.found}"]
    if finding.remedy:
        lines.append(f"{'':{_MARGIN}}{finding.remedy}")
    return level, lines


def findings_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return all findings for scripts, as one JSON object."""
    checks = []
    for finding in findings:
        check: dict[str, object] = {
            "level": finding.level,
            "subject": finding.subject,
            "found": finding.found,
        }
        if finding.remedy:
            check["remedy"] = finding.remedy
        if finding.details:
            check["details"] = finding.details
        checks.append(check)
    return {"ok": not has_failures(findings), "checks": checks}


def has_failures(findings: Sequence[Finding]) -> bool:
    """Return whether anything keeps the service from working."""
    return any(finding.level == Level.FAIL for finding in findings)
