"""Parsing what grants, groups and keys have; each raises ValueError with what was expected."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TypeVar

import click

from domain.access import PERMISSIONS, Permission, Window
from storage.access.targets import ALL_DAYS, Target
from storage.common.errors import Conflict

T = TypeVar("T")

_KEY_NAME = re.compile(r"[\w.-]{1,64}")
_SHA256 = re.compile("[0-9a-f]{64}")
_DAY_EXPECTED = "a day such as 2026-01-31"
_TIME_EXPECTED = (
    "a time to come with its offset such as 2027-01-01T00:00:00+01:00, or a day such as 2027-01-01,"
    " which begins at 00:00 UTC"
)
_SIGNS = {"+": 1, "-": -1}


def parse_day(text: str) -> date | None:
    """Return a day, None for an empty text."""
    if not text:
        return None
    try:
        # Python also takes weeks, and days without hyphens.
        if len(text) == len("2026-01-31") and text[4] == text[7] == "-":
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(_DAY_EXPECTED)


def parse_expiry(text: str) -> int | None:
    """Return when something is to end, in seconds since 1970, None for an empty text."""
    seconds = parse_time(text)
    if seconds is not None and seconds <= time.time():
        raise ValueError(_TIME_EXPECTED)
    return seconds


def parse_time(text: str) -> int | None:
    """Return when something ends or ended, in seconds since 1970, None for an empty text."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_TIME_EXPECTED) from None
    if instant.tzinfo is None:
        if parse_day(text[:10]) is None or len(text) > len("2026-01-31"):
            raise ValueError(_TIME_EXPECTED)
        instant = instant.replace(tzinfo=UTC)
    return int(instant.timestamp())


def parse_permission(text: str) -> Permission:
    """Return a permission."""
    if text not in PERMISSIONS:
        raise ValueError(" or ".join(PERMISSIONS))
    return PERMISSIONS[text]


def parse_key_name(text: str) -> str:
    """Return the name of an API key."""
    if not _KEY_NAME.fullmatch(text):
        raise ValueError("a name of 1 to 64 letters, digits, dots, _ and -")
    return text


def parse_sha256(text: str) -> str | None:
    """Return the hash of an API key, None for an empty text."""
    if text and not _SHA256.fullmatch(text):
        raise ValueError("64 digits of a SHA-256 in hex, or nothing")
    return text or None


def parse_sign(text: str) -> int:
    """Return the sign of a member: 1, or -1 if it is subtracted."""
    if text not in _SIGNS:
        raise ValueError("+ or -")
    return _SIGNS[text]


def parse_text(text: str) -> str:
    """Return a text that is not empty."""
    if not text:
        raise ValueError("a name")
    return text


def window_of_days(first: date | None, last: date | None) -> Window:
    """Return the days from one to another; None is without bound."""
    window = Window(first or ALL_DAYS.first, last or ALL_DAYS.last)
    if window.last < window.first:
        raise ValueError(f"a last day that is not before the first one, {window.first}")
    return window


def changed_window(window: Window, days: Mapping[str, date | None]) -> Window:
    """Return days with another `first_day` or `last_day`, as far as these are given.

    Raises Conflict if there would be none.
    """
    first, last = days.get("first_day", window.first), days.get("last_day", window.last)
    try:
        return window_of_days(first, last)
    except ValueError as error:
        raise Conflict(f"--until: expected {error}") from None


def one_target(meter: str | None, group: str | None) -> Target:
    """Return a meter or a group."""
    if meter and group:
        raise ValueError("a meter or a group, not both")
    return Target(meter or None, group or None)


def option_value(parse: Callable[[str], T], text: str, option: str) -> T:
    """Return the value of an option; raise BadParameter."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint=option) from None
