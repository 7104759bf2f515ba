"""Patterns of dates and times: how settings write them, and the expressions that read them."""

import re
import unicodedata
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

ISO = "iso"
"""The pattern of timestamps with their offset."""
EPOCH = "epoch"
"""The pattern of seconds since 1970."""
EPOCH_MS = "epoch-ms"
"""The pattern of milliseconds since 1970."""

INSTANT_PATTERNS = ISO, EPOCH, EPOCH_MS
"""The patterns that have a name."""

DIRECTIVES_EXPECTED = "%d %m %b %B %j %y %Y %H %I %p %M %S %f %z"

_MONTHS = (
    "january jan januar jän jänner jaenner janvier janv ene enero gen gennaio janeiro januari",
    "february feb februar feber février févr fév febrero febbraio fevereiro fev februari",
    "march mar märz mär mrz maerz mars marzo março maart mrt",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juil julio luglio lug julho",
    "august aug août agosto ago augustus",
    "september sep sept septembre septiembre setiembre settembre sett setembro set",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre déc diciembre dic dicembre dezembro",
)
"""The names of the months: English, German, French, Spanish, Italian, Portuguese, Dutch."""


def _plain(text: str) -> str:
    """Return text in small letters without accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


_NUMBERS = {_plain(name): at for at, names in enumerate(_MONTHS, 1) for name in names.split()}
_NAMES = {name for names in _MONTHS for name in names.split()} | {*_NUMBERS}
_MONTH = rf"(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})\.?"

_DIGITS = {"d": 2, "m": 2, "y": 2, "H": 2, "I": 2, "M": 2, "S": 2, "j": 3}
"""The most digits of numbers that may be shorter."""
_FIXED = {
    "Y": "[0-9]{4}",
    "b": _MONTH,
    "B": _MONTH,
    "p": r"[ap]\.?(?:\s?m\.?)?",
    "f": "0{1,9}",
    "z": r"(?:[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2}|Z|UTC|GMT)",
}
_ANY = "*"
_TOKEN = re.compile(r"%(.)|(\*)|([^%*]+)", re.DOTALL)

_DATE_PARTS = {"d": "day", "j": "day", "m": "month", "b": "month", "B": "month"} | dict.fromkeys(
    "yY", "year"
)
_CLOCK_PARTS = {
    "H": "hour",
    "I": "hour",
    "p": "half",
    "M": "minute",
    "S": "second",
    "f": "fraction",
    "z": "offset",
}
_PARTS = _DATE_PARTS | _CLOCK_PARTS


class _Token(NamedTuple):
    """A part of a pattern: a directive, any text, or text that stands there."""

    directive: str = ""
    text: str = ""


class PatternError(ValueError):
    """A pattern is none."""


def month_number(name: str) -> int:
    """Return the number of a month that a pattern has read."""
    return _NUMBERS[_plain(name.rstrip("."))]


class TimePattern:
    """A pattern of dates, of times of day, or of both; raises PatternError if it is none."""

    def __init__(self, pattern: str) -> None:
        self._tokens: list[_Token] = []
        for match in _TOKEN.finditer(pattern):
            directive, any_text, text = match.groups(default="")
            self._tokens.append(_Token(directive or any_text, text))
        named = [token.directive for token in self._tokens if token.directive not in ("", _ANY)]
        parts = [_PARTS.get(name, "") for name in named]
        if pattern.endswith("%") and not pattern.endswith("%%"):
            raise PatternError
        self.parts = frozenset(parts)
        """What it has: day, month, year, hour, half, minute, second, fraction, offset."""
        counted = "j" in named
        if "" in parts or len(parts) != len(self.parts) or (counted and "month" in parts):
            raise PatternError
        if ("half" in parts) is not ("I" in named):
            raise PatternError
        order = ("hour", "minute", "second", "fraction")
        if any(later in parts and part not in parts for part, later in pairwise(order)):
            raise PatternError
        date = {"year", "day"} if counted else {"year", "month", "day"}
        self.has_date = date <= self.parts
        self.has_clock = "hour" in parts
        if bool(self.parts & {*_DATE_PARTS.values()}) is not self.has_date:
            raise PatternError
        if not self.has_clock and "offset" in parts:
            raise PatternError

    @property
    def has_offset(self) -> bool:
        """Whether times have their offset."""
        return "offset" in self.parts

    def example(self, moment: datetime) -> str:
        """Return a time as the pattern writes it."""
        texts = {"p": "PM" if moment.hour >= 12 else "AM", "f": "0", "z": "+0200", _ANY: "..."}
        return "".join(
            token.text or texts.get(token.directive) or moment.strftime(f"%{token.directive}")
            for token in self._tokens
        )

    def expression(self) -> str:
        """Return the regular expression of a whole text, with a group for each directive."""
        return self._expression(self._tokens)

    def halves(self) -> tuple[str, str, str] | None:
        """Return the expressions of date and clock, and what stands between them.

        None unless the date comes first as a whole, with text that is no digit between the two.
        """
        dates = [at for at, token in enumerate(self._tokens) if token.directive in _DATE_PARTS]
        clocks = [at for at, token in enumerate(self._tokens) if token.directive in _CLOCK_PARTS]
        if not dates or not clocks or dates[-1] + 2 != clocks[0]:
            return None
        between = self._tokens[dates[-1] + 1].text
        if not between or any(character.isdigit() for character in between):
            return None
        date, clock = self._tokens[: dates[-1] + 1], self._tokens[clocks[0] :]
        return self._expression(date), between, self._expression(clock)

    def _expression(self, tokens: list[_Token]) -> str:
        parts = []
        around = [_Token(), *tokens, _Token()]
        for before, token, after in zip(around, tokens, around[2:], strict=False):
            name = token.directive
            if name == _ANY:
                parts.append(".*?")
            elif not name:
                parts += [r"\s+" if run.isspace() else re.escape(run) for run in _runs(token.text)]
            else:
                parts.append(f"(?P<{name}>{_FIXED.get(name) or _number(name, before, after)})")
                if _is_number(token):
                    # Any text next to a number does not begin or end with a digit of it.
                    parts.insert(-1, "(?<![0-9])" * (before.directive == _ANY))
                    parts.append("(?![0-9])" * (after.directive == _ANY))
        return "".join(parts)


def _number(name: str, before: _Token, after: _Token) -> str:
    """Return the expression of a number, which has all its digits if it touches another."""
    digits = _DIGITS[name]
    is_touched = _is_number(before) or before.text[-1:].isdigit()
    is_touched = is_touched or _is_number(after) or after.text[:1].isdigit()
    return f"[0-9]{{{digits}}}" if is_touched else f"[0-9]{{1,{digits}}}"


def _is_number(token: _Token) -> bool:
    return token.directive in _DIGITS or token.directive in ("Y", "f")


def _runs(text: str) -> list[str]:
    """Return text in runs of blanks and of others."""
    return re.findall(r"\s+|\S+", text)
