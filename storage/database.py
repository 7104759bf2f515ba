"""The server's side of a database: the state of the data, readings, figures, users and meters."""

import json
import secrets
from collections.abc import AsyncGenerator, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from domain.access import Access, Permission, Window
from domain.readings_query import ReadingsQuery
from domain.record_layout import CONTRACT_LAYOUT, RecordLayout
from storage.access.api_keys import KeyStore
from storage.access.grants import GrantStore
from storage.access.managed_grants import ManagedGrants
from storage.access.viewer import Viewer
from storage.audit import AuditStore
from storage.backends.base import FIRST_SOURCE, ReadEngine, Source
from storage.backends.dialect import (
    LEGACY_READINGS,
    VIEWED_READINGS,
    Condition,
    ReadingsTable,
    readings_of,
)
from storage.backends.schema import Feature, SchemaVersion
from storage.common.deflate import DeflateBlock
from storage.common.errors import Inconsistent, NotPrepared, Overtaken
from storage.common.single_flight import SingleFlights
from storage.completeness import CompletenessPage, CompletenessStore
from storage.figures.compute import Admit, admit_any, compute, of_one_state, with_units
from storage.figures.days.recent import RecentDays, recent_days
from storage.figures.result import FigureQuery, ResultTable, empty_table
from storage.figures.selection import Period
from storage.groups.directory import GroupPage, group_page
from storage.groups.member_days import MemberDays, member_days
from storage.groups.selection import GroupQuery, GroupSelection, NamedGroup, select_group
from storage.groups.states import group_corrections, group_state
from storage.import_history import ImportHistory
from storage.meters import ListedMeter, Meter, MeterPage, MeterStore
from storage.readings.page_store import PAGE_READINGS
from storage.readings.pager import IdSpan
from storage.readings.reader import ReadingsReader, ReadingsResult
from storage.readings.time_reader import TimeOrderReader, TimeQuery
from storage.sessions import SessionStore
from storage.users import UserStore

_NO_METER = "none"

_MAX_STATES = 1000
"""Meters whose states are remembered until the next write."""


_LOOKED_THROUGH = 1000
"""Meters that are read at once where only few of them may be listed."""


@dataclass(frozen=True, slots=True)
class DataState:
    """The version of a meter's data and, if it is on record, the id span of its readings."""

    version: str
    span: IdSpan | None
    table: ReadingsTable | None = None
    """The table of the meter's readings; None if there is no meter, or none is meant."""
    meter: str | None = None
    """The public id of the meter."""
    is_ambiguous: bool = False
    """Whether no meter was named, although there are several."""
    is_empty: bool = False
    auth_version: Hashable | None = None
    """Moves with every change of users and revocations; None if the schema has none yet."""
    source: Source = FIRST_SOURCE
    """The database that it is the state of."""
    corrections: int = 0
    """Grows with every change of readings that were there; 0 if the schema does not count them."""
    last_id: int = 0
    """The largest id: later readings have larger ones. 0 if the schema does not tell it."""
    mark: bytes | None = None
    """What a statement finds in this state beside its result, see `Dialect.state_mark`."""
    is_settled: bool = True
    """Whether a change would make another version; if not, this one is not given again."""
    windows: tuple[Window, ...] = ()
    """The days that the client may see, all of them if there are none."""
    group: NamedGroup | None = None
    """The group whose state it is, if it is none of a meter."""
    others: "tuple[DataState, ...]" = ()
    """The states of further meters that a request is about."""

    def hidden(self, *, is_ambiguous: bool) -> "DataState":
        """Return the state that a client is told who may not see the meter.

        It equals that of a meter that is not there.
        """
        return DataState(
            _NO_METER + self.source.suffix,
            None,
            is_ambiguous=is_ambiguous,
            auth_version=self.auth_version,
            source=self.source,
        )


