"""Files of Austrian portals."""

from collections.abc import Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made, lines, named, number, times

VIENNA = ZoneInfo("Europe/Vienna")
METER = "AT0010000000000000001000000000000"
BOM = "\ufeff"


def _begin(reading: Made, pattern: str = "%d.%m.%Y %H:%M") -> str:
    return reading.start.astimezone(VIENNA).strftime(pattern)


def _end(reading: Made, pattern: str = "%d.%m.%Y %H:%M") -> str:
    return reading.end.astimezone(VIENNA).strftime(pattern)


def netz_noe(readings: Sequence[Made]) -> bytes:
    rows = [["Messzeitpunkt", "Verbrauch (kWh)", "Qualität"]]
    rows += [
        [_end(each), number(each.energy, places=6), "L2" if each.is_estimated else "L1"]
        for each in readings
    ]
    return (BOM + lines(rows, end=";")).encode()


def netz_noe_community(readings: Sequence[Made]) -> bytes:
    rest = "Restnetzbezug (kWh);Eigendeckung (kWh);Ideeller Anteil (kWh)"
    rows = [named(f"Messzeitpunkt;Verbrauch (kWh);{rest};Eigendeckung erneuerb. Energie (kWh)")]
    for each in readings:
        energy = number(each.energy, places=6)
        rows.append([_end(each), energy, energy, "0,000000", "0,000000", ""])
    return lines(rows, end=";").encode()


def netz_noe_older(readings: Sequence[Made]) -> bytes:
    rows = [["Messzeitpunkt", "Gemessener Verbrauch (kWh)", "Ersatzwert"]]
    rows += [
        [_end(each), number(each.energy, places=6), "x" * each.is_estimated] for each in readings
    ]
    return lines(rows, end=";").encode()


def netz_noe_feed_in(readings: Sequence[Made]) -> bytes:
    rows = [["Messzeitpunkt", "Einspeisung (kWh)", "Qualität"]]
    rows += [
        [_end(each), number(each.exported, places=6), "L2" if each.is_estimated else "L1"]
        for each in readings
    ]
    return lines(rows, end=";").encode()


def netz_noe_feed_in_older(readings: Sequence[Made]) -> bytes:
    rows = [["Messzeitpunkt", "Gemessene Menge (kWh)", "Ersatzwert"]]
    rows += [
        [_end(each), number(each.exported, places=6), "x" * each.is_estimated] for each in readings
    ]
    return lines(rows, end=";").encode()


def wiener_netze(readings: Sequence[Made]) -> bytes:
    rows = [["Datum", "Zeit von", "Zeit bis", f"{METER} (0000000000) - Verbrauch [kWh]"]]
    for each in readings:
        times = _begin(each, "%d.%m.%Y"), _begin(each, "%H:%M:%S"), _end(each, "%H:%M:%S")
        rows.append([*times, number(each.energy)])
    return (BOM + lines(rows, end=";;")).encode()


def wiener_netze_feed_in(readings: Sequence[Made]) -> bytes:
    rows = [["Datum", "Zeit von", "Zeit bis", f"{METER} (0000000000) - Einspeiser [kWh]"]]
    for each in readings:
        times = _begin(each, "%d.%m.%Y"), _begin(each, "%H:%M:%S"), _end(each, "%H:%M:%S")
        rows.append([*times, number(each.exported)])
    return (BOM + lines(rows, end=";")).encode()


def netz_burgenland(readings: Sequence[Made]) -> bytes:
    first = "Zählpunktbezeichnung;Kennzahl;Zählernummer;Exportiere ab;Exportiere bis"
    day, last = _begin(readings[0], "%d.%m.%Y"), _end(readings[-1], "%d.%m.%Y")
    above = [
        f"{first};Exportiere ab;Exportiere bis",
        f"{METER};1-1:1.9.0 P.01;;{day};{last};00:00;00:00",
    ]
    rows = [named("Startdatum;Startuhrzeit;Enddatum;Enduhrzeit;Verbrauch (in kWh);Status")]
    for each in readings:
        status = "Ersatzwert" if each.is_estimated else "Wahrer Wert"
        rows.append(
            [
                *(_begin(each, "%d.%m.%Y"), _begin(each, "%H:%M")),
                *(_end(each, "%d.%m.%Y"), _end(each, "%H:%M")),
                *(number(each.energy) or "-", status),
            ]
        )
    return lines(rows, above=above).encode()


