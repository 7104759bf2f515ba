"""What parses bytes that others wrote, each as a function that fails where it goes wrong."""

import csv
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from domain.quantities import DECIMALS, INTEGER_DIGITS
from domain.readings_query import QueryError, ReadingsQuery
from domain.record_layout import parse_columns
from domain.report_source import BATCH_FIELDS, FULL_BATCH_FIELDS
from domain.time.date_pattern import canonical_pattern, earliest_instant, latest_instant
from loader.formats.configured_format import ConfiguredFormat
from loader.formats.monitoring import MONITORING_HEADER
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from loader.imports.plan import report_paths
from loader.inspect.examination import examine
from loader.inspect.findings import inspection_document, inspection_lines
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import ReportError, RowError
from loader.rows.header import read_header
from server.api.cursors import Cursors
from server.security.signing_keys import SigningKeys
from server.security.tokens import InvalidTokenError, TokenService
from server.transport.client_address import nearest_untrusted
from settings import FormatSettings, SettingsError, load_settings
from settings.yaml_document import parse_yaml
from tests.support.source_files import archive, package

MADRID = ZoneInfo("Europe/Madrid")
QUANTITY = re.compile(rf"(-?(0|[1-9][0-9]{{0,{INTEGER_DIGITS - 1}}})\.[0-9]{{{DECIMALS}}})?")
KEYS = SigningKeys.single("a secret that only the fuzzer knows")
TOKENS = TokenService(KEYS, 3600)
CURSORS = Cursors(KEYS)
PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1"))
SOURCE_FORMATS = [
    *SHIPPED_FORMATS,
    ConfiguredFormat(
        "sheet",
        FormatSettings.model_validate(
            {
                "columns": {"energy": "kWh"},
                "time": {"column": "Begin", "pattern": "%Y-%m-%d %H:%M:%S", "marks": "start"},
            }
        ),
    ),
]
TEXTS = (
    b"<sst><si><t>Begin</t></si><si><r><t>k</t></r><rPh><t>x</t></rPh><r><t>Wh</t></r></si></sst>"
)
SHEET = (
    b'<worksheet><sheetData><row r="1"><c t="inlineStr"><is><t>Begin</t></is></c>'
    b'<c t="inlineStr"><is><t>kWh</t></is></c></row><row r="2"><c r="A2" s="1"><v>45413.25</v></c>'
    b'<c r="B2" s="0"><v>1.5</v></c></row></sheetData></worksheet>'
)
FOLDER = Path(tempfile.mkdtemp(prefix="elecdata-fuzz-"))


