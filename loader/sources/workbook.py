"""Reading the sheets of an Excel workbook row by row."""

import csv
import io
import posixpath
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from zipfile import ZipFile

from loader.rows import file_reader
from loader.rows.errors import ReportError
from loader.rows.header import RowDialect
from loader.rows.sorted_rows import NumberedRows
from loader.sources.archive import member_info, unread_told
from loader.sources.xml_reader import XmlReader

MAX_SHEETS = 200
_MAX_COLUMNS = 1000
_MAX_ROWS = 2**20
_MAX_PART_BYTES = 2**27
"""The uncompressed size of a part that is kept in memory, in part: names, styles and texts."""
_MAX_TEXTS_BYTES = 2**25
"""Of the texts that cells share, each with what it takes in memory beside its characters."""
_TEXT_BYTES = 64
_MAX_COMPRESSION_RATIO = 200
_UNCHECKED_BYTES = 2**25
_MAX_FORMATS = 2**17

_BLOCK_BYTES = 2**16
_MAIN_PART = re.compile(r"xl/workbook[0-9]*\.xml")
_REFERENCE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_EXACT_DIGITS = 15
"""The digits of a number that Excel keeps and shows."""

_DATE, _DATE_TIME, _CLOCK, _ELAPSED = "date", "date and time", "clock", "elapsed"
_SHIPPED_FORMATS = {
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 59)), _DATE),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47), _CLOCK),
    22: _DATE_TIME,
    46: _ELAPSED,
}
"""What the number formats that every workbook has show, by their ids."""
_NO_CODES = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|AM/PM|A/P', re.IGNORECASE)
"""What stands in a number format without being a code of a date."""
_EPOCH, _EPOCH_1904 = datetime(1899, 12, 30), datetime(1904, 1, 1)  # noqa: DTZ001 - a sheet has no zones
_LEAP_DAY = 60
"""The day 29 February 1900, which Excel counts although it never was."""
_MAX_DAY = 2_958_465
_DAY = 86_400


def is_workbook(archive: ZipFile) -> bool:
    """Return whether an archive is a workbook that can be read."""
    return _main_part(archive) is not None


def _main_part(archive: ZipFile) -> str | None:
    return next(filter(_MAIN_PART.fullmatch, archive.namelist()), None)


