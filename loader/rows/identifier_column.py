"""Finding the meters of a report's rows without parsing them."""

import re

from loader.rows.header import Header

MAX_IDENTIFIER_LENGTH = 64
NO_METER = ""
"""Instead of an identifier: of an empty line or a row that can't be assigned to a meter."""

_MAX_SPELLINGS = 100_000
_BYTEWISE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d|cp437|cp85\d|koi8-[rtu]")
"""Encodings in which the byte of an ASCII character is always that character."""


def is_identifier(text: str) -> bool:
    """Return whether a field can be a meter's name."""
    return 1 <= len(text) <= MAX_IDENTIFIER_LENGTH


def plain_identifier(text: str) -> str:
    """Return a meter's name without the apostrophe that makes spreadsheets take it for text."""
    return text[1:] if text[:1] == "'" and text[1:].isdigit() else text


class IdentifierColumn:
    """The column of a report that names the meter of each row."""

    def __init__(self, header: Header, field: int) -> None:
        self._header = header
        self._field = field
        self._is_bytewise = _BYTEWISE.fullmatch(header.encoding) is not None
        self._spellings = _Spellings(header.encoding)
        delimiter = re.escape(header.delimiter).encode()
        # A field with any other quote is left to the csv module.
        any_field = rb'(?:[^"\0\r\n%b]*+|"[^"\0\r\n]*+")' % delimiter
        before = (any_field + delimiter) * field
        after = (delimiter + any_field) * (len(header.names) - field - 1)
        reason = rb"(?:%b%b)?" % (delimiter, any_field) if header.has_reasons else b""
        row = rb"%b(%b)%b%b\r*+" % (before, any_field, after, reason)
        self._row = re.compile(row)
        self._rows = re.compile(rb"^%b\n" % row, re.MULTILINE)
        self._first_field = re.compile(rb"(%b)%b" % (any_field, delimiter))

    def is_only(self, content: bytes, count: int, identifier: str) -> bool:
        """Return whether each of `count` lines is of this meter, as far as a quick look tells."""
        if self._field:
            return self._is_bytewise and set(self.find(content, count)) == {identifier}
        first = self._first_field.match(content)
        return (
            first is not None
            and self._spellings[first[1]] == identifier
            and content.count(b"\n" + first[0]) == count - 1
        )

    def is_empty(self, row: bytes) -> bool:
        """Return whether a line has no fields."""
        return self._header.split(0, row) is None

    def find(self, content: bytes, count: int) -> list[str]:
        """Return the identifier of each of `count` lines, NO_METER if it has no valid one."""
        spellings = self._spellings
        if len(spellings) > _MAX_SPELLINGS:
            spellings.clear()
        if self._is_bytewise and self._is_text(content):
            found = self._rows.findall(content)
            if len(found) == count:
                return [spellings[spelling] for spelling in found]
        return [self._find_in(row) for row in content.removesuffix(b"\n").split(b"\n")]

    def _find_in(self, row: bytes) -> str:
        match = None
        if self._is_bytewise and self._is_text(row):
            match = self._row.fullmatch(row)
        if match is not None:
            return self._spellings[match[1]]
        fields = self._header.split(0, row)
        if isinstance(fields, list) and is_identifier(fields[self._field]):
            return plain_identifier(fields[self._field])
        return NO_METER

    def _is_text(self, content: bytes) -> bool:
        """Return whether content can be decoded without any character being replaced."""
        if content.isascii():
            return True
        try:
            return "\ufffd" not in content.decode(self._header.encoding)
        except UnicodeDecodeError:
            return False


class _Spellings(dict[bytes, str]):
    """The identifier for each spelling of it in a report."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def __missing__(self, spelling: bytes) -> str:
        text = spelling.decode(self._encoding, "replace")
        if text.startswith('"'):
            text = text[1:-1]
        text = text.strip()
        is_valid = is_identifier(text) and "\ufffd" not in text
        self[spelling] = identifier = plain_identifier(text) if is_valid else NO_METER
        return identifier
