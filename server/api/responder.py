"""The path of every data request: replay, parse, conditional request, cache, database, stream."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import ExitStack, aclosing, suppress
from dataclasses import replace

from aiohttp import hdrs, web

from server.api.data_request import EXPORT, DataRequest, Parser
from server.cache.entry import SMALL_RESPONSE_BYTES, CacheEntry
from server.cache.in_flight import InFlightResponse, TooLargeError
from server.cache.replay import ReplayCache
from server.cache.store import ResponseCache
from server.context import CONTEXT, RequestContext
from server.errors import ApiError, ParameterError
from server.security.access import ACCESS
from server.security.audit_log import audit_export
from server.security.authentication import check_access
from server.security.rate_limits import FigureLimiter, StreamLimiter, when_task_ends
from server.security.upload import admitted
from server.transport.content_coding import SMALL_CHUNK_BYTES, Chunk, Coding, Identity
from server.transport.etags import etag, matches_any, matches_etag
from server.transport.negotiation import negotiate_coding
from server.transport.streaming import Payload, StreamingResponse, content_type, views
from settings import MysqlUrl, SqliteUrl
from storage.common.deflate import DeflateBlock, deflate_block
from storage.common.errors import Overtaken, StorageError
from storage.database import Database, DataState
from storage.figures.compute import Admit, admit_any
from storage.readings.pager import SMALL_RESULT_ROWS

CACHE_FORMAT_VERSION = 6
"""Part of every key: raising it makes entries of another layout unreachable, in Redis too."""

RECORD_BYTES = 48
"""About what a record takes in the cache."""

_MAX_TRIES = 3
"""How often an answer is begun while the readings change."""

_MAX_CHOICES = 10
"""Meters that an error names."""

_VARY_BY_ACCEPT = f"{hdrs.ACCEPT_ENCODING}, {hdrs.ACCEPT}"
_BYPASS = {"no-cache", "no-store", "max-age=0"}

Response = tuple[web.StreamResponse, Mapping[str, str]]
"""A response, and the metadata of its payload."""


class Responder:
    """Answers data requests from the cache, from an equal request in flight, or the database."""

    def __init__(
        self,
        location: SqliteUrl | MysqlUrl,
        database: Database,
        cache: ResponseCache,
        streams: StreamLimiter,
        figures: FigureLimiter,
        replays: ReplayCache,
    ) -> None:
        self._location = str(location)
        self._database = database
        self._cache = cache
        self._streams = streams
        self._figures = figures
        self._replays = replays
        self.in_flight: dict[str, InFlightResponse] = {}
        """Responses in production, by key."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def respond(self, request: web.Request, parse: Parser) -> web.StreamResponse:
        """Answer a request that is authenticated. Raise ApiError, QueryError or StorageError."""
        context = request[CONTEXT]
        if (replayed := await self._replay(request, context)) is not None:
            return replayed
        query = await admitted(request, parse)
        if query.meter != context.meter:
            context.meter = query.meter
            await check_access(request)
        for _ in range(_MAX_TRIES - 1):
            with suppress(Overtaken):
                return await self._respond(request, context, query)
            # The head was not sent yet: begin anew, with the data of now.
            await check_access(request)
        return await self._respond(request, context, query)

    async def _respond(
        self, request: web.Request, context: RequestContext, query: DataRequest
    ) -> web.StreamResponse:
        """Answer from the state of the data; raise Overtaken if it has changed meanwhile."""
        state = context.state = await self._asked_state(request, context, query)
        key = self._key(query, state)
        coding = negotiate_coding(request)
        headers = {
            hdrs.ETAG: etag(key, coding),
            hdrs.CACHE_CONTROL: "private, no-cache",
            hdrs.VARY: _VARY_BY_ACCEPT if query.varies_by_accept else hdrs.ACCEPT_ENCODING,
        }
        if matches_etag(request, key):
            return web.Response(status=304, headers=headers)
        entry = None
        if request.method == hdrs.METH_HEAD:
            response, metadata = await self._head(context, query, key, coding)
        elif not self._cache.max_entry_bytes or _bypasses_cache(request):
            response, metadata = await self._direct(context, query, coding)
        elif entry := await self._cache.get(key):
            response, metadata = await self._cached(context, query, entry, coding)
        else:
            response, metadata = await self._shared(context, query, key, coding)
        if matches_any(request):
            if isinstance(response, StreamingResponse):
                await response.discard()
            return web.Response(status=304, headers=headers)
        response.headers.update(headers)
        response.headers.update(query.headers(metadata))
        if EXPORT in metadata and request.method != hdrs.METH_HEAD:
            audit_export(request, query.key, int(metadata[EXPORT]))
        elif entry is not None and isinstance(response, web.Response) and _is_of_one(state):
            self._replays.add(request, state, key, coding, response)
        return response

    async def _asked_state(
        self, request: web.Request, context: RequestContext, query: DataRequest
    ) -> DataState:
        """Return the state of the data that a request is about; raise ApiError if there is none."""
        if query.group is not None:
            return await self._group_state(request, query.group)
        state = _state(context)
        await self._require_meter(request, query, state)
        return await self._with_others(request, query, state) if query.others else state

    async def _require_meter(
        self, request: web.Request, query: DataRequest, state: DataState
    ) -> None:
        """Raise ApiError unless a request means one meter, or there is none yet."""
        if state.is_ambiguous:
            token = request[CONTEXT].token
            assert token is not None
            known = await request.app[ACCESS].visible_public_ids(token, _MAX_CHOICES + 1)
            names = ", ".join(known[:_MAX_CHOICES]) + (" ..." if len(known) > _MAX_CHOICES else "")
            raise ParameterError(f"meter: expected one of {names}")
        if query.meter is not None and state.table is None:
            raise ApiError(404, f"meter: there is no meter {query.meter}")
        if state.table is None and not state.is_empty:
            raise ApiError(404, "meter: there is no meter that you may read")

    async def _group_state(self, request: web.Request, group: str) -> DataState:
        """Return the state of a group; raise ApiError unless the user may see its sums."""
        token = request[CONTEXT].token
        assert token is not None
        state = await request.app[ACCESS].group(token, group)
        if state is None:
            raise ApiError(404, f"group: there is no group {group}")
        return state

    async def _with_others(
        self, request: web.Request, query: DataRequest, state: DataState
    ) -> DataState:
        """Return a state with those of the further meters; raise ApiError for unknown ones."""
        token = request[CONTEXT].token
        assert token is not None
        others = []
        for meter in query.others:
            other = await request.app[ACCESS].named(token, meter)
            if other.table is None:
                raise ApiError(404, f"meter: there is no meter {meter}")
            others.append(other)
        return replace(state, others=tuple(others))

    async def close(self) -> None:
        """End the production of responses."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _replay(
        self, request: web.Request, context: RequestContext
    ) -> web.StreamResponse | None:
        """Answer as the same request was answered before, if nothing has changed since."""
        replay = self._replays.get(request)
        state = _state(context)
        if replay is None or (state.version, state.windows) != (replay.version, replay.windows):
            return None
        entry = await self._cache.get(replay.key, count_miss=False)
        body = entry and entry.body(replay.coding)
        return web.Response(body=body, headers=replay.headers) if body else None

    def _key(self, query: DataRequest, state: DataState) -> str:
        states = ";".join(_described(each) for each in (state, *state.others))
        text = f"{CACHE_FORMAT_VERSION} {self._location} {states} {query.key}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def _head(
        self, context: RequestContext, query: DataRequest, key: str, coding: Coding
    ) -> Response:
        """Answer without a body, and without reading what would only be in the body."""
        response = StreamingResponse(query.media_type, coding)
        if entry := await self._cache.get(key, count_miss=False):
            return response, entry.metadata
        with ExitStack() as place:
            admit = self._admission(context, query, place)
            payload = await query.payload(self._database, _state(context), admit)
            await payload.chunks.aclose()
        return response, payload.metadata

    async def _cached(
        self, context: RequestContext, query: DataRequest, entry: CacheEntry, coding: Coding
    ) -> Response:
        body = entry.body(coding)
        if entry.is_small:
            if body is None:
                body = b"".join(map(coding.add, entry.blocks)) + coding.end()
            return _small_response(body, query, coding), entry.metadata
        if not self._cache.can_hold(entry):
            return await self._direct(context, query, coding)
        self._enter_stream(context)
        response = StreamingResponse(query.media_type, coding)
        response.content_length = entry.length(coding)
        hold = self._cache.hold
        if body is None:
            return await response.start(hold(entry, entry.chunks())), entry.metadata
        return await response.start_encoded(hold(entry, views(body))), entry.metadata

    async def _direct(
        self,
        context: RequestContext,
        query: DataRequest,
        coding: Coding,
        payload: Payload | None = None,
    ) -> Response:
        """Answer from the database, for this request alone; `payload` if it is known already."""
        place = ExitStack()
        try:
            admit = self._admission(context, query, place, is_admitted=payload is not None)
            if payload is None:
                payload = await query.payload(self._database, _state(context), admit)
            if coding.takes_blocks and payload.deflate is not None:
                payload.deflate()
            if payload.count > SMALL_RESULT_ROWS:
                self._enter_stream(context)
                response = StreamingResponse(query.media_type, coding)
                streamed = await response.start(payload.chunks), payload.metadata
                when_task_ends(place.pop_all().close)
                return streamed
            chunks = [coding.add(chunk) async for chunk in payload.chunks]
        finally:
            place.close()
        body = b"".join(chunks) + coding.end()
        return _small_response(body, query, coding), payload.metadata

    async def _shared(
        self, context: RequestContext, query: DataRequest, key: str, coding: Coding
    ) -> Response:
        """Answer with the response in flight for equal requests, or put one in flight."""
        in_flight = self.in_flight.get(key) or self._launch(context, query, key)
        response = StreamingResponse(query.media_type, coding)

        def admit() -> None:
            if in_flight.expected_bytes > SMALL_RESULT_ROWS * RECORD_BYTES:
                self._enter_stream(context)

        try:
            await response.start(in_flight.subscribe(admit))
        except TooLargeError as error:
            return await self._direct(context, query, coding, error.take_payload())
        return response, in_flight.metadata

    def _launch(self, context: RequestContext, query: DataRequest, key: str) -> InFlightResponse:
        def on_idle(idle: InFlightResponse) -> None:
            if idle.entry is not None:
                self._cache.release(idle.entry)
            elif not idle.is_complete:
                self._land(key, idle)
                task.cancel()

        place = ExitStack()
        admit = self._admission(context, query, place)
        in_flight = self.in_flight[key] = InFlightResponse(on_idle)
        task = asyncio.create_task(self._produce(_state(context), query, key, in_flight, admit))
        task.add_done_callback(lambda _: place.close())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return in_flight

    def _land(self, key: str, in_flight: InFlightResponse) -> None:
        # Where this one has failed, another may have taken its place.
        if self.in_flight.get(key) is in_flight:
            del self.in_flight[key]

    async def _produce(
        self,
        state: DataState,
        query: DataRequest,
        key: str,
        in_flight: InFlightResponse,
        admit: Admit,
    ) -> None:
        """Produce a response for all its subscribers, and store it."""
        try:
            payload = await query.payload(self._database, state, admit)
            in_flight.expected_bytes = payload.count * RECORD_BYTES
            if payload.count > SMALL_RESULT_ROWS and not self._has_room(in_flight):
                raise TooLargeError(payload)
            in_flight.begin(payload.metadata)
            if payload.count > SMALL_RESULT_ROWS:
                # Whether anybody may have so long a response is known before it is made.
                await in_flight.admitted.wait()
            if payload.deflate is not None:
                payload.deflate()
            async with aclosing(payload.chunks) as chunks:
                async for chunk in chunks:
                    in_flight.add(await _deflated(chunk))
            in_flight.complete()
        except Exception as error:  # noqa: BLE001 - subscribers raise it
            in_flight.fail(error)
        else:
            entry = await self._entry(in_flight)
            await self._store(state, key, entry)
            # From here on, slow subscribers share the memory of the entry.
            in_flight.blocks = list(entry.blocks)
            if in_flight.has_subscribers:
                in_flight.entry = entry
                self._cache.acquire(entry)
        finally:
            self._land(key, in_flight)
            in_flight.abandon()

    def _has_room(self, in_flight: InFlightResponse) -> bool:
        """Return whether a long response may be shared, and held while slow clients read it."""
        expected = sum(each.expected_bytes for each in self.in_flight.values())
        is_storable = expected <= self._cache.max_entry_bytes
        return is_storable and self._cache.has_room(in_flight.expected_bytes)

    async def _entry(self, in_flight: InFlightResponse) -> CacheEntry:
        if in_flight.expected_bytes <= SMALL_RESPONSE_BYTES:
            entry = CacheEntry.of(in_flight.blocks, in_flight.metadata)
        else:
            entry = await asyncio.to_thread(CacheEntry.of, in_flight.blocks, in_flight.metadata)
        if entry.plain is None and entry.plain_bytes <= self._cache.max_plain_bytes:
            entry = await asyncio.to_thread(entry.inflated)
        return entry

    async def _store(self, state: DataState, key: str, entry: CacheEntry) -> None:
        with suppress(StorageError):
            # A response made while an import was written may hold readings of before and after it.
            for each in (state, *state.others):
                if not await self._database.is_current(each):
                    break
            else:
                await self._cache.put(key, entry, meter=_owner(state), version=state.version)

    def _admission(
        self,
        context: RequestContext,
        query: DataRequest,
        place: ExitStack,
        *,
        is_admitted: bool = False,
    ) -> Admit:
        """Count a figure until the place is closed. Raise RateLimited."""
        if not query.is_figure:
            return admit_any
        assert context.user is not None
        return place.enter_context(self._figures.figure(context.user, is_admitted=is_admitted))

    def _enter_stream(self, context: RequestContext) -> None:
        """Reserve a stream for a long response. Raise RateLimited."""
        assert context.user is not None
        self._streams.stream(context.user)


RESPONDER = web.AppKey("responder", Responder)


def _state(context: RequestContext) -> DataState:
    assert context.state is not None, "data requests are authenticated"
    return context.state


def _is_of_one(state: DataState) -> bool:
    """Return whether the state of one meter tells whether an answer is still true."""
    return state.group is None and not state.others


def _owner(state: DataState) -> str:
    """Return what an answer is of, older ones of which are of no use: a meter or a group."""
    return state.meter or "" if state.group is None else f"group {state.group.public_id}"


def _described(state: DataState) -> str:
    """Return what tells the data of a meter that a client may see from other data."""
    meter_id = state.table and state.table.meter_id
    return f"{meter_id} {state.version} {','.join(map(str, state.windows))}"


async def _deflated(chunk: Chunk) -> DeflateBlock:
    if isinstance(chunk, DeflateBlock):
        return chunk
    # A small one is quicker to compress than to hand to a thread.
    if len(chunk) <= SMALL_CHUNK_BYTES:
        return deflate_block(chunk)
    return await asyncio.to_thread(deflate_block, chunk)


def _bypasses_cache(request: web.Request) -> bool:
    header = ",".join(request.headers.getall(hdrs.CACHE_CONTROL, ()))
    directives = header.lower().replace(" ", "").split(",")
    return not _BYPASS.isdisjoint(directives)


def _small_response(body: bytes, query: DataRequest, coding: Coding) -> web.Response:
    response = web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type(query.media_type)})
    if not isinstance(coding, Identity):
        response.headers[hdrs.CONTENT_ENCODING] = coding.name
    return response
