"""What a new password must be: long enough, and none that is tried first."""

import re
from functools import cache
from importlib.resources import files

MIN_LENGTH = 10
MAX_LENGTH = 256
"""Characters: a longer password would not fit into the header of a login."""

_SERVICE_NAMES = ("elecdata", "elecprod")
_MIN_NAME_LENGTH = 3
_MIN_WITHOUT_NAMES = 8
"""Characters that a password must have besides the names in it."""

_SEQUENCES = [
    row + row
    for line in ("abcdefghijklmnopqrstuvwxyz", "0123456789", "1234567890", "qwertyuiop")
    for row in (line, line[::-1])
]
_NOT_LETTERS = r"[\W\d_]+"
_AROUND_LETTERS = re.compile(f"^{_NOT_LETTERS}|{_NOT_LETTERS}$")


def password_fault(password: str, user: str) -> str | None:
    """Return what is wrong with a new password of a user, None if it is good.

    The rules are those of NIST SP 800-63B: a length, and comparisons with what is tried first;
    nothing about kinds of characters. The text never shows the password.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"expected {MIN_LENGTH} to {MAX_LENGTH} characters"
    if not _is_text(password):
        return "expected text that can be written as UTF-8"
    plain = password.casefold()
    if _is_repeated(plain) or any(plain in sequence for sequence in _SEQUENCES):
        return "expected more than a repetition or a sequence"
    rest = _without_names(plain, user)
    if len(rest) < _MIN_WITHOUT_NAMES:
        return "expected more than the name of the user or the service"
    if {rest, _AROUND_LETTERS.sub("", rest)} & _commonest():
        return "expected none of the commonest passwords, also with digits or signs around it"
    return None


def _is_text(password: str) -> bool:
    """Return whether a password has no lone surrogates, which JSON can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in password)


def _is_repeated(text: str) -> bool:
    """Return whether a text is a shorter part again and again, itself too short."""
    length = (text + text).index(text, 1)
    return length < len(text) and length < MIN_LENGTH


def _without_names(text: str, user: str) -> str:
    for name in (user.casefold(), *_SERVICE_NAMES):
        if len(name) >= _MIN_NAME_LENGTH:
            text = text.replace(name, "")
    return text


@cache
def _commonest() -> frozenset[str]:
    """Return the twenty thousand commonest passwords, in small letters.

    They are the list of Django (BSD licence), which is of passwords that were published in leaks.
    """
    text = files(__package__).joinpath("common-passwords.txt").read_text("utf-8")
    return frozenset(text.splitlines())
