"""Detecting the format of a report by its first lines."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from loader.formats.registry import KnownFormats
from loader.formats.report_format import ReportFormat
from loader.rows.errors import AmbiguousHeadingError, UnknownHeadingError
from loader.rows.header import Header
from loader.table.heading import FoundHeading
from loader.table.top import TopOfFile

_MAX_LISTED = 10
"""Names that a message lists."""


class DetectedFormat(NamedTuple):
    """The format of a report, and its header."""

    format: ReportFormat
    header: Header
    found: FoundHeading | None = None
    """Where it was found, unless another process did."""


def detect_format(
    formats: Sequence[ReportFormat], path: str, lines: Sequence[bytes]
) -> DetectedFormat:
    """Detect the format by a report's first lines.

    Of several that fit, that is the one with the highest heading, then one that finds the meter in
    the heading or above it, then the one that leaves the fewest columns unread, then the one that
    can read the most rows. A shipped format is taken if no other fits. Raises
    UnknownHeadingError if there is none, and AmbiguousHeadingError if there are several.
    """
    top = TopOfFile(lines)
    own = formats.own if isinstance(formats, KnownFormats) else formats
    matches = _best_matches(_fitting(formats, top), lines, own)
    if not matches:
        raise UnknownHeadingError(_misfit(formats, path, top))
    report_format, found = matches[0]
    if len(matches) > 1:
        names = [each.name for each, _ in matches]
        at = max(found.rows_at - 1, 0)
        raise AmbiguousHeadingError(
            f"{path}:{at + 1}: heading: {_shown(lines[at])}: fits several formats: say which with"
            f" --format: {', '.join(names)}",
            names,
        )
    fitted = report_format.fitted(found.header)
    return DetectedFormat(fitted, found.header, found)


_Match = tuple[ReportFormat, FoundHeading]


def _fitting(formats: Sequence[ReportFormat], top: TopOfFile) -> list[_Match]:
    """Return the formats that fit, each with its heading; no shipped one if another does."""
    if not isinstance(formats, KnownFormats):
        return _matches(formats, top, is_only=len(formats) == 1)
    own = _matches(formats.own, top)
    if any(found.is_named for _, found in own):
        return own
    return own + _matches(formats.shipped, top)


def _matches(
    formats: Iterable[ReportFormat], top: TopOfFile, *, is_only: bool = False
) -> list[_Match]:
    headings = ((each, each.find_heading(top, is_only=is_only)) for each in formats)
    return [(each, found) for each, found in headings if found is not None]


def _best_matches(
    matches: list[_Match], lines: Sequence[bytes], own: Sequence[ReportFormat]
) -> list[_Match]:
    """Return the matches that come into question, one if the file tells its format."""

    def rank(match: _Match) -> tuple[bool, int, bool, int]:
        _, found = match
        has_no_meter = found.header.meter is None
        return not found.is_named, found.rows_at, has_no_meter, len(found.unread)

    def rows(match: _Match) -> int:
        each, found = match
        return sum(each.is_row(found.header, line) for line in lines[found.rows_at :])

    best = min(map(rank, matches), default=None)
    matches = [match for match in matches if rank(match) == best]
    if len(matches) > 1:
        counts = [rows(match) for match in matches]
        most = max(counts)
        matches = [match for match, count in zip(matches, counts, strict=True) if count == most]
        if not most and not any(each in own for each, _ in matches):
            # Rows that no shipped format reads are errors of any: the first one tells them.
            matches = matches[:1]
    return matches


def _misfit(formats: Sequence[ReportFormat], path: str, top: TopOfFile) -> str:
    """Return how a report differs from the nearest format."""
    likenesses = [(each.nearest_heading(top), each.name) for each in formats]
    found = [(like.rank, like, name) for like, name in likenesses if like is not None]
    at = top.first if top.first < len(top.lines) else 0
    if found:
        _, nearest, name = min(found, key=lambda each: each[0])
        at = nearest.at
        lacks = f"missing {_listed(nearest.missing)}" if nearest.missing else ""
        more = f"additional {_listed(nearest.additional)}" if nearest.additional else ""
        differences = "; ".join(filter(None, (lacks, more, *nearest.doubtful)))
        said = f"expected a known format, the nearest is {name}: {differences}"
    else:
        said = f"expected a known format such as {_listed([each.name for each in formats])}"
    line = top.lines[at] if top.lines else b""
    hint = "to see what the file is: elecdata inspect FILE"
    return f"{path}:{at + 1}: heading: {_shown(line)}: {said}; {hint}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_LISTED
    listed = ", ".join(f"{text!r:.80}" for text in texts[:_MAX_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


def _shown(line: bytes) -> str:
    return repr(line.decode("utf-8-sig", "replace").rstrip("\r")[:80])
