"""Reading XML as it comes, in bounded memory, without any document type or entity of its own."""

from collections.abc import Callable
from functools import lru_cache
from xml.parsers import expat

from loader.rows.errors import ReportError

_MAX_DEPTH = 64
_MAX_PIECE_BYTES = 2**20
"""How long a piece of XML may be that is read at once: a tag, a comment."""
_MAX_TEXT = 2**16
_BLOCK_BYTES = 2**16


class XmlReader:
    """Calls back with the elements of a document, by their names without prefix or namespace.

    Raises ReportError if the document is damaged or can't be read within bounds.
    """

    def __init__(
        self,
        path: str,
        on_start: Callable[[str, dict[str, str]], None],
        on_end: Callable[[str, str], None],
    ) -> None:
        """Call `on_start` with the name and the attributes, `on_end` with the name and the text."""
        self._path = path
        self._on_start = on_start
        self._on_end = on_end
        self._depth = 0
        self._text: list[str] = []
        self._text_size = 0
        self._silent = 0
        """The bytes since something of the document was seen."""
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._add_text
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.DefaultHandler = self._pass_over

    @property
    def line(self) -> int:
        """The line of the element that the callback is about."""
        return self._parser.CurrentLineNumber

    def feed(self, block: bytes) -> None:
        """Read the next block."""
        for begin in range(0, len(block), _BLOCK_BYTES):
            piece = block[begin : begin + _BLOCK_BYTES]
            self._silent += len(piece)
            if self._silent > _MAX_PIECE_BYTES:
                raise self._error(f"a tag or comment has over {_MAX_PIECE_BYTES} bytes")
            self._parse(piece, is_last=False)

    def close(self) -> None:
        """Read the end; the document must be complete."""
        self._parse(b"", is_last=True)

    def _parse(self, block: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(block, is_last)
        except expat.ExpatError as error:
            raise ReportError(
                f"{self._path}:{error.lineno}: XML: {expat.ErrorString(error.code)}:"
                " expected a complete document"
            ) from error
        except (LookupError, ValueError):
            raise self._error("the encoding that it says is not known") from None

    def _error(self, what: str) -> ReportError:
        return ReportError(f"{self._path}:{self.line}: XML: {what}: expected a report")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent = 0
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"elements are nested over {_MAX_DEPTH} deep")
        self._text.clear()
        self._text_size = 0
        self._on_start(_local_name(name), attributes)

    def _end(self, name: str) -> None:
        self._silent = 0
        self._depth -= 1
        text = "".join(self._text)
        self._text.clear()
        self._text_size = 0
        self._on_end(_local_name(name), text)

    def _add_text(self, text: str) -> None:
        self._silent = 0
        self._text_size += len(text)
        if self._text_size > _MAX_TEXT:
            raise self._error(f"a text has over {_MAX_TEXT} characters")
        self._text.append(text)

    def _pass_over(self, _: str) -> None:
        self._silent = 0

    def _refuse_doctype(self, *_: object) -> None:
        raise self._error("has a document type (DOCTYPE), which is not read")


@lru_cache(maxsize=1024)
def _local_name(name: str) -> str:
    return name.rpartition(" ")[2]
