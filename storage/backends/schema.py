"""The schema as numbered statements, and what a database supports that has seen so many of them."""

import re
from collections.abc import Sequence
from enum import Enum
from importlib.resources import files

from storage.backends.base import ReadEngine
from storage.common.errors import NotPrepared, Outdated, Refused


def _statements(name: str) -> list[str]:
    text = files(__package__).joinpath(name, "schema.sql").read_text("utf-8")
    parts = (re.sub(r"(?m)^--.*\n?", "", part).strip() for part in text.split(";\n\n"))
    return [part.removesuffix(";") for part in parts if part]


STATEMENTS = {name: _statements(name) for name in ("mysql", "sqlite")}
"""The statements that create the tables, in order, by the name of the dialect."""

STATE_TRIGGERS = {
    name: {
        statement.split()[2]: statement
        for statement in statements
        if statement.startswith("CREATE TRIGGER state_")
    }
    for name, statements in STATEMENTS.items()
}
"""The triggers by which a database counts the changes of other programs, by their names."""


MANY_READINGS = 100_000
"""Readings that take long enough to be moved to a new layout that it is told."""

_MAKES_DAYS = re.compile(r"(CREATE|ALTER) TABLE days\b")

_MOVES = re.compile(
    "ALTER TABLE consumpdata|INSERT INTO readings|CREATE (UNIQUE )?INDEX readings_"
    r"|UPDATE states SET\s+version"
    r"|ALTER TABLE days\s+ADD COLUMN (estimated|exported_energy DECIMAL)"
)
"""How the statements begin that go through all readings, or after which days are summed up."""

_MOVING_SHARE = 20
"""How much longer they take than others, roughly."""


def shares(statements: Sequence[str]) -> list[int]:
    """Return how long statements take for many readings, in proportion."""
    return [_MOVING_SHARE if _MOVES.match(statement) else 1 for statement in statements]


_VIEW = r"CREATE (OR REPLACE SQL SECURITY DEFINER )?VIEW consumpdata"
_VIEW_METER = re.compile(r"(meter_id\W* = )(\d+)")


def view_of(dialect: str, meter_id: int) -> str:
    """Return the statement that creates the view of a meter's readings."""
    (view,) = (sql for sql in STATEMENTS[dialect] if re.match(_VIEW, sql))
    return _VIEW_METER.sub(rf"\g<1>{meter_id}", view)


def meter_of_view(definition: str) -> int | None:
    """Return the id of the meter whose readings a view shows."""
    found = _VIEW_METER.search(definition)
    return found and int(found[2])


def completes_days(dialect: str, number: int) -> bool:
    """Return whether the statement of a number is the last that the table `days` is made by."""
    made = [at for at, sql in enumerate(STATEMENTS[dialect], 1) if _MAKES_DAYS.match(sql)]
    return number == made[-1]


class Feature(Enum):
    """What older schemas lack; a database has it with the statement that begins like the value."""

    INSTANTS = r"CREATE TABLE pages \("
    """Instants, imports, and users that can be disabled."""
    AUTH_VERSION = "CREATE TABLE access"
    """Roles, and tokens that can be revoked."""
    SESSIONS = "CREATE TABLE sessions"
    AUDIT = "REPLACE INTO audit_head"
    """The audit trail."""
    VIEW = _VIEW
    """A view instead of the table that a takeover has not finished."""
    METERS = r"CREATE VIEW consumpdata|UPDATE states SET\s+version"
    """The readings of many meters, their states, flags and pages."""
    INTERVALS = "CREATE TABLE intervals"
    """The lengths of readings by spans of time."""
    GRANTS = r"(REPLACE|INSERT OR REPLACE) INTO grants"
    """What each user may see."""
    API_KEYS = "CREATE TRIGGER forget_scopes_of_key"
    GRANT_NUMBERS = r"CREATE TRIGGER grant_new_user [^;]*grant_numbers"
    """Grants that servers may change."""
    DAYS = r"ALTER TABLE days\s+ADD COLUMN (estimated|exported_energy DECIMAL)"
    """The sums of days, without which there are no figures, and exported energy in all of them."""
    BLOCKS = "CREATE TRIGGER forget_block_before_page"
    """The readings by columns, without which there are no figures, either."""


class SchemaVersion:
    """The number of the schema's statements that were applied to a database.

    It only grows: a database of the original's importer has version 0. Only another database may
    have a smaller one.
    """

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine
        known = STATEMENTS[engine.dialect.name]
        self._newest = len(known)
        self._needed = {
            feature: number
            for number, statement in enumerate(known, 1)
            for feature in Feature
            if re.match(feature.value, statement)
        }
        self._number = -1

    def forget(self) -> None:
        """Forget the version: another database has taken the place of this one."""
        self._number = -1

    async def refresh(self) -> None:
        """Read the version, unless it is the newest already; raise NotPrepared without tables."""
        if self._number >= self._newest:
            return
        try:
            number = (await self._engine.fetch(self._engine.dialect.schema_version, small=True))[0][
                0
            ]
        except NotPrepared:
            number = 0
        except Refused:
            # An account with rights on single tables is refused one that is missing, too.
            if not await self._is_legacy():
                raise
            number = 0
        # Both have been there from the first: the error says so if one of them is not.
        await self._engine.fetch(
            "SELECT 1 FROM users WHERE NOT EXISTS (SELECT 1 FROM consumpdata WHERE 1 = 0) LIMIT 1",
            small=True,
        )
        self._number = number

    async def _is_legacy(self) -> bool:
        sql = self._engine.dialect.is_legacy
        return sql is not None and bool((await self._engine.fetch(sql, small=True))[0][0])

    def supports(self, feature: Feature) -> bool:
        """Return whether the database has a feature."""
        return self._number >= self._needed[feature]

    def require(self, feature: Feature, what: str) -> None:
        """Raise Outdated if the database lacks a feature, called `what`."""
        if not self.supports(feature):
            raise Outdated(f"the database has an older layout, without {what}: run the loader")
