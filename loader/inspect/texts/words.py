"""What words in headings say, in the languages of Western Europe."""

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_MEANINGS = {
    "start": (
        "ab anfang begin begindatum beginn dal debut desde du from inicio inizio od start "
        "startdate startdatum starttime startuhrzeit startzeit van vanaf von"
    ),
    "end": (
        "al ate bis do einddatum einde eindtijd end enddate enddatum ende endtime enduhrzeit "
        "endzeit fim fin final fine hasta to tot until"
    ),
    "time": (
        "clock heure heures hora horas horodate hour hours interval intervall ora ore period "
        "periode periodo stunde tijd time timestamp uhrzeit uur zeit zeitpunkt"
    ),
    "exported": (
        "abocada as eingespeist einspeise einspeisung excedent excedente excedentes export "
        "exportada exporte exported feed geliefert immessa immissione injecao injectee "
        "injectie injection injetada injetado inyeccion inyectada lieferung oddana oddanie "
        "oddano return returned ruckspeise to_grid ruckspeisung saliente surplus teruggeleverd "
        "teruglevering uberschuss vertida vertido vertidos"
    ),
    "reactive": (
        "blind blindarbeit blindenergie blindleistung blindstrom blindverbrauch r1 r4 "
        "reactief reactiu reactiva reactive reativa reattiva"
    ),
    "consumed": (
        "active ae afname bezug consommation consum consumed consumi consumida consumo "
        "consumption energia energie energy entrante grid import imported kwh messwert "
        "netzbezug offtake pobor pobrana prelevata prelievo rede restverbrauch soutirage "
        "soutiree usage valeur valor value verbrauch verbruik volume wert wirkenergie"
    ),
    "imported": (
        "afname bezug entrante from_grid import imported netzbezug offtake pobor pobrana "
        "prelevata prelievo soutirage soutiree"
    ),
    "own use": (
        "autocons autoconsommation autoconsum autoconsumida autoconsumo eigendeckung "
        "eigenverbrauch erzeugte erzeugung generacion generada generated generation opwek "
        "prodotta produccion produced production pv selfconsumption solar zelfconsumptie"
    ),
    "other": (
        "agua amount anzahl betrag charge co2 code cost coste costo costs count dauer "
        "duration duree eau eur euro fee flag flags gas gasverbrauch gbp id importe index_no "
        "kosten precio preis prezzo price prix tarif tarifa tariff tax temperatur temperatura "
        "temperature usd wasser water"
    ),
    "money": (
        "amount betrag charge cost coste costo costs eur euro fee gbp importe kosten precio "
        "preis prezzo price prix tax usd"
    ),
    "utc": ("gmt utc"),
    "year": ("ano annee anno jaar jahr year"),
    "month": ("maand mes mese mois monat month"),
    "day": ("dag day dia giorno jour tag"),
    "register": (
        "accumulated acumulada acumulado contador cumul cumulative index lectura lecturas "
        "leitura lettura meterstand meterstanden register stand total_reading totalizer "
        "zahlerstand"
    ),
    "power": ("demand leistung load potencia potenza power puissance vermogen wirkleistung"),
    "voltage": ("spanning spannung tensao tension tensione voltage"),
    "intensity": ("corrente current intensidad intensite intensity strom stromstarke stroom"),
    "power factor": ("cos facteur factor leistungsfaktor"),
    "maximeter": ("maximeter maximetro maximum_demand"),
    "quality": (
        "art calidad estado estimado estimated etat kwaliteit messwert metodo nature "
        "obtencion origin plausibility qualita qualitat qualite quality real stato status "
        "statut type_of_reading validatiestatus validation"
    ),
    "meter": (
        "compteur contador contatore cups ean esi esiid malo marktlokation melo messlokation "
        "messpunkt meter meternumber mpan mprn nmi pdl pod point prm punto serial suministro "
        "supply zaehlpunkt zahler zahlernummer zahlpunkt zahlpunktbezeichnung zahlpunktnummer"
    ),
    "unit": ("eenheid einheit unidad unidade unit unita unitat unite units uom"),
    "low tariff": (
        "band creuses dag day dutch hc heures high hochtarif hoog hp ht laag llano low nacht "
        "niedertarif night normal nt off offpeak peak phase pleines punta rate tag tarief "
        "tarif tarifa tariff tariffs users valle"
    ),
}
"""The words of each meaning, in small letters without accents; `_` is a blank."""

_PATTERNS = {
    meaning: re.compile(rf"\b(?:{words.replace(' ', '|').replace('_', ' ')})\b")
    for meaning, words in _MEANINGS.items()
}
_CAMEL = re.compile(r"(?<=[a-z][a-z])(?=[A-Z])")
_NO_WORD = re.compile(r"[\W_]+")
_UNIT = re.compile(
    r"(?<![^\W\d_])([kmg]?wh|[kmg]?w|[km]?varh|[km]?var)(?![^\W\d_])|[(\[]\s*([va])\s*[)\]]",
    re.IGNORECASE,
)


class UnitMeaning(NamedTuple):
    """What a unit is of, and the factor that converts it to the stored unit."""

    quantity: str
    factor: str


_UNITS = {
    "wh": UnitMeaning("energy", "0.001"),
    "kwh": UnitMeaning("energy", "1"),
    "mwh": UnitMeaning("energy", "1000"),
    "gwh": UnitMeaning("energy", "1000000"),
    "w": UnitMeaning("power", "0.001"),
    "kw": UnitMeaning("power", "1"),
    "mw": UnitMeaning("power", "1000"),
    "gw": UnitMeaning("power", "1000000"),
    "varh": UnitMeaning("reactive_energy", "0.001"),
    "kvarh": UnitMeaning("reactive_energy", "1"),
    "mvarh": UnitMeaning("reactive_energy", "1000"),
    "var": UnitMeaning("reactive_power", "0.001"),
    "kvar": UnitMeaning("reactive_power", "1"),
    "mvar": UnitMeaning("reactive_power", "1000"),
    "v": UnitMeaning("voltage", "1"),
    "a": UnitMeaning("intensity", "1"),
}


@lru_cache(maxsize=4096)
def plain_words(text: str) -> str:
    """Return the words of a heading in small letters without accents, one blank between two."""
    letters = unicodedata.normalize("NFKD", _CAMEL.sub(" ", text))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _NO_WORD.sub(" ", plain.casefold()).strip()


def says(text: str, meaning: str) -> bool:
    """Return whether a word of a heading has a meaning."""
    return _PATTERNS[meaning].search(plain_words(text)) is not None


def without(text: str, meaning: str) -> str:
    """Return the words of a heading without those of a meaning, and without numbers."""
    left = _PATTERNS[meaning].sub("", plain_words(text))
    return " ".join(word for word in left.split() if not re.fullmatch(r"[a-z]?\d+", word))


def unit_in(text: str) -> UnitMeaning | None:
    """Return the unit that a text ends with or has last; None if it has none."""
    found = _UNIT.findall(text)
    return _UNITS["".join(found[-1]).casefold()] if found else None


def common_edges(texts: Sequence[str]) -> tuple[str, str]:
    """Return what all texts begin with and end with, in whole words."""
    before = os.path.commonprefix(texts)  # noqa: RUF071 - whole words are taken of it
    before = re.sub(r"\w*$", "", before)
    after = os.path.commonprefix([text[len(before) :][::-1] for text in texts])[::-1]  # noqa: RUF071 - as above
    return before, re.sub(r"^\w*", "", after)
