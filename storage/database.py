"""The server's side of a database: the state of the data, readings, figures, users and meters."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, RecordLayout
from storage.audit import AuditStore
from storage.backends.base import ReadEngine
from storage.backends.schema import Feature, SchemaVersion
from storage.common.deflate import DeflateBlock
from storage.common.errors import Inconsistent, NotPrepared
from storage.common.single_flight import SingleFlight
from storage.figures.compute import compute
from storage.figures.result import FigureQuery, ResultTable
from storage.meters import MeterStore
from storage.readings.pager import IdSpan
from storage.readings.reader import ReadingsReader, ReadingsResult
from storage.users import UserStore


@dataclass(frozen=True, slots=True)
class DataState:
    """The version of the data and, if it is on record, the id span of all readings."""

    version: str
    span: IdSpan | None
    is_empty: bool = False
    auth_version: int | None = None
    """Moves with every change of users and revocations; None if the schema has none yet."""


class Database:
    """The readings and users of a database. Every call raises a StorageError if it fails."""

    def __init__(self, engine: ReadEngine) -> None:
        self._engine = engine
        self._schema = SchemaVersion(engine)
        self._reader = ReadingsReader(engine)
        self._distrusted: str | None = None
        self._seen: tuple[int | None, DataState] | None = None
        self.load = engine.load
        """Statistics of the connections."""
        self.state = SingleFlight(self._current_state)
        """The state of the data at some moment after the call."""
        self.users = UserStore(engine, self._schema)
        self.meters = MeterStore(engine)
        self.audit = AuditStore(engine, self._schema)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.close()

    async def readings(
        self,
        query: ReadingsQuery,
        state: DataState,
        layout: RecordLayout = CONTRACT_LAYOUT,
    ) -> ReadingsResult:
        """Return the readings of a query; raise Outdated if the schema lacks what it needs."""
        if query.clean or layout.has_flags:
            self._schema.require(Feature.FLAGS, "the flags of readings")
        elif layout.needs_instants:
            self._schema.require(Feature.PAGES, "the instants of readings")
        result = await self._reader.read(
            query,
            state.span,
            layout,
            has_page_store=self._schema.supports(Feature.PAGES),
        )
        if query.ids is not None:
            return result
        return replace(result, pages=self._watched(result.pages, state))

    async def figures(self, query: FigureQuery, state: DataState) -> ResultTable:
        """Return computed figures; raise QueryError if there can be none.

        The rows raise Inconsistent if the data changes before all of them are computed.
        """
        self._schema.require(Feature.FLAGS, "the flags of readings")
        return await compute(query, self._engine, self._version, state.version)

    async def _version(self) -> str:
        return (await self.state()).version

    async def _current_state(self) -> DataState:
        """Return the state, read again only if the database has noticed a write."""
        writes = self._engine.writes()
        if self._seen is None or writes is None or self._seen[0] != writes:
            # What is written meanwhile has moved the number by the next time.
            self._seen = writes, await self._read_state()
        return self._seen[1]

    async def _read_state(self) -> DataState:
        await self._schema.refresh()
        if not self._schema.supports(Feature.PAGES):
            assert self._engine.dialect.legacy_version is not None
            rows = await self._engine.fetch(self._engine.dialect.legacy_version)
            return DataState(f"original-{rows[0][0].decode()}", None)
        has_auth_version = self._schema.supports(Feature.AUTH_VERSION)
        auth_version_sql = "(SELECT changes FROM access)" if has_auth_version else "NULL"
        # One column, since MySQL's driver takes longer for each than the database does for all.
        rows = await self._engine.fetch(
            f"SELECT JSON_ARRAY({auth_version_sql}, version, readings, first_id, last_id)"
            " FROM imports ORDER BY id DESC LIMIT 1",
            small=True,
        )
        if rows:
            auth_version, version, count, first_id, last_id = json.loads(rows[0][0])
        else:
            auth_version = (await self._engine.fetch(f"SELECT {auth_version_sql}"))[0][0]
        if has_auth_version and auth_version is None:
            raise NotPrepared("the table access has lost its row: restore it with (1, 0)")
        if not rows:
            some = await self._engine.fetch("SELECT 1 FROM consumpdata LIMIT 1")
            return DataState("empty", None, is_empty=not some, auth_version=auth_version)
        trusted = count and version != self._distrusted
        span = IdSpan(count, first_id, last_id) if trusted else None
        return DataState(version, span, auth_version=auth_version)

    async def _watched(
        self, pages: AsyncGenerator[bytes | DeflateBlock], state: DataState
    ) -> AsyncGenerator[bytes | DeflateBlock]:
        """Yield the pages; if they contradict the recorded span, stop trusting it."""
        try:
            async for page in pages:
                yield page
        except Inconsistent:
            if self._seen is None or self._seen[1].version == state.version:
                self._distrusted, self._seen = state.version, None
            raise
        finally:
            await pages.aclose()
