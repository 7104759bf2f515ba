"""Plain tables that other layouts are turned into: a heading, and a row for each time."""

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from loader.rows import file_reader
from loader.rows.sorted_rows import NumberedRows

NEM12_METER, GREEN_BUTTON_METER = "NMI", "Usage point"
"""The headings of the columns that name the meter."""
NEM12_START, GREEN_BUTTON_START = "Start (UTC+10)", "Start (UTC)"
NEM12_QUALITY, GREEN_BUTTON_QUALITY = "NEM12 quality", "ESPI quality"
QUANTITY_COLUMNS = {
    "energy": "Energy (kWh)",
    "exported_energy": "Exported energy (kWh)",
    "reactive_energy": "Reactive energy (kVArh)",
    "exported_reactive_energy": "Exported reactive energy (kVArh)",
    "power": "Power (kW)",
    "maximeter": "Highest power (kW)",
}
"""The headings of the quantities, in the order of the columns; a table has those that it needs."""

_LONGEST_NUMBER = 40
_MAX_EXPONENT = 40


def in_chunks(rows: Iterable[tuple[int, str]], heading: str) -> Iterator[NumberedRows]:
    """Yield a heading and rows, each with its line in the file, in chunks."""
    texts, lines, size = [heading], [1], 0
    for line, text in rows:
        texts.append(text)
        lines.append(line)
        size += len(text) + 1
        if size >= file_reader.CHUNK_BYTES:
            yield _chunk(texts, lines)
            texts, lines, size = [], [], 0
    if texts:
        yield _chunk(texts, lines)


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is; None if it is none, or has an unlikely size."""
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    is_usual = number.is_finite() and abs(number.adjusted()) < _MAX_EXPONENT
    return number if is_usual and number.as_tuple().exponent > -_MAX_EXPONENT else None  # type: ignore[operator]  # a finite one has a number


def without_exponent(number: Decimal) -> str:
    """Return a number without exponent."""
    return f"{number:f}"


def _chunk(texts: list[str], lines: list[int]) -> NumberedRows:
    texts.append("")
    return NumberedRows("\n".join(texts).encode("utf-8", "replace"), lines)