def _blanks(readings: Sequence[Made], heading: Sequence[str], rest: str = "") -> bytes:
    """Rows whose times begin with a blank, and floats that are not exact."""
    rows = [["Start", "Ende", *heading]]
    pattern = " %d.%m.%Y %H:%M:%S"
    for each in readings:
        energy = "" if each.energy is None else f"{float(each.energy) + 1e-13:.15f}"
        rows.append([_begin(each, pattern), _end(each, pattern), energy.replace(".", ",") + rest])
    return lines(rows).encode()


def netz_burgenland_older(readings: Sequence[Made]) -> bytes:
    return _blanks(readings, ["Verbrauch (kWh) - Gesamtverbrauch"])


def clam_strom(readings: Sequence[Made]) -> bytes:
    heading = ["Vorschub (kWh) - Verbrauch", "Zählerstand (kWh) - Verbrauch"]
    return _blanks(readings, heading, ";")


def salzburg_netz(readings: Sequence[Made]) -> bytes:
    total = number(sum((each.energy or Decimal(0) for each in readings), Decimal(0)))
    rows = [['"Datum und Uhrzeit"', f'"Restverbrauch ({total} kWh)"', '"Status"']]
    for each in readings:
        status = f'"Wert ist gültig({"L2" if each.is_estimated else "L1"})"'
        rows.append([f'"{_begin(each, "%Y-%m-%d %H:%M:%S")}"', number(each.energy), status])
    return (BOM + lines(rows)).encode()


def salzburg_netz_2024(readings: Sequence[Made]) -> bytes:
    rows = [['"Datum"', '"Restverbrauch (kWh)"', '"Status"']]
    for each in readings:
        status = f'"Wert ist gültig({"L2" if each.is_estimated else "L1"})"'
        rows.append([f'"{_begin(each, "%d.%m.%Y %H:%M:%S")}"', number(each.energy), status])
    return lines(rows).encode()


def vorarlberg_netz(readings: Sequence[Made]) -> bytes:
    rows = [["Beginn der Messreihe", "Ende der Messreihe", "Messwert in kWh"]]
    rows += [[_begin(each), _end(each), number(each.energy)] for each in readings]
    above = ["Vertragskonto;000", f"Zählpunkt;{METER}", ""]
    return lines(rows, above=above).replace("\n", "\r\n").encode("utf-16-le")


def tinetz(readings: Sequence[Made]) -> bytes:
    """Days on the left, as many as there are; the last second of each interval is its end."""
    pattern = "%d.%m.%Y %H:%M:%S"
    days = dict.fromkeys(_begin(each, "%d.%m.%Y") for each in readings)
    left = iter([[f"{day} 00:00:00", f"{day} 23:59:59", "18,211"] for day in days])
    rows = [named("DATE_FROM;DATE_TO;VALUE;DATE_FROM;DATE_TO;VALUE")]
    for each in readings:
        ending = _begin(each, "%d.%m.%Y %H:") + f"{each.start.minute + 14}:59"
        right = [_begin(each, pattern), ending, number(each.energy)]
        rows.append([*next(left, ["", "", ""]), *right])
    above = ["addr;;;addr;;", "AT00;;;AT00;;", "Strom (kWh);;;Strom (kWh);;", "kWh;;;kWh;;"]
    return lines(rows, above=above).encode()


def netz_ooe(readings: Sequence[Made]) -> bytes:
    rows = [['"Datum"', '"kWh"', '"kW"', '"Status"']]
    for each in readings:
        energies = number(each.energy), number(times(each.energy, 4))
        rows.append([f'"{_begin(each)}"', *energies, '"EST"' if each.is_estimated else '"VALID"'])
    return lines(rows, end=";").encode()


def energienetze_steiermark(readings: Sequence[Made]) -> bytes:
    first = "Anlagennummer;Zaehlpunkt;Tarif;Verbrauchszeitraum Beginn;Verbrauchszeitraum Ende"
    status = "Messwert: VAL...gemessen, EST...rechnerisch ermittelt"
    rows = [[*named(first), "Verbrauch", "Einheit", status]]
    for each in readings:
        measured = "EST" if each.is_estimated else "VAL"
        interval = _begin(each), _end(each)
        rows.append(["12345678", METER, "", *interval, number(each.energy), "KWH", measured])
    return (BOM + lines(rows, above=["sep=;"])).encode()


