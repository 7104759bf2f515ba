"""Files of other layouts than CSV, as meters' owners get them, and what is read of them."""

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import xlsxwriter
from xlsxwriter.format import Format

from domain.report_source import FULL_BATCH_FIELDS
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import ReportError, RowError
from settings import FormatSettings
from tests.support.report_factory import MADRID

BRISBANE = ZoneInfo("Australia/Brisbane")
ESPI = "http://naesb.org/espi"
ATOM = "http://www.w3.org/2005/Atom"

Values = dict[datetime, Decimal]
"""The energy of intervals in kWh, by their starts in UTC."""


class Loaded(NamedTuple):
    """What is read of a file."""

    parts: dict[str | None, dict[datetime, dict[str, Decimal]]]
    """The quantities of each meter, by the starts of its readings in UTC."""
    errors: list[str]
    """What is wrong with rows, and in the end with the file, without its path."""
    format: str | None
    digest: str
    unread: tuple[str, ...]
    """What is not read, by names."""

    def energies(self, meter: str | None = None, name: str = "energy") -> Values:
        """A quantity of a meter."""
        return {at: values[name] for at, values in self.parts[meter].items() if name in values}


def read_file(
    path: str | Path,
    *,
    zone: ZoneInfo = MADRID,
    formats: Sequence[ReportFormat] = SHIPPED_FORMATS,
    skip_bad_rows: bool = True,
) -> Loaded:
    """Read a file as an import does."""
    parts: dict[str | None, dict[datetime, dict[str, Decimal]]] = {}
    told: list[str] = []
    found, digest = None, ""

    def on_errors(errors: list[RowError], _: bytes) -> None:
        told.extend(map(str, errors))

    with ReportFile(str(path) if isinstance(path, Path) else path, formats=formats) as file:
        try:
            for part in file.parts(zone, skip_bad_rows=skip_bad_rows, on_errors=on_errors):
                report = Report(
                    *(file.path, zone),
                    skip_bad_rows=skip_bad_rows,
                    on_errors=on_errors,
                    formats=formats,
                    part=part,
                )
                rows = b"".join(batch.rows for batch in report.batches()).decode().splitlines()
                parts[report.identifier] = dict(map(_reading, rows))
                found, digest = report.format, report.sha256
        except ReportError as error:
            told.append(str(error).removeprefix(f"{path}:").strip())
        unread = file.passed_over.columns
    return Loaded(parts, told, found, digest, unread)


def _reading(row: str) -> tuple[datetime, dict[str, Decimal]]:
    fields = dict(zip(FULL_BATCH_FIELDS, row.split(","), strict=False))
    local = datetime.fromisoformat(fields.pop("date")).replace(tzinfo=UTC)
    start = local - timedelta(seconds=int(fields.pop("seconds_ahead")))
    fields.pop("number")
    return start, {name: Decimal(text) for name, text in fields.items() if text}


def described(name: str = "theirs", **settings: object) -> list[ReportFormat]:
    """The shipped formats, and one that is described so."""
    return [*SHIPPED_FORMATS, ConfiguredFormat(name, FormatSettings.model_validate(settings))]


