"""Parsing of parameters: query strings, JSON objects, URL-encoded and multipart forms.

A body is complete and within `limits.body` when it is parsed. Parameters are counted as they come:
the first one too many ends the parsing, and so does the first that is no text.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import NoReturn

from yarl import query_to_pairs

from server.errors import ParameterError

Pair = tuple[str, str]


class TooManyError(Exception):
    """There are more parameters than allowed."""


_CHARSETS = {"utf-8", "ascii", "iso8859-1"}
"""The charsets of forms: some others take minutes for a megabyte."""

_MAX_BOUNDARY_LENGTH = 70
_MAX_PART_HEAD_BYTES = 2048
_PLAIN_ENCODINGS = {"7bit", "8bit", "binary"}
_HEADER_PARAMETER = re.compile(
    r'\s*;\s*([a-z]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))', re.IGNORECASE
)
_ESCAPED = re.compile(r"\\(.)")
_IDS = re.compile(r"""\[\s*+(?:(?:[0-9]++|"[0-9]++")\s*+(?:,\s*+(?:[0-9]++|"[0-9]++")\s*+)*+)?\]""")
"""A JSON list of ids."""

_DIGITS = re.compile("[0-9]+")
_DATES = {"date", "end_date"}
_BLANKS = re.compile(r"[ \t\n\r]*")


def form_pairs(text: str, limit: int, charset: str = "utf-8") -> list[Pair]:
    """Return the fields of a query string or a URL-encoded form. Raise TooManyError."""
    if text.count("&") >= limit:
        raise TooManyError
    return query_to_pairs(text, encoding=charset)


def json_pairs(body: bytes, limit: int) -> list[Pair]:
    """Return the members of a JSON object. Raise ParameterError or TooManyError."""
    try:
        return list(_members(body.decode(json.detect_encoding(body), "surrogatepass"), limit))
    except (ValueError, IndexError):
        raise ParameterError("body: expected a JSON object, this is malformed") from None


def _members(text: str, limit: int) -> Iterator[Pair]:
    """Yield the members of a JSON object without looking into nested values."""
    position = _after_blanks(text, 0)
    if text[position] != "{":
        raise ParameterError("body: expected a JSON object")
    position = _after_blanks(text, position + 1)
    separator = "," if text[position] != "}" else "}"
    for _ in range(limit):
        if separator == "}":
            break
        pair, position = _member(text, position)
        yield pair
        separator = text[position]
        position = _after_blanks(text, position + 1) if separator == "," else position
    if separator == ",":
        raise TooManyError
    if separator != "}" or _after_blanks(text, position + 1) != len(text):
        raise ValueError(position)


def _member(text: str, position: int) -> tuple[Pair, int]:
    """Return the member at a position, and the position after it."""
    if text[position] != '"':
        raise ValueError(position)
    name, position = _DECODER.raw_decode(text, position)
    position = _after_blanks(text, position)
    if text[position] != ":":
        raise ValueError(position)
    position = _after_blanks(text, position + 1)
    if name == "id" and (ids := _IDS.match(text, position)):
        return (name, ",".join(_DIGITS.findall(ids[0]))), _after_blanks(text, ids.end())
    if text[position] in "[{":
        raise _no_text(name)
    value, position = _DECODER.raw_decode(text, position)
    if name in _DATES and not isinstance(value, str):
        raise ParameterError(
            f'{name}: expected text like "2019-09-11 10:45:00", in quotes,'
            f" got {shortened(str(value))}"
        )
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _no_text(name)
    return (name, str(value)), _after_blanks(text, position)


def _after_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    assert blanks is not None, "there may be none"
    return blanks.end()


def _reject_constant(_: str) -> NoReturn:
    raise ValueError


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def multipart_pairs(body: bytes, content_type: str, limit: int) -> list[Pair]:
    """Return the fields of a multipart form.

    Raise ParameterError or TooManyError; ValueError or LookupError if it is malformed.
    """
    boundary = _header_parameters(content_type).get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_LENGTH:
        raise ValueError(boundary)
    delimiter = b"\r\n--" + boundary.encode()
    # Before the first part, and after each, one delimiter; one more shows that there are too many.
    preamble, *parts = (b"\r\n" + body).split(delimiter, limit + 2)
    if preamble or not parts:
        raise ValueError(preamble)
    if len(parts) > limit + 1:
        raise TooManyError
    if not parts.pop().startswith(b"--"):
        raise ValueError(parts)
    return [_field(part) for part in parts]


def _field(part: bytes) -> Pair:
    """Return the name and the text of a part."""
    head, end, text = part.partition(b"\r\n\r\n")
    if not head.startswith(b"\r\n") or not end or len(head) > _MAX_PART_HEAD_BYTES:
        raise ValueError(head[:_MAX_PART_HEAD_BYTES])
    headers: dict[str, str] = {}
    for line in head.decode().split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if not colon or name.lower() in headers:
            raise ValueError(line)
        headers[name.lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    parameters = _header_parameters(disposition)
    if disposition.partition(";")[0].strip().lower() != "form-data" or "name" not in parameters:
        raise ValueError(disposition)
    name = parameters["name"]
    media_type = headers.get("content-type", "text/plain")
    if parameters.keys() & {"filename", "filename*"} or not media_type.startswith("text/"):
        raise ParameterError(f"{shortened(name)}: expected text, not a file")
    if headers.get("content-transfer-encoding", "8bit").lower() not in _PLAIN_ENCODINGS:
        raise ValueError(headers)
    charset = _header_parameters(media_type).get("charset", "utf-8")
    require_charset(charset)
    return name, text.decode(charset)


def _header_parameters(value: str) -> dict[str, str]:
    """Return the parameters of a header such as Content-Type. Raise ValueError."""
    parameters: dict[str, str] = {}
    position = start = value.find(";")
    while 0 <= start <= position < len(value.rstrip("; \t")):
        match = _HEADER_PARAMETER.match(value, position)
        if match is None:
            raise ValueError(value)
        name, quoted, token = match.groups()
        text = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if parameters.setdefault(name.lower(), text) != text:
            raise ValueError(value)
        position = match.end()
    return parameters


def require_charset(charset: str | None) -> None:
    """Raise ParameterError or LookupError for a charset that forms may not have."""
    if charset is not None and codecs.lookup(charset).name not in _CHARSETS:
        raise ParameterError(f"body: expected UTF-8, got the charset {shortened(charset)}")


def shortened(name: str) -> str:
    """Return the beginning of a name, quoted."""
    return ascii(name[:40])


def _no_text(name: str) -> ParameterError:
    return ParameterError(f"{shortened(name)}: expected text")
