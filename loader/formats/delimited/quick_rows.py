"""Reading plain rows quickly: in blocks, or each by texts that were parsed before."""

import re
from typing import TYPE_CHECKING

from loader.formats.delimited.quick_blocks import BLOCK_ROWS, SMALL_BLOCK_ROWS
from loader.formats.delimited.quick_times import QuickTimes
from loader.formats.delimited.rows import DelimitedRows
from loader.rows.header import Header

if TYPE_CHECKING:
    from loader.rows.errors import RowError

_BYTEWISE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d")
"""Encodings in which the bytes of a line are those of its characters, and of no others."""
_MAX_PLAIN_LENGTH = 10_000
"""Characters of a line that is read quickly; longer ones are checked."""


class QuickRows(DelimitedRows):
    """Reads rows of a layout with quick times; those that are not plain are read as any others."""

    def read(self, chunk: bytes, line: int) -> None:
        """Read whole lines, the first of which has this number."""
        quick = self._layout.quick_times
        assert quick is not None, "the layout has quick times"
        text = _plain_text(chunk, self._layout.header)
        if text is None:
            super().read(chunk, line)
        else:
            self._read_quickly(quick, text, line, chunk.removesuffix(b"\n").split(b"\n"))

    def _read_quickly(self, quick: QuickTimes, text: str, line: int, raws: list[bytes]) -> None:
        """Read lines of which most are plain; those that are not are read as any others."""
        layout = self._layout
        header = layout.header
        delimiter, has_blanks = header.delimiter, _has_blanks(text, header.delimiter)
        lines = text.removesuffix("\n").split("\n")
        for begin in range(0, len(lines), BLOCK_ROWS):
            block, number = lines[begin : begin + BLOCK_ROWS], line + begin
            raw_block = raws[begin : begin + BLOCK_ROWS]
            if not has_blanks and self._add_block(block, raw_block, number):
                continue
            size = len(block) if has_blanks else SMALL_BLOCK_ROWS
            for at in range(0, len(block), size):
                part, raw_part = block[at : at + size], raw_block[at : at + size]
                if has_blanks or not self._add_block(part, raw_part, number + at):
                    rows = [content.split(delimiter) for content in part]
                    if has_blanks:
                        rows = [[field.strip() for field in fields] for fields in rows]
                    self._read_singly(quick, rows, number + at, raw_part)

    def _add_block(self, lines: list[str], raws: list[bytes], line: int) -> bool:
        """Add the rows in lines, and return whether all are plain."""
        quick = self._layout.quick_blocks
        block = None if quick is None else quick.read(lines, self.identifier, self._starts)
        if block is None:
            return False
        if self._is_buffering:
            self.flush()
        count = self.readings + len(self._dates)
        placed = zip(block.locals, block.offsets, block.quantities, strict=True)
        if None not in block.locals and not block.missing:
            self._lines += [
                f"{number},{local},{offset},{quantities}\n"
                for number, (local, offset, quantities) in enumerate(placed, count + 1)
            ]
            self._dates += [local for local in block.locals if local]
            return True
        missing = block.missing or [0] * len(lines)
        for number, (local, offset, quantities) in enumerate(placed):
            if local is None:
                self._read_line(line + number, raws[number])
                continue
            self._dates.append(local)
            count = self.readings + len(self._dates)
            self._lines.append(f"{count},{local},{offset},{quantities}\n")
            self.missing += missing[number]
        return True

    def _read_singly(
        self, quick: QuickTimes, rows: list[list[str]], line: int, raws: list[bytes]
    ) -> None:
        """Read rows of which most are plain."""
        layout = self._layout
        width = len(layout.header.names)
        days, clocks, cut = quick.days, quick.clocks, quick.cut
        day_field, clock_field = quick.day_field, quick.clock_field
        identifier_field = layout.identifier_field
        add, read = self._starts.add, layout.values.read
        out, dates, before = self._lines, self._dates, self.readings
        errors: list[RowError] = []
        for number, fields in enumerate(rows, line):
            if len(fields) == width:
                if clock_field is None:
                    day_text, _, clock_text = cut(fields[day_field])
                else:
                    day_text, clock_text = fields[day_field], fields[clock_field]
                day, clock = days[day_text], clocks[clock_text]
                if (
                    day is not None
                    and clock is not None
                    and (identifier_field is None or fields[identifier_field] == self.identifier)
                ):
                    quantities, missing, rounded = read(number, fields, errors)
                    if not errors:
                        if self._is_buffering:
                            self.flush()
                        local, offset, earlier = add(day + clock, hash(quantities) or 1)
                        if not earlier:
                            dates.append(local)
                            count = before + len(dates)
                            out.append(f"{count},{local},{offset},{quantities}\n")
                            if missing or rounded:
                                self.missing += missing
                                self.rounded += rounded
                            continue
                    errors.clear()
            self._read_line(number, raws[number - line])


def _has_blanks(text: str, delimiter: str) -> bool:
    """Return whether blanks are around fields."""
    if text[:1] in " \t":
        return True
    pairs = (f"{edge}{blank}" for edge in (delimiter, "\n") for blank in " \t")
    return any(pair in text or pair[::-1] in text for pair in pairs)


def _plain_text(chunk: bytes, header: Header) -> str | None:
    """Return the text of whole lines, None if there are quotes, wrong bytes or other oddities."""
    is_bytewise = _BYTEWISE.fullmatch(header.encoding) is not None
    if header.has_reasons or b'"' in chunk or b"\0" in chunk or not is_bytewise:
        return None
    text = chunk.decode(header.encoding, "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if "\r" in text or "\ufffd" in text:
        return None
    return None if max(map(len, text.split("\n"))) > _MAX_PLAIN_LENGTH else text
