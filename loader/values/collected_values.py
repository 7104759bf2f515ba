"""The values of rows that are collected: parts of readings, and states of registers."""

from collections.abc import Sequence
from fractions import Fraction

from domain.fixed_point import format_scaled
from loader.rows.errors import RowError
from loader.values.columns import QuantityColumn
from loader.values.decimals import NumberNotation, Scale
from loader.values.row_values import FieldMatch, RowQuantities, RowValues
from settings import ColumnSettings, FormatSettings

_TOO_GREAT = 10**20


class RegisterColumn:
    """The column of a cumulative register, or several whose energies are added up."""

    def __init__(
        self, name: str, column: ColumnSettings, names: Sequence[str], settings: FormatSettings
    ) -> None:
        """Take the names of a report's columns."""
        self.name = name
        self.headers = [str(header) for header in column.header]
        self.unit = Fraction(column.factor) * 10**5
        """The register's own unit in scaled ones."""
        self._fields = [header.position(names) for header in column.header]
        self._notation = NumberNotation(settings)
        self._scale = Scale(Fraction(column.factor), rounds=settings.round)
        self._unit = column.unit
        self._expected = (
            f"the state of a register like 8350{settings.decimal}382, with at most 5 decimals, or"
            " nothing"
        )

    def shown(self, cell: str) -> str:
        """Return states for messages."""
        return " + ".join(plain_state(int(state)) for state in cell.split("+"))

    def read(self, number: int, fields: Sequence[str], errors: list[RowError]) -> tuple[str, int]:
        """Return the states of the registers, scaled, and how many were rounded.

        They are missing together: the sum of some of them is no state.
        """
        states = []
        rounded = 0
        for header, place in zip(self.headers, self._fields, strict=True):
            text = fields[place]
            if self._notation.is_missing(text):
                states.append("")
                continue
            parsed = self._notation.parse(text, self._unit)
            scaled = None if parsed is None else self._scale.apply(parsed)
            if scaled is None or not 0 <= scaled[0] < _TOO_GREAT:
                expected = self._expected
                if parsed is not None and scaled is None:
                    expected += ", or round: true in the format"
                errors.append(RowError(number, header, text, expected))
                continue
            states.append(str(scaled[0]))
            rounded += scaled[1]
        return ("+".join(states) if all(states) else ""), rounded


def plain_state(state: int) -> str:
    """Return a state without superfluous zeros."""
    return format_scaled(state).rstrip("0").removesuffix(".")


class CollectedValues:
    """Reads what rows have of each quantity, as text: the row's series first.

    A series are the rows that the same quantities are taken from: a bit for each.
    """

    def __init__(self, settings: FormatSettings, names: Sequence[str], plain: RowValues) -> None:
        """Take the names of a report's columns, and what reads plain rows."""
        named = settings.columns.named()
        self.columns: list[tuple[int, QuantityColumn | RegisterColumn]] = []
        """The columns, each with the place of its quantity in a row of a batch."""
        self._conditions = []
        for (name, column), (place, direct) in zip(
            named.items(), plain.columns.items(), strict=True
        ):
            is_register = column.kind == "register"
            self.columns.append(
                (place, RegisterColumn(name, column, names, settings) if is_register else direct)
            )
            self._conditions.append(FieldMatch(column.where, names) if column.where else None)
        self._estimated = plain.estimated

    def shown(self, at: int, cell: str) -> str:
        """Return what a row has of a column, for messages."""
        _, column = self.columns[at]
        return column.shown(cell) if isinstance(column, RegisterColumn) else cell

    @property
    def registers(self) -> dict[int, RegisterColumn]:
        """The registers, by their place among the columns."""
        return {
            at: column
            for at, (_, column) in enumerate(self.columns)
            if isinstance(column, RegisterColumn)
        }

    def series(self, fields: Sequence[str]) -> int:
        """Return the series of a row; 0 if no quantity is taken from it."""
        series = 0
        for at, condition in enumerate(self._conditions):
            if condition is None or condition(fields):
                series |= 1 << at
        return series

    def read(self, number: int, fields: Sequence[str], errors: list[RowError]) -> RowQuantities:
        """Return the series of a row, whether it is estimated, and a text for each column."""
        series = self.series(fields)
        cells = [""] * len(self.columns)
        rounded = 0
        for at, (_, column) in enumerate(self.columns):
            if not series >> at & 1:
                continue
            if isinstance(column, QuantityColumn):
                value, wrong = column.read(fields)
                rounded += value.is_rounded
                cells[at] = value.text
                if value.expected:
                    errors.append(column.error(number, fields, wrong, value.expected))
            else:
                cells[at], more = column.read(number, fields, errors)
                rounded += more
        is_estimated = self._estimated is not None and self._estimated(fields)
        text = f"{series},{'1' if is_estimated else ''},{','.join(cells)}"
        return RowQuantities(text, 0, rounded)