def one_line(error: Exception, *names: str) -> None:
    """Fails where an error does not tell in a line where it is."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert not names or text.startswith(names)


def report(data: bytes) -> None:
    """A report: the first byte says whether it is packed and whether bad rows are skipped."""
    flags, content = data[:1] or b"\0", data[1:]
    rows = loaded(content, is_packed=bool(flags[0] & 1), skip_bad_rows=bool(flags[0] & 2))
    heading, *lines = content.split(b"\n")
    if not flags[0] & 1 and read_header(heading, ",", "utf-8").names == MONITORING_HEADER:
        assert not Counter(rows) - Counter(row for line in lines if (row := plainly(line)))


def source(data: bytes) -> None:
    """A file of any layout: the first byte says which, since archives need a list that fits."""
    path = _packed(data)
    try:
        paths = report_paths([str(path)], lambda other: one_line(ValueError(other), str(path)))
    except ReportError as error:
        one_line(error, str(path))
        return
    for each in paths:
        _read_parts(each, SOURCE_FORMATS)


def inspected(data: bytes) -> None:
    """A file of any layout, as in `source`, whose proposed format does what it says."""
    path = str(_packed(data))
    try:
        found = examine(path, SHIPPED_FORMATS, MADRID)
    except ReportError as error:
        one_line(error, path)
        return
    json.dumps(inspection_document(found))
    assert all(isinstance(line, str) for line in inspection_lines(found))
    if found.proposed is None or not found.proposed.trial.reads_all:
        return
    entry = parse_yaml(found.proposed.text, "entry").keys["formats"]
    assert isinstance(entry, dict)
    layout = FormatSettings.model_validate(entry[found.proposed.name])
    count = _read_parts(path, [ConfiguredFormat("proposed", layout)])
    assert count == found.proposed.trial.readings or found.proposed.trial.is_cut_off


def _packed(data: bytes) -> Path:
    """Write a file of the layout that the first byte says."""
    kind, content = data[:1], data[1:]
    if kind == b"Z":
        content = archive({"june.csv": content})
    elif kind == b"X":
        content = package({"xl/worksheets/sheet1.xml": content, "xl/sharedStrings.xml": TEXTS})
    elif kind == b"S":
        content = package({"xl/worksheets/sheet1.xml": SHEET, "xl/styles.xml": content})
    path = FOLDER / "source.zip"
    path.write_bytes(content)
    return path


def _read_parts(path: str, formats: Sequence[ReportFormat]) -> int:
    """Read what is in a file, with the meters of its rows, and return the number of readings."""
    count = 0

    def on_errors(errors: list[RowError], _: bytes) -> None:
        assert errors
        assert all("\n" not in str(error) for error in errors)

    with ReportFile(path, formats=formats) as file:
        try:
            for part in file.parts(MADRID, skip_bad_rows=True, on_errors=on_errors):
                read = Report(
                    *(path, MADRID),
                    skip_bad_rows=True,
                    on_errors=on_errors,
                    formats=formats,
                    part=part,
                )
                with suppress(ReportError):
                    count += (found := sum(batch.count for batch in read.batches()))
                    assert found == read.readings
                    assert len(read.sha256) == 64
        except ReportError as error:
            one_line(error, path)
    return count


Row = tuple[datetime, tuple[Decimal | None, ...]]


def loaded(
    content: bytes, *, is_packed: bool, skip_bad_rows: bool, settings: FormatSettings | None = None
) -> list[Row]:
    """The rows that a report would give the database: the local time and the quantities."""
    path = FOLDER / ("report.csv.gz" if is_packed else "report.csv")
    path.write_bytes(content)
    lines = content.count(b"\n") + content.count(b"\r") + 1

    def on_errors(errors: list[RowError], _: bytes) -> None:
        assert errors
        for error in errors:
            assert is_packed or 1 <= error.line <= lines
            assert "\n" not in str(error)

    read = Report(
        str(path),
        MADRID,
        skip_bad_rows=skip_bad_rows,
        on_errors=on_errors,
        formats=SHIPPED_FORMATS if settings is None else [ConfiguredFormat("theirs", settings)],
    )
    rows: list[Row] = []
    instants = set()
    try:
        for block in read.batches():
            fields = FULL_BATCH_FIELDS if block.is_full else BATCH_FIELDS
            texts = block.rows.decode("ascii").removesuffix("\n").split("\n")
            assert block.count == len(texts)
            for text in texts:
                number, moment, ahead, *quantities = text.split(",")
                assert len(quantities) == len(fields) - 3
                assert not block.is_full or quantities.pop() in ("", "1")
                assert int(number) == len(rows) + 1
                assert all(QUANTITY.fullmatch(quantity) for quantity in quantities)
                assert "-0.00000" not in quantities
                local = datetime.fromisoformat(moment)
                assert block.first <= moment <= block.last
                instant = (local - timedelta(seconds=int(ahead))).replace(tzinfo=UTC)
                assert instant.astimezone(MADRID).replace(tzinfo=None) == local
                assert instant not in instants
                instants.add(instant)
                rows.append((local, tuple(Decimal(q) if q else None for q in quantities)))
    except ReportError as error:
        one_line(error, str(path))
    assert read.readings == len(rows) or not skip_bad_rows
    return rows


def plainly(line: bytes) -> Row | None:
    """The same of one line, in the plainest way; None where it is no row."""
    try:
        moment, *texts = (text.strip() for text in next(csv.reader([line.decode().rstrip("\r")])))
        if moment[3:4].isalpha() or moment[2:3].isalpha():
            local = datetime.strptime(moment, "%d %b %Y %H:%M:%S")  # noqa: DTZ007 - as it stands
        else:
            local = datetime.fromisoformat(moment).astimezone(MADRID).replace(tzinfo=None)
        return local, tuple(Decimal(text) if text else None for text in texts[:8])
    except (ValueError, ArithmeticError, csv.Error, StopIteration):
        return None


def described(data: bytes) -> None:
    """A description of a format in JSON, and behind a NUL a report that it may fit."""
    text, _, content = data.partition(b"\0")
    try:
        layout = FormatSettings.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError):
        return
    loaded(content, is_packed=False, skip_bad_rows=True, settings=layout)
    _read_parts(str(FOLDER / "report.csv"), [ConfiguredFormat("theirs", layout)])


def settings(data: bytes) -> None:
    """A config.yaml: it can be used, or one line says what is wrong in it."""
    path = FOLDER / "config.yaml"
    path.write_bytes(data)
    try:
        load_settings(path, {})
    except SettingsError as error:
        one_line(error)


def pattern(data: bytes) -> None:
    """A date with wildcards: the first and the last instant match it, and so does its spelling."""
    text = data.decode("utf-8", "replace")
    try:
        query = ReadingsQuery.by_date(text)
    except QueryError as error:
        one_line(error, "date: ")
        return
    if query.note.startswith("date is between") or (query.first and query.first.tzinfo):
        assert query.first == query.last
        return
    spelt = text.replace("T", " ")
    same = canonical_pattern(spelt)
    ends = earliest_instant(spelt), latest_instant(spelt)
    assert ends == (earliest_instant(same), latest_instant(same))
    first, last = ends
    if first is None or last is None:
        assert first is last
        assert query.ids == ()
        return
    assert first <= last
    parts = ({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in same)
    like = re.compile("".join(parts))
    assert like.fullmatch(str(first))
    assert like.fullmatch(str(last))


def parameters(data: bytes) -> None:
    """Two bounds, separated by a NUL, which may be ids and columns as well."""
    one, _, other = data.decode("utf-8", "replace").partition("\0")
    try:
        query = ReadingsQuery.by_range(one, other)
        assert query.first is not None
        assert query.last is not None
        assert query.first <= query.last
        before = ReadingsQuery.by_range(one, other, end_included=False)
        assert before.ids == () or before.last == query.last - timedelta(seconds=1)
    except QueryError as error:
        one_line(error, "date: ", "end_date: ")
    try:
        ids = ReadingsQuery.by_ids(one).ids
        assert ids is not None
        assert list(ids) == sorted({n for n in map(int, one.split(",")) if 0 < n < 2**31})
    except QueryError as error:
        one_line(error, "id: ")
    try:
        names = parse_columns(one)
        assert len(set(names)) == len(names)
    except QueryError as error:
        one_line(error, "columns: ")


def credentials(data: bytes) -> None:
    """What a stranger sends for a token, a place in an answer, and the way that it came."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        TOKENS.verify(text)
    except InvalidTokenError:
        pass
    else:
        raise AssertionError(text)
    try:
        CURSORS.read("a question", text)
    except ValueError:
        pass
    else:
        raise AssertionError(text)
    assert ip_address(nearest_untrusted("10.0.0.1", text, PROXIES))
    assert nearest_untrusted("192.0.2.1", text, PROXIES) == "192.0.2.1"


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (report, source, inspected, described, settings, pattern, parameters, credentials)
}
