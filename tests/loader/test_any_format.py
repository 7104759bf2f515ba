"""Whatever a format and its rows are like: rows come back exactly, and none is lost."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.formats.configured_format import ConfiguredFormat
from loader.formats.registry import SHIPPED_FORMATS
from loader.formats.report_format import ReportFormat
from settings import FormatSettings
from tests.support.report_formats import (
    AUTUMN,
    DISTRIBUTOR,
    WORKSHOP,
    WORKSHOP_HEADING,
    ReportResult,
    hourly,
    workshop,
)

GOOD = "".join(hourly(AUTUMN, 3, 4))
LINES = [
    *(
        f"27.10.19 0{hour}:{minute:02};1;0;ok\n".encode()
        for hour in (1, 2, 3)
        for minute in (0, 45)
    ),
    b"28.10.19 12:00;1;0;ok\n",
    b"28.10.19 13:00;1;7;ok\n",
]
snippets = st.sampled_from(
    [*LINES, b"\n", b"\r", b";", b'"', b"\0", b"\xff", b" ", b"1", b"27.10.19 02:30", GOOD.encode()]
)
scraps = st.lists(snippets | st.binary(max_size=3), max_size=30).map(b"".join)


LOCAL = workshop(encoding="utf-8")
VARYING = workshop(
    encoding="utf-8",
    interval=None,
    lengths=[900, 1800, 3600],
    time=WORKSHOP["time"] | {"tolerance": 60},
    columns={"energy": {"header": "Energía (Wh)", "kind": "power"}, "voltage": "Tensión (V)"},
)


def is_blank(line: bytes) -> bool:
    """Whether nothing stands between the delimiters of a line."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    try:
        return not any(map(str.strip, next(csv.reader([text], delimiter=";", strict=True), [])))
    except csv.Error:
        return not text.strip()


@given(content=scraps, own=st.sampled_from([None, LOCAL, VARYING]), skipping=st.booleans())
def test_no_line_is_lost_and_nothing_else_raised(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    own: ReportFormat | None,
    skipping: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "whatever.csv"
    heading = WORKSHOP_HEADING if own else DISTRIBUTOR
    path.write_bytes(heading.encode() + content)
    formats = [own] if own else SHIPPED_FORMATS
    done = ReportResult(path, formats, skip_bad_rows=skipping)
    assert "\n" not in done.error
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    blank = sum(map(is_blank, lines))
    found = done.report
    assert found.readings + found.rejected + found.repeated + blank == len(lines)
    assert len(done.rejected) == done.report.rejected


# Whatever the format

INVERSES = {
    factor: Decimal(inverse)
    for factor, inverse in {
        "1": "1", "0.001": "1000", "1000": "0.001", "0.5": "2", "-2": "-0.5"
    }.items()
}  # fmt: skip
WRITTEN = ["%d/%m/%Y %H:%M", "%Y%m%d%H%M%S", "%d-%b-%y %I:%M %p", "iso", "hours"]
exact = st.none() | st.decimals(
    min_value=Decimal("-9999999999.99999"), max_value=Decimal("9999999999.99999"), places=5
)


@given(
    delimiter=st.sampled_from(";,|\t"),
    decimal=st.sampled_from(".,"),
    encoding=st.sampled_from(["utf-8", "latin-1", "cp1252"]),
    pattern=st.sampled_from(WRITTEN),
    marks=st.sampled_from(["start", "end"]),
    factor=st.sampled_from(sorted(INVERSES)),
    zone=st.sampled_from(["Europe/Madrid", "UTC", "America/St_Johns", "Australia/Lord_Howe"]),
    first=st.dates(date(2000, 1, 1), date(2030, 12, 31)) | st.just(date(2019, 10, 26)),
    values=st.lists(exact, min_size=1, max_size=60),
)
def test_rows_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    delimiter: str,
    decimal: str,
    encoding: str,
    pattern: str,
    marks: str,
    factor: str,
    zone: str,
    first: date,
    values: list[Decimal | None],
) -> None:
    """Decimals to the fifth place, and instants, across changes of clocks, in any format."""
    has_hours = pattern == "hours"
    if has_hours:
        zone = "Europe/Madrid"  # whose days have whole hours
    time: dict[str, Any] = {"column": "Ünd", "pattern": pattern, "marks": marks, "timezone": zone}
    if has_hours:
        time |= {"hour": "Hora", "hours": "counted", "pattern": "%d/%m/%Y"}
    described = FormatSettings.model_validate(
        {
            "delimiter": delimiter,
            "decimal": decimal,
            "encoding": encoding,
            "columns": {"power": {"header": "Leistung", "factor": factor}},
            "time": time,
            "interval": "3600",
        }
    )
    # No zone's clocks change then: a second pass alone would pass for the first.
    begin = datetime.combine(first, datetime.min.time(), UTC) + timedelta(hours=8)
    begins = [begin + timedelta(hours=number) for number in range(len(values))]
    lines = [["Ünd", "Hora", "Leistung"] if has_hours else ["Ünd", "Leistung"]]
    for moment, value in zip(begins, values, strict=True):
        shown = moment + timedelta(hours=marks == "end")
        written = _written(shown, moment, time, described)
        number = "" if value is None else f"{_inverse(value, factor):f}".replace(".", decimal)
        lines.append([*written, number])
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(lines)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    done = ReportResult(path, [ConfiguredFormat("any", described)], skip_bad_rows=False)
    assert not done.row_errors
    assert not done.error
    assert done.instants == begins
    assert done.quantities("power") == [
        "" if value is None else f"{value + 0:.5f}" for value in values
    ]


def _written(
    shown: datetime, begin: datetime, time: dict[str, Any], described: FormatSettings
) -> list[str]:
    zone = described.time.timezone
    assert zone is not None
    if time["pattern"] == "iso":
        return [shown.astimezone(zone).isoformat()]
    if "hour" not in time:
        return [shown.astimezone(zone).strftime(time["pattern"])]
    day = begin.astimezone(zone).date()
    midnight = datetime.combine(day, datetime.min.time(), zone)
    hours = (begin - midnight.astimezone(UTC)) // timedelta(hours=1)
    return [day.strftime(time["pattern"]), f"{hours + (time['marks'] == 'end')}"]


def _inverse(value: Decimal, factor: str) -> Decimal:
    """The decimal that the factor makes the value."""
    return value * INVERSES[factor]
