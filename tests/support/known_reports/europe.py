"""Files of portals of other European countries."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made, lines, named, number, times

if TYPE_CHECKING:
    from decimal import Decimal

PARIS, BRUSSELS = ZoneInfo("Europe/Paris"), ZoneInfo("Europe/Brussels")
DUBLIN, LONDON = ZoneInfo("Europe/Dublin"), ZoneInfo("Europe/London")
BERLIN, ROME = ZoneInfo("Europe/Berlin"), ZoneInfo("Europe/Rome")
PRM, EAN, MPRN = "00000000000000", "540000000000000001", "10000000001"
MALO, POD = "DE0000000000000000000000000000001", "IT001E00000001"


def _enedis(readings: Sequence[Made], kind: str, *, is_export: bool = False) -> bytes:
    first = "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique"
    above = [
        f"{first};Grandeur metier;Etape metier;Unite;Pas en minutes",
        f"{PRM};Courbe de charge;29/10/2023;30/10/2023;Energie active;{kind};Comptage Brut;W;",
    ]
    rows = [["Horodate", "Valeur"]]
    for each in readings:
        energy = each.exported if is_export else each.energy
        watts = times(energy, 1000 * 3600 // each.seconds)
        rows.append([each.end.astimezone(PARIS).isoformat(), number(watts, places=0)])
    return lines(rows, above=above).encode()


def enedis(readings: Sequence[Made]) -> bytes:
    return _enedis(readings, "Consommation")


def enedis_production(readings: Sequence[Made]) -> bytes:
    return _enedis(readings, "Production", is_export=True)


def enedis_kw(readings: Sequence[Made]) -> bytes:
    rows = [["Début", "Fin", "Valeur (en kW)"]]
    for each in readings:
        interval = (f"{at.astimezone(PARIS):%d/%m/%Y %H:%M:%S}" for at in (each.start, each.end))
        rows.append([*interval, number(times(each.energy, 3600 // each.seconds))])
    return lines(rows).encode("cp1252")


def enedis_kw_utf8(readings: Sequence[Made]) -> bytes:
    return enedis_kw(readings).decode("cp1252").encode()


def _fluvius(
    readings: Sequence[Made], heading: str, pattern: str, words: Sequence[str], rest: Sequence[str]
) -> bytes:
    """Each quarter twice: what was taken and what was injected, in the registers day and night."""
    rows = [named(heading)]
    for each in readings:
        begin, end = each.start.astimezone(BRUSSELS), each.end.astimezone(BRUSSELS)
        interval = [f"{at:{form}}" for at in (begin, end) for form in (pattern, "%H:%M:%S")]
        register = rest[0] if 7 <= begin.hour < 22 else rest[1]
        status = words[3] if each.is_estimated else words[2]
        for word, value in zip(words, (each.energy, each.exported), strict=False):
            meter = [f'="{EAN}"', "1SAG0000000000", "Digital"]
            row = [*interval, *meter, f"{word} {register}", number(value), "kWh", status, ""]
            rows.append(row)
    return ("\ufeff" + lines(rows)).encode()


def fluvius(readings: Sequence[Made]) -> bytes:
    first = "Van (datum);Van (tijdstip);Tot (datum);Tot (tijdstip);EAN-code;Meter;Metertype"
    heading = f"{first};Register;Volume;Eenheid;Validatiestatus;Omschrijving"
    words = "Afname", "Injectie", "Uitgelezen", "Geschat"
    return _fluvius(readings, heading, "%d-%m-%Y", words, ("Dag", "Nacht"))


def fluvius_english(readings: Sequence[Made]) -> bytes:
    first = "From (date);From (time);Until (date);Until (time);EAN code;Meter;Meter type"
    heading = f"{first};Register;Volume;Unit;Validation status;Description"
    words = "Offtake", "Injection", "Read", "Estimated"
    return _fluvius(readings, heading, "%d/%m/%Y", words, ("Day", "Night"))


def _esb(readings: Sequence[Made], unit: str, factor: int) -> bytes:
    """Newest first, what was taken and what was given of each half hour one after the other."""
    rows = [named("MPRN,Meter Serial Number,Read Value,Read Type,Read Date and End Time", ",")]
    for each in reversed(readings):
        for word, value in {"Import": each.energy, "Export": each.exported}.items():
            kind = f"Active {word} Interval ({unit})"
            end = f"{each.end.astimezone(DUBLIN):%d-%m-%Y %H:%M}"
            rows.append([MPRN, "000000000012345678", number(times(value, factor), "."), kind, end])
    return lines(rows, delimiter=",").encode()


def esb(readings: Sequence[Made]) -> bytes:
    return _esb(readings, "kW", 2)


def esb_kwh(readings: Sequence[Made]) -> bytes:
    return _esb(readings, "kWh", 1)


def octopus(readings: Sequence[Made]) -> bytes:
    rows = [["Consumption (kwh)", "Start", "End"]]
    for each in readings:
        interval = (at.astimezone(LONDON).isoformat() for at in (each.start, each.end))
        rows.append(
            ["" if each.energy is None else f"{float(each.energy) + 1e-12:.15g}", *interval]
        )
    return lines(rows, delimiter=", ").encode()


def octopus_with_costs(readings: Sequence[Made]) -> bytes:
    costs = "Estimated Cost Inc. Tax (p)", "Standing Charge Inc. Tax (p)"
    rows = [["Consumption (kWh)", *costs, "Start", "End"]]
    for each in readings:
        interval = (at.astimezone(LONDON).isoformat() for at in (each.start, each.end))
        rows.append([number(each.energy, ".", 6), "4.21", "0.5", *interval])
    return lines(rows, delimiter=", ").encode()


def n3rgy(readings: Sequence[Made]) -> bytes:
    rows = [["timestamp (UTC)", "energyConsumption (kWh)"]]
    rows += [[f"{each.end:%Y-%m-%d %H:%M}", number(each.energy, ".")] for each in readings]
    return lines(rows, delimiter=",").encode()


def n3rgy_older(readings: Sequence[Made]) -> bytes:
    return n3rgy(readings).replace(b" (UTC)", b"", 1)


def load_profile_german(readings: Sequence[Made]) -> bytes:
    rows = [["Datum", "Uhrzeit", "Wert (kWh)", "Status"]]
    for each in readings:
        end = each.end.astimezone(BERLIN)
        status = "E" if each.is_estimated else "W"
        rows.append([f"{end:%d.%m.%Y}", f"{end:%H:%M}", number(each.energy), status])
    return lines(rows, above=[f"Zählpunkt;{MALO}"]).encode("utf-8")


def e_distribuzione(readings: Sequence[Made]) -> bytes:
    """A day in a row, by the clock: the quarters that a day does not have are empty."""
    days: defaultdict[date, dict[str, Decimal | None]] = defaultdict(dict)
    for each in readings:
        local = each.start.astimezone(ROME)
        days[local.date()][f"{local:%H:%M}"] = each.energy
    begins = [
        datetime.combine(date(2024, 1, 1), time()) + timedelta(minutes=15 * n) for n in range(97)
    ]
    clocks = [f"{begin:%H:%M}" for begin in begins]
    clocks[-1] = "24:00"
    rows = [["Giorno", *map("-".join, itertools.pairwise(clocks))]]
    for day, values in days.items():
        quarters = [f'"{number(values.get(clock))}"' for clock in clocks[:-1]]
        rows.append([f'"{day:%d/%m/%Y}"', *quarters])
    return lines(rows, above=[f"POD;{POD}"]).encode()


_HALF_HOUR = 1800

EUROPE = (
    Layout("enedis", enedis, PARIS, _HALF_HOUR, least_gap=2, has_power=True, meter=PRM),
    Layout(
        *("enedis-production", enedis_production, PARIS, _HALF_HOUR),
        has_energy=False,
        has_exported=True,
        least_gap=2,
        meter=PRM,
    ),
    Layout("enedis-kw", enedis_kw, PARIS, _HALF_HOUR, has_power=True),
    Layout("enedis-kw", enedis_kw_utf8, PARIS, _HALF_HOUR, has_power=True),
    *(
        Layout(name, write, BRUSSELS, has_exported=True, has_estimated=True, meter=EAN)
        for name, write in {"fluvius": fluvius, "fluvius-english": fluvius_english}.items()
    ),
    Layout("esb", esb, DUBLIN, _HALF_HOUR, has_exported=True, has_power=True, meter=MPRN),
    Layout("esb-kwh", esb_kwh, DUBLIN, _HALF_HOUR, has_exported=True, meter=MPRN),
    *(
        Layout(name, write, LONDON, _HALF_HOUR)
        for name, write in (
            ("octopus", octopus),
            ("octopus", octopus_with_costs),
            ("n3rgy", n3rgy),
            ("n3rgy", n3rgy_older),
        )
    ),
    Layout("load-profile-german", load_profile_german, BERLIN, has_estimated=True, meter=MALO),
    Layout(
        "e-distribuzione",
        e_distribuzione,
        ROME,
        has_gaps=False,
        is_whole_days=True,
        has_missing=False,
        has_repeated=False,
        meter=POD,
    ),
)