def archive(members: Mapping[str, bytes]) -> bytes:
    """A ZIP archive of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return packed.getvalue()


Cell = str | float | Decimal | datetime | bool | None


def workbook(
    rows: Iterable[Sequence[Cell]],
    *,
    sheet: str = "Readings",
    above: Mapping[str, Iterable[Sequence[Cell]]] | None = None,
    date_format: str = "dd/mm/yyyy hh:mm",
    date_1904: bool = False,
) -> bytes:
    """A workbook with a sheet of rows, and others before it."""
    written = io.BytesIO()
    with xlsxwriter.Workbook(written, {"in_memory": True, "date_1904": date_1904}) as book:
        shown = book.add_format({"num_format": date_format})
        for name, cells in {**(above or {}), sheet: rows}.items():
            _write_sheet(book.add_worksheet(name), cells, shown)
    return written.getvalue()


def _write_sheet(
    sheet: xlsxwriter.worksheet.Worksheet, rows: Iterable[Sequence[Cell]], shown: Format
) -> None:
    for at, row in enumerate(rows):
        for column, cell in enumerate(row):
            if isinstance(cell, datetime):
                sheet.write_datetime(at, column, cell, shown)
            elif cell is not None:
                sheet.write(at, column, cell)


def package(parts: Mapping[str, str | bytes]) -> bytes:
    """A workbook of these parts, whose only sheet is `xl/worksheets/sheet1.xml`."""
    main = (
        '<workbook xmlns="m" xmlns:r="r"><sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
        "</workbook>"
    )
    links = (
        '<Relationships xmlns="p"><Relationship Id="r1" Type="worksheet"'
        ' Target="worksheets/sheet1.xml"/></Relationships>'
    )
    usual = {"xl/workbook.xml": main, "xl/_rels/workbook.xml.rels": links}
    return archive(
        {
            name: part.encode() if isinstance(part, str) else part
            for name, part in {**usual, **parts}.items()
        }
    )


def nem12(
    channels: Mapping[tuple[str, str], Values],
    minutes: int = 30,
    unit: str = "kWh",
    factor: Decimal = Decimal(1),
) -> str:
    """A NEM12 file of channels by NMI and suffix; intervals of a day that lack are null data."""
    lines = ["100,NEM12,202406010000,MDP1,RET1"]
    step = timedelta(minutes=minutes)
    count = 1440 // minutes
    for (nmi, suffix), values in channels.items():
        lines.append(f"200,{nmi},E1B1,1,{suffix},N1,SER01,{unit},{minutes},")
        local = {(at + timedelta(hours=10)).replace(tzinfo=None): v for at, v in values.items()}
        for day in sorted({at.date() for at in local}):
            begin = datetime.combine(day, datetime.min.time())
            found = [local.get(begin + step * place) for place in range(count)]
            texts = ["0" if value is None else f"{value / factor:f}" for value in found]
            quality = "A" if None not in found else "V"
            lines.append(f"300,{day:%Y%m%d},{','.join(texts)},{quality},,,20240601000000,")
            if quality == "V":
                lines += [
                    f"400,{place},{place},{'N' if value is None else 'A'},,"
                    for place, value in enumerate(found, 1)
                ]
    return "\n".join([*lines, "900", ""])


class Metered(NamedTuple):
    """What a meter reading of a Green Button has."""

    point: str
    values: Values
    uom: int = 72
    flow: int = 1
    exponent: int = 0
    seconds: int = 900
    qualities: Mapping[datetime, int] = {}
    more: str = ""
    """Further elements of its reading type."""


def green_button(readings: Sequence[Metered], prefix: str = "") -> str:
    """A Green Button's XML; with a prefix, names of ESPI have it."""
    p = f"{prefix}:" if prefix else ""
    space = f'xmlns:{prefix}="{ESPI}"' if prefix else f'xmlns="{ESPI}"'
    parts = []
    base = "https://utility.example/espi/1_1/resource"
    for number, each in enumerate(readings):
        point = f"{base}/RetailCustomer/7/UsagePoint/{each.point}"
        meter = f"{point}/MeterReading/{number}"
        kind = f"{base}/ReadingType/{number}"
        parts += [
            _entry(point, "", f"<{p}UsagePoint {space}></{p}UsagePoint>"),
            _entry(
                meter,
                f"{point}/MeterReading",
                f"<{p}MeterReading {space}/>",
                (f"{meter}/IntervalBlock", kind),
            ),
            _entry(
                kind,
                f"{base}/ReadingType",
                f"<{p}ReadingType {space}><{p}accumulationBehaviour>4</{p}accumulationBehaviour>"
                f"<{p}flowDirection>{each.flow}</{p}flowDirection>"
                f"<{p}powerOfTenMultiplier>{each.exponent}</{p}powerOfTenMultiplier>"
                f"<{p}uom>{each.uom}</{p}uom>{each.more}</{p}ReadingType>",
            ),
        ]
        intervals = "".join(
            f"<{p}IntervalReading>"
            + (
                f"<{p}ReadingQuality><{p}quality>{each.qualities[at]}</{p}quality>"
                f"</{p}ReadingQuality>"
                if at in each.qualities
                else ""
            )
            + f"<{p}timePeriod><{p}duration>{each.seconds}</{p}duration>"
            f"<{p}start>{int(at.timestamp())}</{p}start></{p}timePeriod>"
            f"<{p}value>{value * 1000 / Decimal(10) ** each.exponent:f}</{p}value>"
            f"</{p}IntervalReading>"
            for at, value in each.values.items()
        )
        block = f"<{p}IntervalBlock {space}>{intervals}</{p}IntervalBlock>"
        parts.append(_entry(f"{meter}/IntervalBlock/1", f"{meter}/IntervalBlock", block))
    local = (
        f"<{p}LocalTimeParameters {space}><{p}tzOffset>3600</{p}tzOffset></{p}LocalTimeParameters>"
    )
    parts.append(_entry(f"{base}/LocalTimeParameters/1", "", local))
    feed = "\n".join(parts)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="{ATOM}">\n{feed}\n</feed>\n'


def _entry(own: str, up: str, content: str, related: Iterable[str] = ()) -> str:
    links = [f'<link rel="self" href="{own}"/>']
    links += [f'<link rel="up" href="{up}"/>'] if up else []
    links += [f'<link rel="related" href="{each}"/>' for each in related]
    return f"<entry>{''.join(links)}<content>{content}</content></entry>"
