"""What the command tells of a file: as JSON, and as text."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from loader.inspect.examination import Examination, ProposedEntry
from loader.inspect.trial import MAX_READINGS, Trial

_MAX_NAMES = 12
_MAX_ERRORS = 3
_WITHOUT_HEADING = ("NEM12", "XML")
_DELIMITER_NAMES = {"\t": "a tab"}


def inspection_document(found: Examination, alike: Sequence[str] = ()) -> dict[str, object]:
    """Return what is known of a file, and of those that are alike, as a JSON document."""
    sheet, trial, proposed, nearest = found.sheet, found.trial, found.proposed, found.nearest
    return {
        "ok": found.is_readable,
        "file": found.path,
        "alike": list(alike),
        "kind": found.kind,
        "sheet": found.beginning.sheet,
        "delimiter": sheet and sheet.delimiter,
        "heading_line": sheet and sheet.heading and sheet.heading.number,
        "heading": sheet and sheet.names and list(sheet.names),
        "other_lines": sheet and [line.number for line in sheet.strays],
        "formats": found.fitting,
        "nearest": nearest
        and {
            "format": nearest.name,
            "missing": list(nearest.missing),
            "additional": list(nearest.additional),
        },
        "timezone": str(found.zone),
        **_trial_document(found, trial),
        "entry": proposed
        and {
            "name": proposed.name,
            "text": proposed.text,
            "works": proposed.trial.reads_all,
            "confirm": list(proposed.confirm),
            "evidence": list(proposed.evidence),
            "registers": list(proposed.registers),
            "unread": list(proposed.unread),
        },
    }


def _trial_document(found: Examination, trial: Trial | None) -> dict[str, object]:
    trial = trial or Trial()
    first, last = trial.span or (None, None)
    return {
        "readings": trial.readings,
        "missing": trial.missing,
        "ignored_rows": trial.ignored,
        "unread_rows": trial.unread,
        "rejected": trial.rejected,
        "repeated": trial.repeated,
        "refused_days": trial.refused_days,
        "meters": trial.meters,
        "first": first,
        "last": last,
        "intervals": trial.intervals,
        "gaps": trial.gaps,
        "clock_changes": [
            {"day": day, "readings": count} for day, count in found.changes_of_clocks()
        ],
        "first_readings": trial.shown,
        "errors": [error for error in [trial.error, *trial.errors.shown] if error],
    }


def inspection_lines(found: Examination, count: int = 1) -> Iterator[str]:
    """Yield the lines of text about a file, which is the first of so many that are alike."""
    more = f" and {count - 1} more like this one" if count > 1 else ""
    yield f"{PurePath(found.path).name}{more}"
    for name, value in [*_form_rows(found), *_reading_rows(found)]:
        yield f"  {name:<15}{value}"
    if found.known_trial is not None:
        yield from _listed(f"What {found.fitting[0]} does not read:", _errors(found.known_trial))
    proposed = found.proposed
    if proposed is None:
        return
    yield ""
    if proposed.trial.reads_all:
        yield "This entry in config.yaml loads it:"
    else:
        yield "No entry was found that loads all of it; the nearest one is:"
    yield ""
    yield from proposed.text.rstrip("\n").split("\n")
    yield from _shown(proposed.trial)
    yield from _listed("Confirm before you load it:", proposed.confirm)
    yield from _listed("What it does not read:", _errors(proposed.trial))


def _errors(trial: Trial) -> list[str]:
    """Return the first errors of a reading."""
    return [error for error in [*trial.errors.shown[:_MAX_ERRORS], trial.error] if error]


def _form_rows(found: Examination) -> list[tuple[str, object]]:
    """Return what the file looks like, and which format fits."""
    sheet = found.sheet
    sheet_name = found.beginning.sheet
    text = found.kind if sheet_name is None else f"workbook, sheet {sheet_name}"
    if sheet is None:
        return [("file", text), ("table", "none: no rows with a date and other columns were found")]
    if found.kind in _WITHOUT_HEADING:
        return [("file", text), ("format", _format(found))]
    delimiter = _DELIMITER_NAMES.get(sheet.delimiter, sheet.delimiter)
    heading = "none"
    if sheet.heading is not None and sheet.names:
        heading = f"line {sheet.heading.number}: {_names([n for n in sheet.names if n])}"
    return [
        ("file", f"{text}, columns separated by {delimiter}"),
        ("heading", heading),
        ("format", _format(found)),
    ]


def _format(found: Examination) -> str:
    """Return which known format fits, or what the nearest one lacks."""
    if len(found.fitting) > 1:
        return f"{', '.join(found.fitting)} fit: say which with --format"
    if found.fitting:
        reads_all = found.known_trial is not None and found.known_trial.reads_all
        return f"{found.fitting[0]}{'' if reads_all else ', but it does not read all rows'}"
    nearest = found.nearest
    if nearest is None:
        return "no known one"
    parts = [f"no known one; {nearest.name} comes nearest"]
    if nearest.missing:
        parts.append(f"missing {_names(nearest.missing)}")
    if nearest.additional:
        parts.append(f"additional {_names(nearest.additional)}")
    return "; ".join(parts)


def _reading_rows(found: Examination) -> Iterator[tuple[str, object]]:
    """Yield what reading the file gave."""
    trial = found.trial
    if trial is None:
        return
    more = f", only the first {MAX_READINGS} were looked at" if trial.is_cut_off else ""
    refused = f", {trial.rejected} rows are refused" if trial.rejected else ""
    yield "readings", f"{trial.readings}{refused}{more}"
    if trial.ignored:
        yield "ignored rows", trial.ignored
    if trial.unread:
        yield "unread rows", trial.unread
    if len(trial.meters) == 1:
        yield "meter", trial.meters[0]
    elif trial.meters:
        yield "meters", f"{len(trial.meters)}: {_names(trial.meters)}"
    if trial.span is not None:
        yield "span", " to ".join(trial.span)
    if trial.is_cut_off and found.proposed is not None and found.proposed.interval:
        yield "interval", f"{found.proposed.interval} s in the first lines"
    elif trial.intervals:
        texts = ["unknown" if each is None else f"{each} s" for each in trial.intervals]
        yield "interval", ", then ".join(texts)
        yield "gaps", trial.gaps or "none"
    changes = found.changes_of_clocks()
    days = [f"{day} with {count} readings" for day, count in changes]
    yield "clock changes", _names(days) if days else f"none in it ({found.zone})"
    if found.proposed is not None:
        yield from _column_rows(found.proposed)


def _column_rows(proposed: ProposedEntry) -> Iterator[tuple[str, object]]:
    """Yield what is known of the columns."""
    for text in proposed.evidence:
        yield "seen", text
    if proposed.registers:
        yield "registers", _names(proposed.registers)
    if proposed.unread:
        yield "not read", _names(proposed.unread)


def _shown(trial: Trial) -> Iterator[str]:
    """Yield the first readings as a table."""
    if not trial.shown:
        return
    names = list(dict.fromkeys(name for reading in trial.shown for name in reading))
    rows: list[list[str]] = [names, *([r.get(name, "") for name in names] for r in trial.shown)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    yield ""
    yield "The first readings, as they would be stored:"
    for row in rows:
        fields = (field.ljust(width) for field, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(fields).rstrip()}"


def _listed(title: str, texts: Sequence[str]) -> Iterator[str]:
    if texts:
        yield ""
        yield title
        for text in texts:
            yield f"  - {text}"


def _names(names: Sequence[Any]) -> str:
    """Return names in one line, the first ones if there are many."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(str, names[:_MAX_NAMES])) + more
