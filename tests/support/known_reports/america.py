"""Files of portals of the United States."""

from collections.abc import Sequence
from itertools import groupby
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made, lines, named, number

CHICAGO, LOS_ANGELES = ZoneInfo("America/Chicago"), ZoneInfo("America/Los_Angeles")
ESIID, METER = "10443720000000001", "05551234"


def smart_meter_texas(readings: Sequence[Made]) -> bytes:
    """Of each day what was taken, then what was given."""
    first = "ESIID,USAGE_DATE,REVISION_DATE,USAGE_START_TIME,USAGE_END_TIME,USAGE_KWH"
    rows = [named(f"{first},ESTIMATED_ACTUAL,CONSUMPTION_SURPLUSGENERATION", ",")]
    days = groupby(readings, lambda each: each.start.astimezone(CHICAGO).date())
    for day, of_day in ((f"{date:%m/%d/%Y}", list(group)) for date, group in days):
        for kind in ("Consumption", "Surplus Generation"):
            for each in of_day:
                begin, end = each.start.astimezone(CHICAGO), each.end.astimezone(CHICAGO)
                interval = f" {begin:%H:%M}", f" {end:%H:%M}"
                value = each.energy if kind == "Consumption" else each.exported
                status = "E" if each.is_estimated else "A"
                moment = day, f"{day} 07:40:29", *interval
                rows.append([f"'{ESIID}", *moment, number(value, "."), status, kind])
    return lines(rows, delimiter=",").encode()


ABOVE = ["Name,SAMPLE", 'Address,"1 ANY ST, ANYTOWN CA 94000"', "Account Number,0000", "Service,1"]


def _interval(reading: Made) -> list[str]:
    """The day, the begin, and the last minute."""
    begin = reading.start.astimezone(LOS_ANGELES)
    last = begin.replace(minute=begin.minute + reading.seconds // 60 - 1)
    return [f"{begin:%Y-%m-%d}", f"{begin:%H:%M}", f"{last:%H:%M}"]


def green_button(readings: Sequence[Made]) -> bytes:
    rows = [named("TYPE,DATE,START TIME,END TIME,USAGE,UNITS,COST,NOTES", ",")]
    for each in readings:
        energy = number(each.energy, ".")
        rows.append(["Electric usage", *_interval(each), energy, "kWh", "$0.15", ""])
    return ("\ufeff" + lines(rows, above=[*ABOVE, ""], delimiter=",")).encode()


def green_button_kwh(readings: Sequence[Made]) -> bytes:
    rows = [named("TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES", ",")]
    rows += [
        ["Electric usage", *_interval(each), number(each.energy, "."), "$0.15", ""]
        for each in readings
    ]
    return lines(rows, above=[*ABOVE, ""], delimiter=",").encode()


def green_button_import_export(readings: Sequence[Made]) -> bytes:
    rows = [named("TYPE,DATE,START TIME,END TIME,IMPORT (kWh),EXPORT (kWh),COST,NOTES", ",")]
    for each in readings:
        energies = number(each.energy, "."), number(each.exported, ".")
        rows.append(["Electric usage", *_interval(each), *energies, "$0.15", ""])
    return lines(rows, above=[*ABOVE, ""], delimiter=",").encode()


def sdge(readings: Sequence[Made]) -> bytes:
    above = ["Name,SAMPLE", "Account Number,0000", "Title,CSV Export Electric Meter(s)", "UOM,kWh"]
    rows = [named("Meter Number,Date,Start Time,Duration,Consumption,Generation,Net", ",")]
    for each in readings:
        begin = each.start.astimezone(LOS_ANGELES)
        day = f"{begin.month}/{begin.day}/{begin.year}"
        clock = f"{begin:%I:%M %p}".removeprefix("0")
        fields = METER, day, clock, "15", number(each.energy, "."), number(each.exported, "."), ""
        rows.append([f'"{field}"' for field in fields])
    return lines(rows, above=above, delimiter=",").encode()


def sdge_consumed(readings: Sequence[Made]) -> bytes:
    above = ['"Name : Jane Doe",,,,', '"Service Type: Electric",,,,', '"UOM: kWh",,,,', ",,,,"]
    rows = [
        [f'"{name}"' for name in ("Meter Number", "Date", "Start Time", "Duration", "Consumed")]
    ]
    for each in readings:
        begin = each.start.astimezone(LOS_ANGELES)
        energy = f'"{number(each.energy, ".", 14)}"'
        day, clock = f'"{begin:%m/%d/%Y}"', f"{begin:%I:%M:%S %p}"
        rows.append([f'"{METER}"', day, clock, '"Hour"', energy])
    return lines(rows, above=above, delimiter=",").encode()


AMERICA = (
    Layout(
        "smart-meter-texas",
        smart_meter_texas,
        CHICAGO,
        has_exported=True,
        has_estimated=True,
        meter=ESIID,
    ),
    Layout("green-button-csv", green_button, LOS_ANGELES, 3600),
    Layout("green-button-csv-kwh", green_button_kwh, LOS_ANGELES, 1800),
    Layout("green-button-csv-net", green_button_import_export, LOS_ANGELES, has_exported=True),
    Layout("sdge", sdge, LOS_ANGELES, has_exported=True, meter=METER),
    Layout("sdge-consumed", sdge_consumed, LOS_ANGELES, 3600, meter=METER),
)
