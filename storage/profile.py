"""How a quantity is spread over the day: what readings at each time of day have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from storage.engine import Engine
from storage.measures import mean
from storage.quality import CATCH_UP
from storage.query import QueryError
from storage.scope import Period, choice, scope
from storage.sql import Condition
from storage.table import Field, Kind, Remarks, Row, Table, given, nothing, scaled
from storage.windows import found

COLUMNS = ("power", "energy", "reactive_energy", "reactive_power", "maximeter")
PERCENTILES = (5, 25, 50, 75, 95)
MOST_PERCENTILES = 20

_DAY_TYPE = Field("day_type", Kind.TEXT, "working_day (Monday to Friday), saturday or sunday")
_WEEKDAY = Field("weekday", Kind.TEXT, "monday to sunday")
_MONTH = Field("month", Kind.COUNT, "1 to 12, of whatever year")

SPLITS = {
    "day_type": (_DAY_TYPE,),
    "month": (_MONTH,),
    "both": (_MONTH, _DAY_TYPE),
    "weekday": (_WEEKDAY,),
    "none": (),
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Profile:
    """A column by time of day, in local time, split by the days that the readings are of."""

    period: Period
    column: str
    by: str
    percentiles: tuple[int, ...]

    @property
    def key(self) -> str:
        """A text that is the same for questions that have the same answer."""
        return f"profile {self.column} {self.by} {self.percentiles} {self.period.key}"

    @property
    def fields(self) -> Sequence[Field]:
        """The fields of a row."""
        return (
            *SPLITS[self.by],
            Field("time", Kind.TEXT, "Start of the readings, local time"),
            Field("readings", Kind.COUNT, "Readings that have the column"),
            Field("mean", Kind.QUANTITY, "Mean"),
            Field("min", Kind.QUANTITY, "Least"),
            Field("max", Kind.QUANTITY, "Greatest"),
            *(
                Field(f"p{percent}", Kind.QUANTITY, f"{percent}th percentile, nearest rank")
                for percent in self.percentiles
            ),
        )

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """What the parameters of a request mean; raises QueryError."""
        column = choice(given, "column", COLUMNS)
        by = choice(given, "by", tuple(SPLITS))
        return cls(Period.of(given), column, by, _percentiles(given.get("percentiles")))

    async def table(self, engine: Engine) -> Table:
        """A row for each time of day of each kind of days; catch-ups are left out."""
        asked = await scope(engine, self.period)
        if asked is None:
            return nothing(self.fields)
        believed = await found(engine, asked, CATCH_UP)
        where = believed.where & Condition(f"{self.column} IS NOT NULL")
        keys = {
            _DAY_TYPE: f"CASE {engine.dialect.weekday} WHEN 6 THEN 6 WHEN 5 THEN 5 ELSE 0 END",
            _WEEKDAY: engine.dialect.weekday,
            _MONTH: "SUBSTR(date, 6, 2)",
        }
        splits = [field.name for field in SPLITS[self.by]]
        selected = "".join(f"{keys[field]} AS {field.name}, " for field in SPLITS[self.by])
        group = ", ".join([*splits, "time"])
        rows = await engine.fetch(
            f"SELECT {group}, COUNT(*), SUM(v), MIN(v), MAX(v)"
            + "".join(f", MIN(CASE WHEN {_has_rank(p)} THEN v END)" for p in self.percentiles)
            + f" FROM (SELECT {group}, v,"
            f" ROW_NUMBER() OVER (PARTITION BY {group} ORDER BY v) AS place,"
            f" COUNT(*) OVER (PARTITION BY {group}) AS n"
            f" FROM (SELECT {selected}SUBSTR(date, 12) AS time, {self.column} AS v"
            f" FROM {believed.table} WHERE {where.text}) AS dated) AS ranked"
            f" GROUP BY {group} ORDER BY {group}",
            where.args,
        )
        table = [self._row(row) for row in rows]
        remarks: Remarks = {"column": self.column, **await asked.left_out(engine)}
        return Table(self.fields, asked.zone, len(table), given(table), remarks)

    def _row(self, row: Sequence[int | bytes | None]) -> Row:
        kinds = SPLITS[self.by]
        split = [_named(field, value) for field, value in zip(kinds, row, strict=False)]
        time, count, total, *quantities = row[len(kinds) :]
        assert isinstance(time, bytes)
        assert isinstance(count, int)
        average = mean(scaled(total), count)
        return (*split, time.decode(), count, average, *map(scaled, quantities))


def _has_rank(percent: int) -> str:
    """Whether a row has the nearest rank, ceil(percent / 100 * n), and at least the first.

    Ranks from there on have no smaller values, so that the least of them is the one.
    """
    return f"place * 100 >= {percent} * n"


def _named(field: Field, value: int | bytes | None) -> int | str:
    assert value is not None
    if field is _MONTH:
        return int(value)
    if field is _DAY_TYPE and value == 0:
        return "working_day"
    return _WEEKDAYS[int(value)]


def _percentiles(text: str | None) -> tuple[int, ...]:
    if text is None:
        return PERCENTILES
    parts = [part.strip(" ") for part in text.split(",")]
    known = {str(percent): percent for percent in range(1, 101)}
    found = {known.get(part, 0) for part in parts}
    if 0 in found or len(found) > MOST_PERCENTILES:
        raise QueryError(
            "percentiles",
            f"expected whole numbers from 1 to 100 like 5,50,95, at most {MOST_PERCENTILES}, "
            f"got {text[:40]!a}",
        )
    return tuple(sorted(found))
