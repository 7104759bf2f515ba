"""Files of loggers and programs."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from operator import attrgetter
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made, lines, number, states

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ENTITY = "sensor.meter_import"
_energy, _exported = attrgetter("energy"), attrgetter("exported")
_FIRST = Decimal("8350.274"), Decimal("3095.077")


def homewizard(readings: Sequence[Made]) -> bytes:
    """What the registers of the first tariff say at the start and after each quarter."""
    tariffs = [f"{way} T{n} kWh" for way in ("Import", "Export") for n in (1, 2)]
    rows = [["time", *tariffs, "L1 max W", "L2 max W", "L3 max W"]]
    moments = [readings[0].start, *(each.end for each in readings)]
    taken = states(readings, _energy, _FIRST[0])
    given = states(readings, _exported, _FIRST[1])
    for moment, one, other in zip(moments, taken, given, strict=True):
        at = f"{moment.astimezone(AMSTERDAM):%Y-%m-%d %H:%M}"
        rows.append([at, f"{one}", "4650.277", f"{other}", "7450.128", "0", "0", "0"])
    return lines(rows, delimiter=",").encode()


def homewizard_meter(readings: Sequence[Made]) -> bytes:
    rows = [["time", "Import kWh", "Export kWh"]]
    moments = [readings[0].start, *(each.end for each in readings)]
    taken = states(readings, _energy, _FIRST[0])
    given = states(readings, _exported, _FIRST[1])
    for moment, one, other in zip(moments, taken, given, strict=True):
        rows.append([f"{moment.astimezone(AMSTERDAM):%Y-%m-%d %H:%M}", f"{one}", f"{other}"])
    return lines(rows, delimiter=",").encode()


def dsmr_reader(readings: Sequence[Made]) -> bytes:
    low, normal = "(Dutch Users: Low Tariff)", "(Dutch Users: Normal Tariff)"
    taken = f"Electricity 1 {low}", f"Electricity 2 {normal}"
    given = f"Electricity 1 Returned {low}", f"Electricity 2 Returned {normal}"
    rows = [["Hour Start", *taken, *given, "Gas"]]
    for each in readings:
        begin = each.start.astimezone(AMSTERDAM)
        pairs = [(number(value, "."), "0") for value in (each.energy, each.exported)]
        is_low = begin.hour < 7
        tariffs = [field for pair in pairs for field in (pair if is_low else pair[::-1])]
        rows.append([begin.isoformat(), *tariffs, "0.032"])
    return lines(rows, delimiter=",").encode()


def home_assistant(readings: Sequence[Made]) -> bytes:
    """Changes alone: a state that is that of before would not be written."""
    rows = [["entity_id", "state", "last_changed"]]
    moments = [readings[0].start, *(each.end for each in readings)]
    for moment, state in zip(moments, states(readings, _energy, _FIRST[0]), strict=True):
        rows.append([ENTITY, f"{state}", f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"])
    return lines(rows, delimiter=",").encode()


def home_assistant_statistics(readings: Sequence[Made]) -> bytes:
    """The sum after each hour, under the begin of the hour."""
    rows = [["statistic_id", "unit", "start", "state", "sum"]]
    moments = [readings[0].start - timedelta(hours=1), *(each.start for each in readings)]
    for moment, total in zip(moments, states(readings, _energy, _FIRST[0]), strict=True):
        local = moment.astimezone(AMSTERDAM)
        rows.append([ENTITY, "kWh", f"{local:%d.%m.%Y %H:%M}", f"{total}", f"{total}"])
    return lines(rows, delimiter=",").encode()


PROGRAMS = (
    *(
        Layout(
            name,
            write,
            AMSTERDAM,
            has_exported=True,
            has_missing=False,
            has_gaps=False,
        )
        for name, write in {"homewizard": homewizard, "homewizard-meter": homewizard_meter}.items()
    ),
    Layout("dsmr-reader", dsmr_reader, AMSTERDAM, 3600, has_exported=True, has_missing=False),
    Layout(
        *("home-assistant", home_assistant, AMSTERDAM),
        has_missing=False,
        has_gaps=False,
        has_zeros=False,
        meter=ENTITY,
    ),
    Layout(
        *("home-assistant-statistics", home_assistant_statistics, AMSTERDAM, 3600),
        has_missing=False,
        has_gaps=False,
        meter=ENTITY,
    ),
)
