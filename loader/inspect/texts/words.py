"""What words in headings say, in the languages of Western Europe."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_MEANINGS = {
    "start": "start|begin|beginn|anfang|von|ab|from|debut|du|inicio|desde|inizio|dal|vanaf|van|od",
    "end": "end|ende|enddatum|endzeit|enduhrzeit|endtime|fin|final|bis|until|to|hasta|fine"
    "|al|tot|einde|fim|ate|do",
    "time": "time|timestamp|clock|hour|hours|hora|horas|heure|heures|horodate|zeit|uhrzeit|stunde"
    "|ora|ore|tijd|uur|zeitpunkt|interval|intervall|period|periodo|periode",
    "exported": "export|exported|exporte|exportada|injection|injectie|injectee|einspeisung"
    "|einspeise|eingespeist|vertida|vertido|vertidos|inyeccion|inyectada|excedente|excedentes"
    "|excedent|abocada|immessa|immissione|injetada|injetado|returned|return|teruglevering"
    "|teruggeleverd|ruckspeisung|ruckspeise|lieferung|geliefert|surplus|uberschuss|saliente"
    "|feed|injecao|oddanie|oddana|oddano|as",
    "reactive": "reactive|reactiva|reactiu|reattiva|reativa|reactief|blind|blindarbeit|blindstrom"
    "|blindenergie|blindleistung|blindverbrauch|r1|r4",
    "consumed": "consumption|consumo|consommation|verbrauch|bezug|netzbezug|restverbrauch|consum"
    "|consumed|consumida|imported|import|usage|afname|verbruik|soutirage|soutiree|prelievo"
    "|prelevata|consumi|energy|energie|energia|entrante|ae|offtake|wirkenergie|active|wert|messwert"
    "|value|valeur|volume|valor|pobor|pobrana|grid|rede|kwh",
    "own use": "autoconsumida|autoconsumo|autocons|autoconsommation|autoconsum|eigenverbrauch"
    "|eigendeckung|selfconsumption|autoconsumo|zelfconsumptie|generada|generacion|generated"
    "|generation|produced|production|erzeugung|erzeugte|produccion|prodotta|opwek|solar|pv",
    "other": "cost|costs|coste|costo|price|precio|preis|prix|prezzo|importe|kosten|betrag|charge"
    "|tax|fee|eur|euro|usd|gbp|amount|gas|gasverbrauch|water|wasser|agua|eau|temperature"
    "|temperatur|temperatura|co2|duration|dauer|duree|tarif|tariff|tarifa|count|anzahl|id|index no"
    "|flag|flags|code",
    "register": "register|zahlerstand|meterstand|meterstanden|stand|index|lectura|lecturas|contador"
    "|lettura|leitura|cumulative|acumulado|acumulada|accumulated|totalizer|cumul|total reading",
    "power": "power|potencia|puissance|leistung|potenza|vermogen|demand|wirkleistung|load",
    "voltage": "voltage|tension|spannung|tensione|tensao|spanning",
    "intensity": "current|intensity|intensidad|intensite|strom|stromstarke|corrente|stroom",
    "power factor": "factor|leistungsfaktor|facteur|cos",
    "maximeter": "maximeter|maximetro|maximum demand",
    "quality": "quality|qualitat|qualite|calidad|qualita|kwaliteit|status|estado|etat|stato"
    "|statut|metodo|obtencion|estimated|estimado|real|validation|validatiestatus|messwert|nature"
    "|origin|art|type of reading|plausibility",
    "meter": "cups|meter|mprn|mpan|ean|prm|pdl|pod|nmi|zahlpunkt|zaehlpunkt|zahlpunktbezeichnung"
    "|zahlpunktnummer|messpunkt|melo|malo|messlokation|marktlokation|supply|suministro|punto|contador|compteur"
    "|contatore|zahler|zahlernummer|esiid|esi|serial|meternumber|point",
    "unit": "unit|units|einheit|unidad|unite|unita|eenheid|uom|unidade|unitat",
    "low tariff": "low|normal|high|peak|offpeak|off|nacht|tag|day|night|dag|ht|nt|hp|hc|punta|llano"
    "|valle|tarif|tariff|tariffs|dutch|users|pleines|creuses|heures|rate|band|phase|laag|hoog|tarief|tarifa|hochtarif|niedertarif",
}
_PATTERNS = {meaning: re.compile(rf"\b(?:{words})\b") for meaning, words in _MEANINGS.items()}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
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
