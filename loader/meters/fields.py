"""Parsing the properties of meters; each function raises ValueError with what was expected."""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.time.time_zone import DAY_SECONDS
from storage.meters import PUBLIC_ID_EXPECTED, is_public_id

_MAX_IDENTIFIER_LENGTH = 64
_MAX_NAME_LENGTH = 200
_MAX_NOTE_LENGTH = 1000
_AREA = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")


def parse_public_id(text: str) -> str:
    """Return a public id."""
    if not is_public_id(text):
        raise ValueError(PUBLIC_ID_EXPECTED)
    return text


def parse_identifier(text: str) -> str | None:
    """Return what reports call a meter, None for an empty text."""
    return _text(text, _MAX_IDENTIFIER_LENGTH)


def parse_name(text: str) -> str | None:
    """Return a name for people, None for an empty text."""
    return _text(text, _MAX_NAME_LENGTH)


def parse_note(text: str) -> str | None:
    """Return a remark, None for an empty text."""
    return _text(text, _MAX_NOTE_LENGTH)


def parse_timezone(text: str) -> str:
    """Return the name of a time zone."""
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Madrid") from None


def parse_interval(text: str) -> int | None:
    """Return the seconds of an interval, None for an empty text."""
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or not int(text) or DAY_SECONDS % int(text):
        raise ValueError(f"seconds that divide a day ({DAY_SECONDS}), such as 900")
    return int(text)


def parse_area(text: str) -> float | None:
    """Return an area in m2, None for an empty text."""
    if not text:
        return None
    if not _AREA.fullmatch(text) or not float(text):
        raise ValueError("square metres, more than 0, such as 85 or 85.5")
    return float(text)


def _text(text: str, max_length: int) -> str | None:
    text = text.strip()
    if len(text) > max_length or not text.isprintable():
        raise ValueError(f"at most {max_length} printable characters")
    return text or None
