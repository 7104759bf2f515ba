"""The tables that sources make of files in other layouts, described as formats."""

from loader.sources.tables import (
    GREEN_BUTTON_METER,
    GREEN_BUTTON_QUALITY,
    GREEN_BUTTON_START,
    NEM12_METER,
    NEM12_QUALITY,
    NEM12_START,
    QUANTITY_COLUMNS,
)
from settings import ENERGIES, FormatSettings


def _described(start: str, meter: str, quality: str, estimated: list[str]) -> FormatSettings:
    return FormatSettings.model_validate(
        {
            "columns": {
                name: {"header": header} | ({"kind": "energy"} if name in ENERGIES else {})
                for name, header in QUANTITY_COLUMNS.items()
            },
            "time": {"column": start, "pattern": "iso", "marks": "start"},
            "identifier": meter,
            "quality": {"column": quality, "estimated": estimated},
            "round": True,
        }
    )


SOURCE_TABLES = {
    "nem12": _described(NEM12_START, NEM12_METER, NEM12_QUALITY, ["E", "F", "S"]),
    "green-button": _described(
        GREEN_BUTTON_START, GREEN_BUTTON_METER, GREEN_BUTTON_QUALITY, ["8", "9", "12"]
    ),
}
"""The formats, by their names; a file has those of the columns that it needs."""