def kaernten_netz(readings: Sequence[Made]) -> bytes:
    first = "Startdatum;Enddatum;Zählpunktbezeichnung;Name der Energiegemeinschaft"
    more = "ID der Energiegemeinschaft;OBIS;OBIS Kurzbeschreibung;Wert;Einheit;Qualität"
    rows = [named(f"{first};{more};Qualität Beschreibung")]
    for each in readings:
        quality = ["L2", "Ersatzwert"] if each.is_estimated else ["L1", "Echtwert gemessen"]
        named_so = [_begin(each), _end(each), METER, "", "", "", ""]
        rows.append([*named_so, number(each.energy), "kWh", *quality])
    return lines(rows).encode()


def kaernten_netz_older(readings: Sequence[Made]) -> bytes:
    above = ["Kundennummer;1234567", "Kundenname;XYZ", f"ZP-Nummer;{METER}"]
    rows = [["Datum", "Zeit", "kWh", "Status"]]
    for each in readings:
        status = "Ersatzwert" if each.is_estimated else "Der Wert ist gültig"
        moment = _begin(each, "%d.%m.%Y"), _begin(each, "%H:%M:%S")
        rows.append([*moment, number(each.energy), status])
    return lines(rows, above=[*above, "Energierichtung;Netzbezug", "", ""]).encode()


def linz_netz(readings: Sequence[Made]) -> bytes:
    rows = [["Datum von", "Datum bis", "Energiemenge in kWh", "Ersatzwert"]]
    rows += [
        [_begin(each), _end(each), number(each.energy), "x" * each.is_estimated]
        for each in readings
    ]
    return lines(rows).encode()


def linz_netz_newer(readings: Sequence[Made]) -> bytes:
    return linz_netz(readings).replace(b"Energiemenge", b"Verbrauch", 1)


def stromnetz_graz(readings: Sequence[Made]) -> bytes:
    kinds = "Gesamt - 1.8.0", "Hochtarif - 1.8.1", "Niedertarif - 1.8.2"
    heading = [
        f"{what} {kind}" for kind in kinds for what in ("Zaehlerstand", "Verbrauch", "Status")
    ]
    rows = [["Ablesezeitpunkt", *heading]]
    for each in readings:
        end = each.end.astimezone(VIENNA).isoformat(timespec="milliseconds")
        status = "EST" if each.is_estimated else "VAL"
        rows.append([end, "11816,535", number(each.energy), status, *[""] * 6])
    return lines(rows).encode()


AUSTRIA = (
    *(
        Layout(name, write, VIENNA, has_estimated=True, meter=meter)
        for name, write, meter in (
            ("netz-noe", netz_noe, None),
            ("netz-noe-older", netz_noe_older, None),
            ("netz-burgenland", netz_burgenland, METER),
            ("salzburg-netz", salzburg_netz, None),
            ("salzburg-netz-2024", salzburg_netz_2024, None),
            ("energienetze-steiermark", energienetze_steiermark, METER),
            ("kaernten-netz", kaernten_netz, METER),
            ("kaernten-netz-older", kaernten_netz_older, METER),
            ("linz-netz", linz_netz, None),
            ("linz-netz", linz_netz_newer, None),
            ("stromnetz-graz", stromnetz_graz, None),
        )
    ),
    *(
        Layout(name, write, VIENNA, has_energy=False, has_exported=True, has_estimated=True)
        for name, write in (
            ("netz-noe-feed-in", netz_noe_feed_in),
            ("netz-noe-feed-in-older", netz_noe_feed_in_older),
        )
    ),
    Layout("netz-noe", netz_noe_community, VIENNA),
    Layout("wiener-netze", wiener_netze, VIENNA, meter=METER),
    Layout(
        "wiener-netze-feed-in",
        wiener_netze_feed_in,
        VIENNA,
        has_energy=False,
        has_exported=True,
        meter=METER,
    ),
    Layout("netz-burgenland-older", netz_burgenland_older, VIENNA),
    Layout("clam-strom", clam_strom, VIENNA),
    Layout("vorarlberg-netz", vorarlberg_netz, VIENNA, meter=METER),
    Layout("tinetz", tinetz, VIENNA),
    Layout("netz-ooe", netz_ooe, VIENNA, has_estimated=True, has_power=True),
)