class Database:
    """The meters, readings and users of a database. Calls raise a StorageError if it fails."""

    def __init__(
        self, engine: ReadEngine, default_meter: str | None = None, default_zone: str = "UTC"
    ) -> None:
        """Read through an engine.

        The default meter is the public id of the one that is meant if none is named and there are
        several. The default zone is that of groups whose members have several.
        """
        self._engine = engine
        self.default_meter = default_meter
        self._default_zone = default_zone
        self._schema = SchemaVersion(engine)
        self._distrusted: set[str] = set()
        self._seen: dict[str | None, DataState] = {}
        self._seen_writes: int | None = None
        self._source = FIRST_SOURCE
        self.load = engine.load
        """Statistics of the connections."""
        self._states = SingleFlights(self._current_state)
        self.users = UserStore(engine, self._schema)
        self.sessions = SessionStore(engine, self._schema)
        self.meters = MeterStore(engine, self._schema)
        self.audit = AuditStore(engine, self._schema)
        self._completeness = CompletenessStore(engine, self.meters)
        self.api_keys = KeyStore(engine, self._schema)
        self.grants = GrantStore(engine, self._schema)
        self.managed_grants = ManagedGrants(engine, self._schema, self.grants)
        self._imports = ImportHistory(engine)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.close()

    async def state(self, meter: str | None = None) -> DataState:
        """Return the state of a meter's data at some moment after the call.

        The meter is named by its public id. Unless one is named, it is the only one or, of
        several, the default one.
        """
        return await self._states(meter)

    async def readings(
        self,
        query: ReadingsQuery,
        state: DataState,
        layout: RecordLayout = CONTRACT_LAYOUT,
    ) -> ReadingsResult:
        """Return the readings of a query; raise Outdated if the schema lacks what it needs."""
        if state.windows:
            query = replace(query, windows=state.windows)
        if query.clean or layout.has_flags:
            self._schema.require(Feature.METERS, "the flags of readings")
        elif layout.needs_instants or query.needs_instants:
            self._schema.require(Feature.INSTANTS, "the instants of readings")
        table = state.table
        if table is None:
            # A query of no ids needs no table.
            table, query = LEGACY_READINGS, replace(query, ids=())
        reader = ReadingsReader(self._engine, table)
        result = await reader.read(query, state.span, layout, mark=state.mark)
        self._require_source(state)
        if not result.count or state.mark is None:
            # No statement has told of which state it was, or TRUNCATE has left no reading.
            await self._require_current(state)
        if state.mark is not None and query.ids is not None and len(query.ids) <= PAGE_READINGS:
            return result
        return replace(result, pages=self._watched(result.pages, state))

    async def readings_by_time(
        self, query: TimeQuery, state: DataState, layout: RecordLayout
    ) -> ReadingsResult:
        """Return the readings of a query in the order of time; raise Outdated without instants."""
        self._schema.require(Feature.METERS, "the readings in the order of time")
        assert state.table is not None
        reader = TimeOrderReader(self._engine, state.table)
        query = replace(query, up_to=query.up_to or state.last_id, windows=state.windows)
        result = await reader.read(query, layout, mark=state.mark)
        self._require_source(state)
        if not result.count or state.mark is None:
            await self._require_current(state)
        return replace(result, pages=self._watched(result.pages, state))

    async def newest_reading(self, zone: ZoneInfo) -> float | None:
        """Return the start of the newest reading of all, in seconds since 1970.

        The zone is that of readings in a database that does not tell it.
        """
        if self._schema.supports(Feature.METERS):
            return await self.meters.newest_reading()
        newest = await self.meters.newest_local_time()
        return None if newest is None else newest.replace(tzinfo=zone).timestamp()

    async def newest_import(self) -> datetime | None:
        """Return when the last import of all meters was written; an older layout does not tell."""
        supported = self._schema.supports(Feature.METERS)
        return await self.meters.newest_import() if supported else None

    async def count_meters(self) -> int:
        """Return the number of meters; a database of an older layout has one."""
        return await self.meters.count() if self._schema.supports(Feature.METERS) else 1

    async def is_empty(self, state: DataState) -> bool:
        """Return whether no meter has readings, given the state of one, or of none."""
        if not self._schema.supports(Feature.METERS):
            return state.is_empty
        is_decided = not (state.is_empty or state.is_ambiguous)
        return not is_decided and not await self.meters.have_readings()

    async def list_meters(
        self,
        limit: int,
        after: str = "",
        search: str = "",
        viewer: Viewer | None = None,
        stale_before: int | None = None,
        *,
        skipped: int = 0,
    ) -> MeterPage:
        """Return a page of the meters, see `MeterStore.page`; raise Outdated without a list.

        For a viewer, only those that the viewer may see, and what the viewer may see of them. With
        an instant, only those that have no reading since then. So many meters after the public id
        are skipped.
        """
        self._schema.require(Feature.METERS, "a list of meters")
        stale = None if stale_before is None else self._completeness.stale(stale_before)
        everything = None if viewer is None else await self.grants.everything(viewer)
        # To look up each of a thousand meters takes as long as all the rest.
        sees_all = everything is not None and everything.is_whole
        visible = None
        if viewer is not None and not sees_all:
            visible = await self.grants.visible(viewer, are_paged=True)
        sees_all = sees_all or viewer is None
        if skipped and (sees_all or stale is None):
            last = await self.meters.public_id_at(skipped - 1, after, search, visible, stale)
            if last is None:
                return MeterPage([], None)
            after, skipped = last, 0
        if viewer is None or sees_all:
            return await self.meters.page(limit, after, search, stale)
        found: list[ListedMeter] = []
        windows: dict[int, Sequence[Window]] = {}
        following: str | None = after
        size = limit if stale_before is None else max(limit, _LOOKED_THROUGH)
        while following is not None and len(found) < limit:
            page = await self.meters.page(size, following, search, visible)
            accesses = await self.grants.accesses(viewer, [meter.id for meter in page.meters])
            clipped = await self.meters.clipped(page, accesses)
            windows |= clipped.windows
            # What is hidden from the viewer is not to make a meter any fresher.
            selected = [
                meter
                for meter in clipped.meters
                if stale_before is None or (meter.last_reading or 0) < stale_before
            ]
            found += selected[skipped:]
            skipped = max(0, skipped - len(selected))
            following = page.following
            if stale_before is None:
                break
        if len(found) > limit:
            found = found[:limit]
            following = found[-1].public_id
        return MeterPage(found, following, windows)

    async def count_listed(self, search: str = "", viewer: Viewer | None = None) -> int:
        """Return how many meters all pages together have; raise Outdated without a list."""
        self._schema.require(Feature.METERS, "a list of meters")
        visible = None if viewer is None else await self.grants.visible(viewer)
        return await self.meters.count_listed(search, visible)

    async def recent_days(self, page: MeterPage, *, is_clean: bool) -> dict[int, RecentDays]:
        """Return the last month of the meters of a page that have readings, by their ids."""
        self._schema.require(Feature.DAYS, "the sums of days")
        return await recent_days(self._engine, page.meters, page.windows, is_clean=is_clean)

    async def completeness(
        self,
        now: int,
        limit: int,
        after: str = "",
        *,
        days: int = 7,
        search: str = "",
        stale: int | None = None,
        viewer: Viewer | None = None,
    ) -> CompletenessPage:
        """Return which readings of some meters are there, see `CompletenessStore.page`.

        If a viewer is named, only of those that it may see, and what it may see of them.
        """
        self._schema.require(Feature.DAYS, "the sums of days")
        page = self._completeness.page
        everything = None if viewer is None else await self.grants.everything(viewer)
        if viewer is None or (everything is not None and everything.is_whole):
            return await page(now, limit, after, days=days, search=search, stale=stale)
        visible = await self.grants.visible(viewer, are_paged=True)

        async def accesses(meter_ids: Sequence[int]) -> Mapping[int, Access]:
            return await self.grants.accesses(viewer, meter_ids)

        return await page(
            *(now, limit, after),
            days=days,
            search=search,
            stale=stale,
            visible=visible,
            accesses=accesses,
        )

    async def count_stale(self, now: int, ages: Sequence[int]) -> Sequence[int] | None:
        """Return how many meters are stale, see `CompletenessStore.count_stale`.

        A database of an older layout does not tell, and None is returned.
        """
        if not self._schema.supports(Feature.METERS):
            return None
        return await self._completeness.count_stale(now, ages)

    async def listed_meter(self, state: DataState) -> ListedMeter:
        """Return the meter of a state as it is in the list; raise Overtaken if it was removed."""
        self._schema.require(Feature.METERS, "a list of meters")
        assert state.table is not None
        assert state.table.meter_id is not None
        meter_id = state.table.meter_id
        page = await self.meters.page(1, visible=Condition(f"m.id = {meter_id}"))
        if state.windows:
            accesses = {meter_id: Access(Permission.READ, state.windows)}
            page = await self.meters.clipped(page, accesses)
        if not page.meters:
            raise Overtaken
        return page.meters[0]

    def import_history(self) -> ImportHistory:
        """Return what reads imports; raise Outdated if the schema lacks what it needs."""
        self._schema.require(Feature.DAYS, "the list of imports")
        return self._imports

    async def zone(self, state: DataState) -> str:
        """Return the time zone of a meter; raise Outdated if the schema does not tell it."""
        meter = await self.meter(state)
        return "UTC" if meter is None else meter.zone.name

    async def meter(self, state: DataState) -> Meter | None:
        """Return a meter, None if no meter is meant; raise Outdated if the schema has none."""
        self._schema.require(Feature.METERS, "the instants of readings")
        return await self._meter(state)

    async def figures(
        self, query: FigureQuery, state: DataState, admit: Admit = admit_any
    ) -> ResultTable:
        """Return computed figures; raise QueryError if there can be none.

        `admit` is called before readings are scanned. The rows raise Overtaken if the data
        changes before all of them are computed.
        """
        self._schema.require(Feature.BLOCKS, "the sums of days and the readings by columns")
        meter = await self._meter(state)
        return await compute(
            query, self._engine, meter, lambda: self._require_current(state), admit
        )

    async def group_access(self, viewer: Viewer, public_id: str) -> Access | None:
        """Return what a viewer may do with the sums of a group; raise Outdated without groups."""
        self._schema.require(Feature.DAYS, "groups")
        return await self.grants.group_access(viewer, public_id)

    async def list_groups(
        self, limit: int, after: str, search: str, viewer: Viewer | None
    ) -> GroupPage:
        """Return at most so many groups whose public ids come after one, see `group_page`.

        If a viewer is named, only those whose sums it may see.
        """
        self._schema.require(Feature.DAYS, "groups")
        visible = None if viewer is None else await self.grants.visible_groups(viewer)
        return await group_page(self._engine, limit, after, search, visible)

    async def group_state(self, public_id: str) -> DataState | None:
        """Return the state of a group at some moment after the call; None if there is none."""
        source = self._engine.source()
        await self._schema.refresh()
        self._schema.require(Feature.BLOCKS, "groups and the readings by columns")
        found = await group_state(self._engine, public_id)
        if found is None:
            return None
        group, version, changes = found
        return _of_source(source, DataState(version, None, auth_version=changes, group=group))

    async def group_selection(
        self, state: DataState, period: Period | None = None
    ) -> GroupSelection | None:
        """Return the members of a state's group in a period, by default as long as there are
        readings; None if it is empty. Raises QueryError if there can be none."""
        assert state.group is not None
        group = replace(state.group, windows=state.windows)
        return await select_group(self._engine, group, period or Period(), self._default_zone)

    async def group_members(self, state: DataState) -> Sequence[MemberDays]:
        """Return the meters of a state's group whose readings the client may see."""
        assert state.group is not None
        return await member_days(self._engine, replace(state.group, windows=state.windows))

    async def member_state(self, member: MemberDays) -> DataState:
        """Return the state of a member's data; raise Overtaken if the meter was removed."""
        state = await self.state(member.public_id)
        if state.table is None or state.table.meter_id != member.meter_id:
            raise Overtaken
        is_whole = member.windows[0].is_whole
        return state if is_whole else replace(state, windows=tuple(member.windows))

    async def group_corrections(self, state: DataState) -> tuple[int, bytes]:
        """Return what pages of the sums of a state's group have in common."""
        assert state.group is not None
        return await group_corrections(self._engine, state.group)

    async def group_figures(
        self, query: GroupQuery, state: DataState, admit: Admit = admit_any
    ) -> ResultTable:
        """Return figures of a group; raise QueryError if there can be none.

        `admit` is called before readings are scanned. The rows raise Overtaken if the data changes
        before all of them are computed.
        """

        async def require_current() -> None:
            if not await self.is_current(state):
                raise Overtaken

        selection = await self.group_selection(state, query.period)
        if selection is None:
            await require_current()
            return empty_table(query.fields)
        await admit(await query.scanned(selection))
        table = await query.table(self._engine, selection)
        rows = of_one_state(table.rows, require_current)
        return replace(table, rows=rows, metadata=with_units(table))

    async def is_current(self, state: DataState) -> bool:
        """Return whether the data of a meter or of a group is still in a state."""
        current: DataState | None
        if state.group is None:
            current = await self.state(state.meter)
        else:
            current = await self.group_state(state.group.public_id)
        return current is not None and current.version == state.version

    async def _meter(self, state: DataState) -> Meter | None:
        """Return the meter of a state; raise Overtaken if it was removed."""
        if state.table is None or state.table.meter_id is None:
            return None
        meter = await self.meters.meter(state.table.meter_id)
        if meter is None:
            raise Overtaken
        if not state.windows:
            return meter
        bounds = [window.bounds(meter.zone) for window in state.windows]
        return replace(meter, windows=state.windows, intervals=meter.intervals.visible(bounds))

    async def _require_current(self, state: DataState) -> None:
        """Raise Overtaken if the data is no longer in a state."""
        if state.is_settled and (await self.state(state.meter)).version != state.version:
            raise Overtaken

    async def _current_state(self, meter: str | None) -> DataState:
        """Return the state, read again only if the database has noticed a write."""
        source = self._engine.source()
        if source != self._source:
            self._source = source
            self._seen.clear()
            self._distrusted.clear()
            self._schema.forget()
        writes = self._engine.writes()
        if writes is None or writes != self._seen_writes or len(self._seen) > _MAX_STATES:
            self._seen.clear()
            self._seen_writes = writes
        state = self._seen.get(meter)
        if state is None:
            state = _of_source(source, await self._read_state(meter))
            # What was written meanwhile has moved the number by the next time.
            if writes == self._seen_writes and source == self._source:
                self._seen[meter] = state
        return state

    def _require_source(self, state: DataState) -> None:
        """Raise Overtaken if another database has taken the place of the one of a state."""
        if self._engine.known_source != state.source:
            raise Overtaken

    async def _read_state(self, meter: str | None) -> DataState:
        await self._schema.refresh()
        if not self._schema.supports(Feature.METERS):
            return await self._legacy_state(meter)
        name = meter or self.default_meter
        rows = await self._state_rows(name) if name else []
        if not meter and (not rows or rows[0][1] is None):
            rows = await self._state_rows(None)
        if len(rows) != 1 or rows[0][1] is None:
            return await self._no_meter(rows)
        auth_version, meter_id, public_id, version, changes, corrections, *span = rows[0]
        count, first_id, last_id, newest_id = span
        _require_access(auth_version)
        mark = f"{version}-{changes}-{corrections}".encode()
        if changes:
            version += f"-{changes}"
        if (newest_id or 0) != last_id:  # by TRUNCATE, which counts nothing, or by DELETE
            version += f"-{newest_id or 0}"
            count = None
        return DataState(
            version,
            self._trusted(version, count, first_id, last_id),
            readings_of(meter_id),
            public_id,
            is_empty=newest_id is None,
            auth_version=auth_version,
            corrections=corrections,
            last_id=last_id,
            mark=mark,
        )

    async def _state_rows(self, meter: str | None) -> list[list[Any]]:
        """Return the state of a meter or, if none is named, those of two.

        A meter that is not there has a row as well, and takes as long: nobody should learn of it.
        """
        newest = (
            f"(SELECT r.id FROM readings AS r {self._engine.dialect.by_id}"
            " WHERE r.meter_id = s.meter_id ORDER BY r.id DESC LIMIT 1)"
        )
        # One column, since MySQL's driver takes longer for each than the database does for all.
        columns = (
            "JSON_ARRAY(a.changes, s.meter_id, m.public_id, s.version, s.changes, s.corrections,"
            f" s.readings, s.first_id, s.last_id, {newest})"
        )
        tables = "states AS s JOIN meters AS m ON m.id = s.meter_id"
        if meter is None:
            # Otherwise, MySQL would look at the newest readings of all meters.
            two = "(SELECT meter_id FROM states ORDER BY meter_id LIMIT 2) AS two"
            sql = (
                f"SELECT {columns} FROM access AS a, {two} JOIN states AS s"
                " ON s.meter_id = two.meter_id JOIN meters AS m ON m.id = s.meter_id"
                " ORDER BY s.meter_id"
            )
        else:
            sql = (
                f"SELECT {columns} FROM access AS a LEFT JOIN ({tables})"
                f" ON m.public_id = {self._engine.dialect.placeholder}"
            )
        rows = await self._engine.fetch(sql, () if meter is None else (meter,), small=True)
        return [json.loads(row[0]) for row in rows]

    async def _no_meter(self, states: Sequence[Sequence[Any]]) -> DataState:
        """Return the state of what no meter is meant by, given those of several, or of none."""
        is_ambiguous = len(states) > 1
        if states:
            auth_version = states[0][0]
        else:
            rows = await self._engine.fetch("SELECT changes FROM access", small=True)
            auth_version = rows[0][0] if rows else None
        _require_access(auth_version)
        return DataState(
            _NO_METER,
            None,
            is_empty=not is_ambiguous,
            is_ambiguous=is_ambiguous,
            auth_version=auth_version,
        )

    async def _legacy_state(self, meter: str | None) -> DataState:
        """Return the state of a database of an older layout, whose readings are of one meter."""
        is_view = self._schema.supports(Feature.VIEW)
        legacy_table = VIEWED_READINGS if is_view else LEGACY_READINGS
        table = legacy_table if meter is None else None
        legacy_version, is_settled = (
            await self._engine.fetch(self._engine.dialect.legacy_version)
        )[0]
        suffix = legacy_version.decode() if is_settled else secrets.token_hex(16)
        if not self._schema.supports(Feature.INSTANTS):
            return DataState(f"original-{suffix}", None, table, is_settled=bool(is_settled))
        has_auth_version = self._schema.supports(Feature.AUTH_VERSION)
        auth_version_sql = "(SELECT changes FROM access)" if has_auth_version else "NULL"
        rows = await self._engine.fetch(
            f"SELECT JSON_ARRAY({auth_version_sql}, version, readings, first_id, last_id)"
            " FROM imports ORDER BY id DESC LIMIT 1"
        )
        if rows:
            auth_version, version, count, first_id, last_id = json.loads(rows[0][0])
        else:
            found = await self._engine.fetch(f"SELECT {auth_version_sql}", small=True)
            auth_version = found[0][0]
            version, count, first_id, last_id = "none", None, None, None
        if has_auth_version:
            _require_access(auth_version)
        some = "SELECT 1 FROM consumpdata LIMIT 1"
        is_empty = not rows and not await self._engine.fetch(some, small=True)
        version += f"-{suffix}"
        return DataState(
            version,
            self._trusted(version, count, first_id, last_id),
            table,
            is_empty=is_empty,
            auth_version=auth_version,
            is_settled=bool(is_settled),
        )

    def _trusted(
        self, version: str, count: int | None, first_id: int, last_id: int
    ) -> IdSpan | None:
        if not count or version in self._distrusted:
            return None
        return IdSpan(count, first_id, last_id)

    async def _watched(
        self, pages: AsyncGenerator[bytes | DeflateBlock], state: DataState
    ) -> AsyncGenerator[bytes | DeflateBlock]:
        """Yield the pages; if they contradict the recorded span, stop trusting it."""
        is_checked = state.mark is not None
        try:
            async for page in pages:
                self._require_source(state)
                if not is_checked:
                    await self._require_current(state)
                    is_checked = True
                yield page
        except Overtaken:
            raise
        except Inconsistent:
            if len(self._distrusted) > _MAX_STATES:
                self._distrusted.clear()
            self._distrusted.add(state.version.removesuffix(state.source.suffix))
            self._seen.clear()
            raise
        finally:
            await pages.aclose()


def _of_source(source: Source, state: DataState) -> DataState:
    """Return a state that differs from equal ones of other databases."""
    changes = state.auth_version
    return replace(
        state,
        version=state.version + source.suffix,
        auth_version=None if changes is None else (source.number, changes),
        source=source,
    )


def _require_access(auth_version: int | None) -> None:
    if auth_version is None:
        raise NotPrepared("the table access has lost its row: restore it with (1, 0)")
