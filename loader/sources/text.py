"""Dividing text into whole lines in UTF-8, or in the encoding of the format."""

import codecs
from collections.abc import Iterable, Iterator

import numpy as np

from loader.rows.file_reader import check_row_length
from loader.rows.sorted_rows import NumberedRows
from loader.sources.kinds import UTF16_BE, UTF16_LE, FileKind


def text_rows(path: str, blocks: Iterable[bytes], kind: FileKind) -> Iterator[NumberedRows]:
    """Yield whole lines, each with its end; raise ReportError if a line has none."""
    if kind.mark:
        blocks = _without(kind.mark, blocks)
    if kind.encoding in (UTF16_LE, UTF16_BE):
        blocks = _in_utf8(blocks, kind.encoding)
    if kind.ends_with_cr:
        blocks = (block.replace(b"\r", b"\n") for block in blocks)
    return _whole_lines(path, blocks)


def _whole_lines(path: str, blocks: Iterable[bytes]) -> Iterator[NumberedRows]:
    rest = b""
    line = 1
    for block in blocks:
        whole, end, rest = (rest + block).rpartition(b"\n")
        if end:
            content = whole + end
            # Five times as quick as `bytes.count`.
            count = int(np.count_nonzero(np.frombuffer(content, np.uint8) == ord("\n")))
            yield NumberedRows(content, range(line, line + count))
            line += count
        check_row_length(path, line, rest)
    if rest:
        yield NumberedRows(rest + b"\n", range(line, line + 1))


def _without(mark: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks, the first of which begins with a mark, without it."""
    is_first = True
    for block in blocks:
        yield block.removeprefix(mark) if is_first else block
        is_first = False


def _in_utf8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield text in UTF-8; what is no text becomes U+FFFD, which no row may have."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield decoder.decode(block).encode()
    yield decoder.decode(b"", final=True).encode()
