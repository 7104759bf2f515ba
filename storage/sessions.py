"""The sessions of the API's users: each login whose token is still good."""

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from storage.backends.base import ReadEngine, WriteEngine
from storage.backends.dialect import Dialect
from storage.backends.schema import Feature, SchemaVersion

ID_LENGTH = 8
"""Characters of a token's jti that name its session: it has 22."""

_MAX_LISTED = 100
_MAX_FORGOTTEN = 100
"""Expired sessions that are deleted at a login, so that none has to wait for many."""


@dataclass(frozen=True, slots=True)
class UserSession:
    """A login: its token, and who asked for it."""

    jti: str
    user: str
    generation: int
    issued: int
    """Seconds since 1970, as is the next."""
    expires: int
    address: str
    agent: str

    @property
    def id(self) -> str:
        """The end of the token's jti."""
        return self.jti[-ID_LENGTH:]

    def described(self) -> dict[str, str]:
        """Return what its user may see of it, as text."""
        return {
            "id": self.id,
            "issued": _utc(self.issued),
            "expires": _utc(self.expires),
            "address": self.address,
            "agent": self.agent,
        }


_COLUMNS = tuple(field.name for field in fields(UserSession))


class SessionStore:
    """Records, lists and ends sessions. Every call raises a StorageError if the database fails."""

    def __init__(self, engine: ReadEngine, schema: SchemaVersion) -> None:
        self._engine = engine
        self._schema = schema

    async def add(self, session: UserSession) -> None:
        """Record a session, and forget some that have expired."""
        await self._require_table()
        dialect = self._engine.dialect
        if (call := dialect.call("record_session", len(_COLUMNS))) is not None:
            await self._engine.execute(call, astuple(session))
            return
        await self._engine.execute(dialect.insert("sessions", _COLUMNS), astuple(session))
        expired = f"expires < {dialect.placeholder}"
        await self._engine.execute(
            dialect.delete_some("sessions", expired, _MAX_FORGOTTEN), (session.issued,)
        )

    async def sessions(self, user: str, generation: int) -> list[UserSession]:
        """Return the latest sessions of a user whose tokens are of this generation."""
        await self._require_table()
        args = _live_args(user, generation)
        call = self._engine.dialect.call("sessions_of_user", len(args))
        if call is not None:
            return _sessions(await self._engine.fetch(call, args))
        return await live_sessions(self._engine, user, generation)

    async def end(self, user: str, generation: int, session_id: str) -> bool:
        """Revoke the token of a session; return False if there is no such session."""
        await self._require_table()
        condition = f"SUBSTR(jti, -{ID_LENGTH}) = {self._engine.dialect.placeholder}"
        args = (*_live_args(user, generation), session_id)
        return await self._revoke("end_session", condition, args) > 0

    async def end_others(self, user: str, generation: int, jti: str) -> None:
        """Revoke the tokens of all sessions of a user but this one."""
        await self._require_table()
        condition = f"jti <> {self._engine.dialect.placeholder}"
        args = (*_live_args(user, generation), jti)
        await self._revoke("end_other_sessions", condition, args)

    async def _revoke(self, procedure: str, condition: str, args: Sequence[object]) -> int:
        """Revoke the tokens of live sessions that meet a condition; return how many."""
        dialect = self._engine.dialect
        insert = (
            "INSERT INTO revocations (jti, expires)"
            f" SELECT jti, expires FROM sessions WHERE {_live(dialect)} AND {condition}"
        )
        return await self._engine.execute(dialect.call(procedure, len(args)) or insert, args)

    async def _require_table(self) -> None:
        await self._schema.refresh()
        self._schema.require(Feature.SESSIONS, "the sessions of users")


async def live_sessions(
    engine: ReadEngine | WriteEngine, user: str, generation: int
) -> list[UserSession]:
    """Return the latest sessions of a user whose tokens are of this generation."""
    rows = await engine.fetch(
        f"SELECT {', '.join(_COLUMNS)} FROM sessions WHERE {_live(engine.dialect)}"
        f" ORDER BY issued DESC, jti LIMIT {_MAX_LISTED}",
        _live_args(user, generation),
    )
    return _sessions(rows)


def _sessions(rows: Sequence[Sequence[Any]]) -> list[UserSession]:
    texts: list[list[Any]] = [
        [value.decode() if isinstance(value, bytes) else value for value in row] for row in rows
    ]
    return [UserSession(*row) for row in texts]


def _live(dialect: Dialect) -> str:
    """Return the condition that selects sessions whose tokens are good."""
    placeholder = dialect.placeholder
    return (
        f"user = {placeholder} AND generation = {placeholder} AND expires > {placeholder}"
        " AND NOT EXISTS (SELECT 1 FROM revocations WHERE revocations.jti = sessions.jti)"
    )


def _live_args(user: str, generation: int) -> tuple[object, ...]:
    return user, generation, int(time.time())


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
