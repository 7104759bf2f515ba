"""The columns of a report format: what each quantity is made of."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName
from settings.report_formats.identifier import METERS_EXPECTED, MeterColumns
from settings.section import Section

ENERGIES = "energy", "reactive_energy", "exported_energy", "exported_reactive_energy"
"""The quantities whose columns may hold mean power, or the states of cumulative registers."""

MEAN_POWERS = "power", "reactive_power"
"""The quantities whose columns may hold the energy of each interval."""

ColumnKind = Literal["energy", "power", "register"]

_KINDS: dict[str, tuple[ColumnKind, ...]] = {
    **dict.fromkeys(ENERGIES, ("energy", "power", "register")),
    **dict.fromkeys(MEAN_POWERS, ("energy",)),
}
"""What the columns of a quantity may be said to hold."""


def _listed(value: object) -> object:
    """Return one alone as a list."""
    return value if isinstance(value, list | tuple) else (value,)


def _columns(value: object) -> tuple[ColumnName, ...]:
    """Return the column that a value of the settings names, or the list of them."""
    if isinstance(value, list | tuple) and value:
        return tuple(map(ColumnName.parse, value))
    return (ColumnName.parse(value),)


Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)
]
"""Patterns of whole fields with `*` for any text and `?` for a character, or one of them."""

FieldPatterns = dict[ColumnName, Patterns]
"""The patterns of the fields of columns."""


EVERY_EXPECTED = (
    "which of the columns from first to last are read: 1 for all, 2 for every second one"
)


class ColumnSettings(Section):
    """The column of a quantity, and the factor that converts it to the stored unit."""

    header: Annotated[tuple[ColumnName, ...], PlainValidator(_columns)] = Field(
        (), description=f"{COLUMN_EXPECTED}, or a list of them, which are added up"
    )
    first: ColumnName | None = Field(
        None, description=f"the column of a day's first interval: {COLUMN_EXPECTED}"
    )
    last: ColumnName | None = Field(
        None, description=f"the column of a day's last interval: {COLUMN_EXPECTED}"
    )
    meters: Annotated[MeterColumns | None, PlainValidator(MeterColumns.parse)] = Field(
        None, description=METERS_EXPECTED
    )
    every: int = Field(1, ge=1, le=50, description=EVERY_EXPECTED)
    factor: Decimal = Field(
        Decimal(1),
        allow_inf_nan=False,
        max_digits=20,
        description="a decimal other than 0, such as 0.001 for Wh",
    )
    unit: str | None = Field(
        None, min_length=1, description="the unit that may stand behind a number, such as kWh"
    )
    kind: ColumnKind | None = Field(
        None,
        description="energy, power or register: what the column holds, of each interval the energy"
        " or the mean power, or the states of a cumulative register",
    )
    where: FieldPatterns = Field(
        {},
        description="columns, each with a pattern or a list of patterns with * and ? that its field"
        " has in the rows of the quantity",
    )
    optional: bool = Field(False, description="true or false: whether reports may lack the column")

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, column: object) -> object:
        """Treat a column alone, or a list of them, as one without conversion."""
        is_alone = isinstance(column, str | int | list) or (
            isinstance(column, dict) and set(column) == {"matches"}
        )
        return {"header": column} if is_alone else column

    @property
    def column_names(self) -> tuple[ColumnName, ...]:
        """The columns that it is read from."""
        ends = (end for end in (self.first, self.last) if end is not None)
        of_meters = (name for name, _ in self.meters.names) if self.meters else ()
        return (*self.header, *ends, *of_meters)

    @property
    def is_day(self) -> bool:
        """Whether the intervals of a day stand in columns, one after another."""
        return self.first is not None or self.last is not None

    @model_validator(mode="after")
    def _check(self) -> "ColumnSettings":
        if self.kind == "register" and self.factor < 0:
            raise ValueError("expected a positive factor of a register")
        if not self.factor:
            raise ValueError("expected a factor other than 0")
        if self.meters is not None and (self.header or self.is_day or self.optional):
            raise ValueError("expected no header, first, last or optional beside meters")
        is_other = self.is_day or self.meters is not None
        if bool(self.header) is is_other or (self.first is None) is not (self.last is None):
            raise ValueError("expected header, or else first and last of the columns of a day")
        if self.every > 1 and not self.is_day:
            raise ValueError("expected no every without first and last of the columns of a day")
        if len(set(self.header)) < len(self.header):
            raise ValueError("expected each column of the sum once")
        return self


_HEADING = "its column, or a section with header, factor, unit, kind, where and optional"


class ColumnsSettings(Section):
    """The columns of the quantities, by their names in `domain.quantities`."""

    energy: ColumnSettings | None = Field(None, description=_HEADING)
    reactive_energy: ColumnSettings | None = Field(None, description=_HEADING)
    power: ColumnSettings | None = Field(None, description=_HEADING)
    maximeter: ColumnSettings | None = Field(None, description=_HEADING)
    reactive_power: ColumnSettings | None = Field(None, description=_HEADING)
    voltage: ColumnSettings | None = Field(None, description=_HEADING)
    intensity: ColumnSettings | None = Field(None, description=_HEADING)
    power_factor: ColumnSettings | None = Field(None, description=_HEADING)
    exported_energy: ColumnSettings | None = Field(None, description=_HEADING)
    exported_reactive_energy: ColumnSettings | None = Field(None, description=_HEADING)

    def named(self) -> dict[str, ColumnSettings]:
        """Return the columns that a report has, by quantity."""
        return {name: column for name, column in self if column is not None}

    def of_kind(self, *kinds: ColumnKind) -> tuple[str, ...]:
        """Return the quantities whose columns are said to be of one of these kinds."""
        return tuple(name for name, column in self.named().items() if column.kind in kinds)

    @property
    def need_length(self) -> bool:
        """Whether a quantity is worked out with the length of its row."""
        energies = (name in ENERGIES for name in self.of_kind("power"))
        powers = (name in MEAN_POWERS for name in self.of_kind("energy"))
        return any(energies) or any(powers)

    @property
    def are_of_days(self) -> bool:
        """Whether a row holds the intervals of a day."""
        return any(column.is_day for column in self.named().values())

    @property
    def are_of_meters(self) -> bool:
        """Whether a row has readings of several meters."""
        return any(column.meters is not None for column in self.named().values())

    @property
    def have_conditions(self) -> bool:
        """Whether a quantity is taken from some of the rows."""
        return any(column.where for column in self.named().values())

    @model_validator(mode="after")
    def _check_kinds(self) -> "ColumnsSettings":
        for name, column in self.named().items():
            kinds = _KINDS.get(name, ())
            if column.kind is not None and column.kind not in kinds:
                said = f"a kind of {' or '.join(kinds)}" if kinds else "no kind"
                raise ValueError(f"{name}: expected {said}, got {column.kind}")
        return self

    @model_validator(mode="after")
    def _require_one(self) -> "ColumnsSettings":
        if self.are_of_days and not all(column.is_day for column in self.named().values()):
            raise ValueError("expected first and last of all columns, since a row holds a day")
        if self.are_of_meters and any(each.meters is None for each in self.named().values()):
            raise ValueError("expected meters of all columns, since a row has several meters")
        if not self.named():
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        if all(column.optional for column in self.named().values()):
            raise ValueError("expected at least one column that is not optional")
        return self
