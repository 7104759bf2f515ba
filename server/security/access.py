"""What the user of a request may see: looked up once, and kept until it may have changed."""

import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from aiohttp import web

from domain.access import Access
from server.context import RequestContext, Token
from storage.access.viewer import Viewer
from storage.database import Database, DataState

_MAX_KNOWN = 20_000
"""Accesses that are kept, about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Which meter a user means, and what the user may do with it."""

    meter: str | None
    """The public id; None if it is the one that everybody means without a name."""
    access: Access | None
    auth_version: Hashable | None
    is_ambiguous: bool = False
    """Whether no meter was named, although the user may see several."""
    is_lasting: bool = True
    """Whether a meter that is registered later, which changes no grant, makes no difference."""

    def holds_in(self, state: DataState) -> bool:
        """Return whether no grant has changed or expired since."""
        has_expired = self.access is not None and self.access.until <= time.time()
        return self.auth_version == state.auth_version and not has_expired


class AccessResolver:
    """Finds the state of the data that a request is about, as far as its user may see it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[Viewer, str | None], _Known] = OrderedDict()

    async def state(self, token: Token, meter: str | None) -> DataState:
        """Return the state of the data of a meter, or of the one that is meant without a name.

        It is not that of the data a user may see until `resolve` has been asked.
        """
        known = self._known.get(_key(token, meter))
        return await self._database.state(meter if known is None else known.meter)

    async def resolve(self, context: RequestContext, token: Token, state: DataState) -> None:
        """Set what a token's user may see, given a state that the token was found good in."""
        before = self._known.get(_key(token, context.meter))
        asked = context.meter if before is None else before.meter
        known = await self._resolved(token, context.meter, state, before)
        if known.meter != asked:
            state = await self._database.state(known.meter)
        context.access = known.access
        context.state = _visible(state, known)

    async def named(self, token: Token, meter: str) -> DataState:
        """Return the state of the data of a meter, as far as a token's user may see it."""
        state = await self._database.state(meter)
        before = self._known.get(_key(token, meter))
        return _visible(state, await self._resolved(token, meter, state, before))

    async def group(self, token: Token, group: str) -> DataState | None:
        """Return the state of a group, as far as a token's user may see its sums.

        None if there is no such group, or the user may not see it: both take the same statements.
        """
        access = await self._database.group_access(token.viewer, group)
        if access is None:
            return None
        state = await self._database.group_state(group)
        if state is None or access.is_whole:
            return state
        return replace(state, windows=tuple(access.windows))

    async def _resolved(
        self, token: Token, meter: str | None, state: DataState, before: _Known | None
    ) -> _Known:
        """Return what a user may do with a meter in a state of the grants, given what was known."""
        if before is not None and before.holds_in(state):
            return before
        known = await self._look_up(token, meter, state)
        self._keep(_key(token, meter), known)
        return known

    async def visible_public_ids(self, token: Token, most: int) -> list[str]:
        """Return the public ids of some meters that a token's user may see."""
        grants, meters = self._database.grants, self._database.meters
        visible = await grants.visible(token.viewer, are_paged=True)
        return await meters.public_ids(most, visible)

    async def _look_up(self, token: Token, meter: str | None, state: DataState) -> _Known:
        version, grants, viewer = state.auth_version, self._database.grants, token.viewer
        if meter is not None:
            return _Known(meter, await grants.access(viewer, meter), version)
        everything = await grants.everything(viewer)
        if everything is not None and everything.is_whole:
            return _Known(None, everything, version)
        visible = await self.visible_public_ids(token, 2)
        if len(visible) == 1:
            access = await grants.access(viewer, visible[0])
            return _Known(visible[0], access, version, is_lasting=everything is None)
        default = self._database.default_meter
        access = await grants.access(viewer, default) if visible and default else None
        if access is not None:
            return _Known(default, access, version)
        return _Known(None, None, version, is_ambiguous=bool(visible))

    def _keep(self, key: tuple[Viewer, str | None], known: _Known) -> None:
        self._known.pop(key, None)
        if known.access is not None and known.is_lasting:
            self._known[key] = known
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)


ACCESS = web.AppKey("access", AccessResolver)


def _key(token: Token, meter: str | None) -> tuple[Viewer, str | None]:
    return token.viewer, meter


def _visible(state: DataState, known: _Known) -> DataState:
    if known.access is None:
        return state.hidden(is_ambiguous=known.is_ambiguous)
    return state if known.access.is_whole else replace(state, windows=tuple(known.access.windows))
