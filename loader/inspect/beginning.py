"""The first lines of a file, decoded by what its bytes show."""

import codecs
import gzip
import re
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from files.regular import open_regular
from loader.rows.errors import ReportError

MAX_BYTES = 2**20
MAX_LINES = 2000

_LINE_END = re.compile(r"\r\n|\n|\r")
_UTF_16_SHARE = 4
"""One byte in so many is NUL at least in text in UTF-16."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first lines of a file."""

    encoding: str
    """The encoding, as the key `encoding` has it."""
    lines: Sequence[str]
    is_whole: bool
    """Whether these are all lines of the file."""


def decode_beginning(content: bytes, *, is_whole: bool) -> Beginning:
    """Return the lines of the first bytes of a file, without one that is cut off."""
    encoding = _encoding_of(content)
    is_utf_8 = encoding == "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if is_utf_8 else encoding)("replace")
    lines = _LINE_END.split(decoder.decode(content))
    if not is_whole or not lines[-1]:
        lines.pop()
    return Beginning(encoding, lines[:MAX_LINES], is_whole and len(lines) <= MAX_LINES)


def _encoding_of(content: bytes) -> str:
    """Return the encoding of text: what its mark says, or the first one that it is valid in."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if content.count(0) * _UTF_16_SHARE >= len(content) > 1:
        return "utf-16-le" if content[1] == 0 else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(content)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def read_beginning(path: str) -> Beginning:
    """Return the first lines of a file, unpacked if it is compressed; raise ReportError."""
    try:
        with open_regular(path) as raw:
            is_packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if is_packed else nullcontext(raw) as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ReportError(f"{path}: cannot be read: {reason}") from error
    return decode_beginning(content[:MAX_BYTES], is_whole=len(content) <= MAX_BYTES)
