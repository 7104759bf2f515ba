"""Amending a draft of a format that does not read all rows of a file."""

from collections.abc import Callable, Sequence

from loader.inspect.beginning import UTF_8
from loader.inspect.drafts import Draft, line_patterns
from loader.inspect.row_times import EITHER_ORDER
from loader.inspect.sheet import split_line
from loader.inspect.texts.notations import tells_day
from loader.inspect.texts.numerals import is_number
from loader.inspect.trial import Trial

_MAX_WORDS = 3
"""Words for missing values."""

_Change = Callable[[Draft, Trial], Draft | None]
"""Changes a draft by what the reading with it gave; None where it has no place."""


def _round(draft: Draft, _: Trial) -> Draft | None:
    if "round" in draft.entry:
        return None
    return draft.changed("numbers with more than five decimals are rounded", round=True)


def _registers(draft: Draft, _: Trial) -> Draft | None:
    energies = {
        name: column if isinstance(column, dict) else {"header": column}
        for name, column in draft.entry["columns"].items()
        if name.endswith("energy")
    }
    if any("kind" in column for column in energies.values()):
        return None
    if "end" in draft.entry["time"]:
        draft = draft.with_time(end=None, end_clock=None, marks="start")
    columns = {name: column | {"kind": "register"} for name, column in energies.items()}
    return draft.changed("the energies are states of a cumulative register", columns=columns)


def _standard_time(draft: Draft, _: Trial) -> Draft | None:
    if "timezone" in draft.entry["time"]:
        return None
    offset = draft.standard_offset
    return draft.with_time(
        f"times are of {offset} all year, without daylight saving", timezone=offset
    )


def _other_order(draft: Draft, _: Trial) -> Draft | None:
    """Exchange day and month: later lines may show what the first ones do not."""
    pattern = draft.entry["time"]["pattern"]
    exchanged = pattern.replace("%d", "%-").replace("%m", "%d").replace("%-", "%m")
    if exchanged == pattern:
        return None
    return draft.sure_of(EITHER_ORDER).with_time(pattern=exchanged)


def _hours(draft: Draft, _: Trial) -> Draft | None:
    """Say what hours count that rows do not tell: distributors count them from 1."""
    time = draft.entry["time"]
    if not ("hour" in time or "period" in time) or "hours" in time:
        return None
    is_counted = time.get("marks") == "end" or time.get("first_period") == 1
    kind, said = ("counted", "counted") if is_counted else ("clock", "those of the clock")
    return draft.with_time(f"hours are {said} on days on which clocks change", hours=kind)


def _one_length(draft: Draft, _: Trial) -> Draft | None:
    if "lengths" not in draft.entry:
        return None
    return draft.changed(lengths=None, interval=draft.entry["lengths"][0])


def _missing_words(draft: Draft, trial: Trial) -> Draft | None:
    """Take the fields that are no numbers for missing values, if they are a few words."""
    words = {error.value for error, _ in trial.faults if error.expected.startswith("a decimal")}
    words = {word for word in words if not is_number(word)} - {*draft.entry.get("missing", ())}
    if not 1 <= len(words) <= _MAX_WORDS:
        return None
    missing = [*draft.entry.get("missing", ()), *sorted(words)]
    return draft.changed(f"{', '.join(sorted(words))} stands for no value", missing=missing)


def _other_lines(draft: Draft, trial: Trial) -> Draft | None:
    """Pass over the lines that have no day, if they are a few."""
    delimiter, encoding = (draft.entry.get(key) for key in ("delimiter", "encoding"))
    lines = dict.fromkeys(raw.decode(encoding or UTF_8, "replace") for _, raw in trial.faults)
    rows = (line for line in lines if any(map(tells_day, split_line(line, delimiter or ","))))
    if trial.rejected > len(lines) or next(rows, None) is not None:
        return None
    patterns = [*draft.entry.get("ignored_rows", ()), *line_patterns(list(lines))]
    return draft.changed(ignored_rows=list(dict.fromkeys(patterns)))


def _western(draft: Draft, _: Trial) -> Draft | None:
    return None if "encoding" in draft.entry else draft.changed(encoding="cp1252")


AMENDMENTS: Sequence[tuple[str, _Change]] = (
    ("round: true", _round),
    ("cumulative register", _registers),
    ("without NUL bytes", _western),
    ("expected a decimal", _missing_words),
    ("", _other_lines),
    ("expected a date", _other_order),
    ("a local time that exists", _standard_time),
    ("", _hours),
    ("", _one_length),
)
"""What may help, and what the messages say where it may."""
