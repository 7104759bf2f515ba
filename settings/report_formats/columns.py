"""The columns of a report format: what each quantity is made of."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from settings.report_formats.column_name import COLUMN_EXPECTED, ColumnName
from settings.section import Section

ENERGIES = "energy", "reactive_energy"
"""The quantities whose columns may hold something else than the energy of each interval."""

ColumnKind = Literal["energy", "power"]


class ColumnSettings(Section):
    """The column of a quantity, and the factor that converts it to the stored unit."""

    header: ColumnName = Field(description=COLUMN_EXPECTED)
    factor: Decimal = Field(
        Decimal(1),
        allow_inf_nan=False,
        max_digits=20,
        description="a decimal other than 0, such as 0.001 for Wh",
    )
    kind: ColumnKind | None = Field(
        None,
        description="energy or power: what the column holds, of each interval the energy or the"
        " mean power",
    )

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, column: object) -> object:
        """Treat a column alone as one without conversion."""
        is_alone = isinstance(column, str | int) or (
            isinstance(column, dict) and set(column) == {"matches"}
        )
        return {"header": column} if is_alone else column

    @model_validator(mode="after")
    def _require_factor(self) -> "ColumnSettings":
        if not self.factor:
            raise ValueError("expected a factor other than 0")
        return self


_HEADING = "its column, or a section with header, factor and kind"


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

    def named(self) -> dict[str, ColumnSettings]:
        """Return the columns that a report has, by quantity."""
        return {name: column for name, column in self if column is not None}

    def of_kind(self, kind: ColumnKind) -> tuple[str, ...]:
        """Return the quantities whose columns are said to be of a kind."""
        return tuple(name for name, column in self.named().items() if column.kind == kind)

    @model_validator(mode="after")
    def _require_energy(self) -> "ColumnsSettings":
        for name, column in self.named().items():
            if column.kind is not None and name not in ENERGIES:
                raise ValueError(f"{name}: expected no kind, which is for {' and '.join(ENERGIES)}")
        return self

    @model_validator(mode="after")
    def _require_one(self) -> "ColumnsSettings":
        if not self.named():
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        return self
