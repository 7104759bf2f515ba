"""Files of Spanish portals."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tests.support.known_reports.made import Layout, Made, lines, named, number, times

MADRID = ZoneInfo("Europe/Madrid")
CUPS = "ES0000000000000001AA0F"


def _counted(reading: Made) -> tuple[str, int]:
    """The day, and the hour of it, counted from 1."""
    local = reading.start.astimezone(MADRID)
    midnight = datetime.combine(local, time(), MADRID)
    hours = (reading.start - midnight.astimezone(reading.start.tzinfo)) // timedelta(hours=1)
    return f"{local:%d/%m/%Y}", hours + 1


def distributor(readings: Sequence[Made]) -> bytes:
    rows = [["CUPS", "Fecha", "Hora", "Consumo_kWh", "Metodo_obtencion"]]
    for each in readings:
        day, hour = _counted(each)
        method = "E" if each.is_estimated else "R"
        rows.append([CUPS, day, f"{hour}", number(each.energy), method])
    return lines(rows).encode()


def distributor_with_export(readings: Sequence[Made]) -> bytes:
    heading = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion;Energia_vertida_kWh"
    rows = [named(f"{heading};Energia_generada_kWh;Energia_autoconsumida_kWh")]
    for each in readings:
        day, hour = _counted(each)
        method = "E" if each.is_estimated else "R"
        energies = number(each.energy), method, number(each.exported)
        rows.append([CUPS, day, f"{hour}", *energies, "", ""])
    return lines(rows).encode()


def distributor_consumo(readings: Sequence[Made]) -> bytes:
    return distributor(readings).replace(b"Consumo_kWh", b"Consumo", 1)


def _datadis(readings: Sequence[Made], heading: str, *, is_next_day: bool) -> bytes:
    """Hours are counted or, in autumn, those of the clock, with midnight on the next day."""
    rows = [named(heading)]
    for each in readings:
        begin = each.start.astimezone(MADRID)
        _, hour = _counted(each)
        clock = f"{hour:02}:00"
        if is_next_day:
            is_last = f"{begin:%H}" == "23"
            clock = f"{hour if begin.month < 6 else begin.hour + 1:02}:00"
            clock, begin = ("00:00", begin + timedelta(hours=1)) if is_last else (clock, begin)
        method = "Estimada" if each.is_estimated else "Real"
        energies = number(each.energy), method, number(each.exported)
        row = [CUPS, f"{begin:%Y/%m/%d}", clock, *energies, *[""] * len(rows[0])]
        rows.append(row[: len(rows[0])])
    return lines(rows).encode()


NEW = "cups;fecha;hora;consumo_kWh;metodoObtencion;energiaVertida_kWh"


def datadis(readings: Sequence[Made]) -> bytes:
    return _datadis(readings, NEW, is_next_day=False)


def datadis_next_day(readings: Sequence[Made]) -> bytes:
    return _datadis(
        readings, f"{NEW};energiaGenerada_kWh;energiaAutoconsumida_kWh", is_next_day=True
    )


def datadis_older(readings: Sequence[Made]) -> bytes:
    heading = "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion"
    return _datadis(readings, heading, is_next_day=False)


def e_distribucion(readings: Sequence[Made]) -> bytes:
    rows = [named("CUPS;Fecha;Hora;AE_kWh;AS_KWh;AE_AUTOCONS_kWh;REAL/ESTIMADO")]
    for each in readings:
        day, hour = _counted(each)
        method = "E" if each.is_estimated else "R"
        rows.append([CUPS, day, f"{hour}", number(each.energy), number(each.exported), "", method])
    return lines(rows).encode()


def i_de(readings: Sequence[Made]) -> bytes:
    rows = [named("CUPS;FECHA-HORA;INV / VER;PERIODO TARIFARIO;CONSUMO Wh;GENERACION Wh")]
    for each in readings:
        end = each.end.astimezone(MADRID)
        energies = (number(times(value, 1000), places=0) for value in (each.energy, each.exported))
        rows.append([CUPS, f"{end:%Y/%m/%d %H:%M}", f"{bool(end.dst()):d}", "VALLE", *energies])
    return lines(rows, end=";").encode()


_HOUR = 3600

SPAIN = (
    *(
        Layout(name, write, MADRID, _HOUR, has_estimated=True, meter=CUPS)
        for name, write in {
            "distributor-hourly": distributor,
            "distributor-hourly-consumo": distributor_consumo,
        }.items()
    ),
    *(
        Layout(name, write, MADRID, _HOUR, has_exported=True, has_estimated=True, meter=CUPS)
        for name, write in {
            "distributor-hourly": distributor_with_export,
            "e-distribucion": e_distribucion,
        }.items()
    ),
    *(
        Layout(
            *(name, write, MADRID, _HOUR),
            has_exported=has_exported,
            has_estimated=True,
            has_gaps=False,
            is_whole_days=True,
            meter=CUPS,
        )
        for name, write, has_exported in (
            ("datadis", datadis, True),
            ("datadis", datadis_next_day, True),
            ("datadis-older", datadis_older, False),
        )
    ),
    Layout("i-de", i_de, MADRID, _HOUR, has_exported=True, meter=CUPS),
)