class Workbook:
    """A workbook whose sheets are read row by row; texts that cells share are kept in memory.

    Raises ReportError if it is damaged or can't be read within bounds.
    """

    def __init__(self, path: str, archive: ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._is_1904 = False
        self._parts: dict[str, str] = {}
        """The part that each sheet is in, by the sheet's name."""
        self._kinds: list[str | None] = []
        """What the cells of each style show: a number if nothing."""
        self._texts: list[str] = []
        main = _main_part(archive)
        assert main is not None, "it is a workbook"
        self._read_main(main)
        folder = posixpath.dirname(main)
        if (styles := f"{folder}/styles.xml") in archive.namelist():
            self._read_styles(styles)
        if (texts := f"{folder}/sharedStrings.xml") in archive.namelist():
            self._read_texts(texts)

    @property
    def sheets(self) -> list[str]:
        """The names of the sheets that have cells."""
        return [*self._parts]

    def rows(self, sheet: str, dialect: RowDialect) -> Iterator[NumberedRows]:
        """Yield the rows of a sheet that are not empty, with their numbers in the sheet."""
        with io.StringIO(newline="") as text:
            writer = csv.writer(text, delimiter=dialect.delimiter, lineterminator="\n")
            numbers: list[int] = []
            width = 0
            for number, cells in self._cells(sheet, dialect.decimal):
                width = max(width, len(cells))
                writer.writerow(cells + [""] * (width - len(cells)))
                numbers.append(number)
                if text.tell() > file_reader.CHUNK_BYTES:
                    yield NumberedRows(text.getvalue().encode("utf-8", "replace"), numbers)
                    text.seek(0)
                    text.truncate()
                    numbers = []
            if numbers:
                yield NumberedRows(text.getvalue().encode("utf-8", "replace"), numbers)

    def _cells(self, sheet: str, decimal: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the texts of the cells of each row, and its number."""
        reading = _SheetReading(self._path, sheet, self._text, decimal)
        parser = XmlReader(self._path, reading.start, reading.end)
        for block in self._blocks(self._parts[sheet], max_size=None):
            parser.feed(block)
            yield from reading.taken()
        parser.close()
        yield from reading.taken()

    def _text(self, kind: str, style: str, value: str, decimal: str) -> str:
        """Return the text of a cell by its type, its style and its value."""
        if kind == "s":
            return self._texts[int(value)]
        if kind == "n":
            shown = self._kinds[int(style)] if style else None
            if shown is not None and (text := self._date_text(shown, float(value))):
                return text
            return _number_text(value).replace(".", decimal)
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind == "d":
            return value.replace("T", " ").removesuffix("Z")
        return " ".join(value.splitlines())

    def _date_text(self, shown: str, serial: float) -> str | None:
        """Return a date or time in ISO notation; None if the number is none."""
        if not 0 <= serial <= _MAX_DAY:
            return None
        seconds = round(serial * _DAY)
        days, rest = divmod(seconds, _DAY)
        if shown == _ELAPSED or (shown == _CLOCK and seconds <= _DAY):
            return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        epoch = _EPOCH_1904 if self._is_1904 else _EPOCH
        if not self._is_1904 and days < _LEAP_DAY:
            days += 1
        moment = epoch + timedelta(days=days, seconds=rest)
        return str(moment.date()) if shown == _DATE and not rest else moment.isoformat(" ")

    def _read_main(self, main: str) -> None:
        """Read the names of the sheets, and the parts that they are in."""
        names: dict[str, str] = {}
        targets: dict[str, str] = {}

        def sheet(name: str, attributes: dict[str, str]) -> None:
            if name == "sheet":
                link = next((v for k, v in attributes.items() if k.endswith(" id")), "")
                names[attributes.get("name", "")] = link
            elif name == "workbookPr":
                self._is_1904 = attributes.get("date1904") in ("1", "true")
            if len(names) > MAX_SHEETS:
                raise ReportError(f"{self._path}: has over {MAX_SHEETS} sheets: expected a report")

        def relation(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship" and attributes.get("TargetMode") != "External":
                targets[attributes.get("Id", "")] = attributes.get("Target", "")

        folder, file = posixpath.split(main)
        self._parse(main, sheet, _nothing)
        self._parse(f"{folder}/_rels/{file}.rels", relation, _nothing)
        known = set(self._archive.namelist())
        for sheet_name, link in names.items():
            part = posixpath.normpath(posixpath.join("/", folder, targets.get(link, ""))).lstrip(
                "/"
            )
            if part in known and "worksheets/" in part:
                self._parts[sheet_name] = part

    def _read_styles(self, part: str) -> None:
        """Read what the cells of each style show."""
        own: dict[str, str | None] = {}
        is_cells = False

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal is_cells
            if name == "numFmt":
                own[attributes.get("numFmtId", "")] = _shown_by(attributes.get("formatCode", ""))
            elif name == "cellXfs":
                is_cells = True
            elif name == "xf" and is_cells:
                number = attributes.get("numFmtId", "0")
                shipped = _SHIPPED_FORMATS.get(int(number)) if number.isdigit() else None
                self._kinds.append(own.get(number, shipped))
            if len(own) + len(self._kinds) > _MAX_FORMATS:
                raise ReportError(f"{self._path}: has over {_MAX_FORMATS} number formats")

        def end(name: str, _: str) -> None:
            nonlocal is_cells
            is_cells = is_cells and name != "cellXfs"

        self._parse(part, start, end)

    def _read_texts(self, part: str) -> None:
        """Read the texts that cells share."""
        texts = _TextReading()
        size = 0

        def end(name: str, text: str) -> None:
            nonlocal size
            texts.end(name, text)
            if name != "si":
                return
            whole = texts.take()
            size += len(whole) + _TEXT_BYTES
            if size > _MAX_TEXTS_BYTES:
                raise ReportError(
                    f"{self._path}: has over {_MAX_TEXTS_BYTES} bytes of texts: save the sheet"
                    " with the readings as CSV"
                )
            self._texts.append(whole)

        self._parse(part, texts.start, end)

    def _parse(
        self,
        part: str,
        on_start: Callable[[str, dict[str, str]], None],
        on_end: Callable[[str, str], None],
    ) -> None:
        reader = XmlReader(self._path, on_start, on_end)
        for block in self._blocks(part, max_size=_MAX_PART_BYTES):
            reader.feed(block)
        reader.close()

    def _blocks(self, part: str, *, max_size: int | None) -> Iterator[bytes]:
        """Yield a part of the workbook, unless it is too large when it is unpacked."""
        size = 0
        with unread_told(self._path):
            info = member_info(self._path, self._archive, part)
            most = max(_UNCHECKED_BYTES, _MAX_COMPRESSION_RATIO * info.compress_size)
            with self._archive.open(info) as file:
                while block := file.read(_BLOCK_BYTES):
                    size += len(block)
                    if size > (most if max_size is None else min(most, max_size)):
                        raise ReportError(
                            f"{self._path}: cannot be read: {part} is too large when it is"
                            " unpacked: save the sheet with the readings as CSV"
                        )
                    yield block


class _TextReading:
    """Reads the texts of shared and inline strings, without their pronunciation."""

    def __init__(self) -> None:
        self._runs: list[str] = []
        self._is_phonetic = False

    def start(self, name: str, _: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "rPh":
            self._is_phonetic = True

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name == "t" and not self._is_phonetic:
            self._runs.append(text)
        elif name == "rPh":
            self._is_phonetic = False

    def take(self) -> str:
        """Return the text so far in one line, and begin another one."""
        text = " ".join("".join(self._runs).splitlines())
        self._runs.clear()
        return text


class _SheetReading:
    """Reads the rows of a sheet as their elements come."""

    def __init__(
        self, path: str, sheet: str, text: Callable[[str, str, str, str], str], decimal: str
    ) -> None:
        self._path = path
        self._sheet = sheet
        self._cell_text = text
        self._decimal = decimal
        self._row = 0
        self._column = 0
        self._type = self._style = self._value = ""
        self._inline = _TextReading()
        self._is_inline = False
        self._cells: list[str] = []
        self._taken: list[tuple[int, list[str]]] = []

    def taken(self) -> list[tuple[int, list[str]]]:
        """Return the rows that are complete since the last call."""
        rows, self._taken = self._taken, []
        return rows

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if name == "c":
            self._begin_cell(attributes)
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "is":
            self._is_inline = True
        elif self._is_inline:
            self._inline.start(name, attributes)

    def end(self, name: str, text: str) -> None:
        """Take the end of an element."""
        if name == "v":
            self._value = text
        elif name == "c":
            self._end_cell()
        elif name == "row":
            if self._cells:
                self._taken.append((self._row, self._cells))
        elif name == "is":
            self._is_inline = False
            self._value = self._inline.take()
        elif self._is_inline:
            self._inline.end(name, text)

    def _begin_row(self, number: str | None) -> None:
        row = self._row + 1 if number is None else int(number) if number.isdecimal() else 0
        if not self._row < row <= _MAX_ROWS:
            raise self._error(f"row {number!a:.20} comes after row {self._row}")
        self._row = row
        self._column = 0
        self._cells = []

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        self._column += 1
        if reference := _REFERENCE.fullmatch(attributes.get("r", "")):
            column = _column_number(reference[1])
            if column < self._column or int(reference[2]) != self._row:
                raise self._error(f"the cell {reference[0]} is out of its place")
            self._column = column
        self._type = attributes.get("t", "n")
        self._style = attributes.get("s", "")
        self._value = ""

    def _end_cell(self) -> None:
        if not self._value:
            return
        if self._column > _MAX_COLUMNS:
            raise self._error(f"there are cells beyond column {_MAX_COLUMNS}")
        try:
            text = self._cell_text(self._type, self._style, self._value, self._decimal)
        except (ValueError, IndexError, OverflowError, ArithmeticError):
            raise self._error(f"the cell has the value {self._value!a:.40}") from None
        self._cells += [""] * (self._column - 1 - len(self._cells))
        self._cells.append(text)

    def _error(self, what: str) -> ReportError:
        return ReportError(
            f"{self._path}:{self._row}: sheet {self._sheet!r:.60}: {what}: expected a sheet as"
            " Excel writes it"
        )


def _nothing(_name: str, _text: str) -> None:
    """Take the end of an element that matters by its attributes alone."""


def _column_number(letters: str) -> int:
    """Return the number of a column, from 1."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _shown_by(code: str) -> str | None:
    """Return what a number format shows; None for a number."""
    codes = _NO_CODES.sub("", code.split(";", maxsplit=1)[0]).lower()
    has_date = any(letter in codes for letter in "yd")
    has_clock = any(letter in codes for letter in "hs")
    if "[" in codes:
        return _ELAPSED
    if has_date or ("m" in codes and not has_clock):
        return _DATE_TIME if has_clock else _DATE
    return _CLOCK if has_clock else None


def _number_text(value: str) -> str:
    """Return a number as Excel shows it at most, without an exponent."""
    if len(value) <= _EXACT_DIGITS and _PLAIN_NUMBER.fullmatch(value):
        return value
    rounded = Decimal(f"{float(value):.{_EXACT_DIGITS}g}")
    if not rounded.is_finite():
        raise ValueError(value)
    return f"{rounded:f}"
