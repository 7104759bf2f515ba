"""The application on a real server with a loaded database, and a client with a token."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import pytest
from aiohttp import ClientResponse, encode_basic_auth, web
from aiohttp.test_utils import TestClient

from server.api.responder import RESPONDER
from server.app import make_app
from server.security.signing_keys import SigningKeys
from server.security.tokens import TokenService
from settings import load_settings
from storage.backends.base import ReadEngine, Source
from storage.database import Database
from storage.factory import open_database
from tests.support.databases import DatabaseFixture

SECRET = "a signing secret that only the tests know"

Document = dict[str, Any]


def token(user: str = "rick", generation: int = 1) -> str:
    """Return a token as a login does, by default for the first user of a database."""
    return TokenService(SigningKeys.single(SECRET), 3600).issue(user, generation)


def about_readings(sql: str) -> bool:
    """Return whether a statement reads readings or stored pages, and not the state of the data."""
    return ("FROM readings" in sql or "FROM pages" in sql) and "states AS s" not in sql


def make_pages_small(monkeypatch: pytest.MonkeyPatch, readings: int) -> None:
    """Set the readings of a page, and switch off the page store, whose pages have another size."""

    async def none_kept(*_: object) -> None:
        return None

    for module in ("readings.page_store", "readings.pager", "readings.reader"):
        monkeypatch.setattr(f"storage.{module}.PAGE_READINGS", readings)
    monkeypatch.setattr("storage.readings.pager.Pager._stored", none_kept)


class Watched:
    """A storage engine that records its statements and lets a test intervene."""

    def __init__(self, engine: ReadEngine) -> None:
        self.engine = engine
        self.dialect = engine.dialect
        self.load = engine.load
        self.statements: list[str] = []
        self.running = 0
        self.step_in: Callable[[str], Awaitable[str]] | None = None
        """Called with a statement before it runs; returns the one to run."""

    @property
    def readings_asked(self) -> int:
        """The number of statements that read readings."""
        return sum(about_readings(statement) for statement in self.statements)

    async def fetch(
        self,
        sql: str,
        args: Sequence[object] = (),
        *,
        small: bool = False,
        quick: bool = True,
    ) -> Sequence[Sequence[Any]]:
        self.statements.append(sql)
        self.running += 1
        try:
            if self.step_in is None:
                return await self.engine.fetch(sql, args, small=small, quick=quick)
            instead = await self.step_in(sql)
            return await self.engine.fetch(instead, args if instead == sql else ())
        finally:
            self.running -= 1

    @property
    def known_source(self) -> Source:
        return self.engine.known_source

    def source(self) -> Source:
        return self.engine.source()

    def writes(self) -> int | None:
        return self.engine.writes() if self.step_in is None else None

    async def execute(
        self, sql: str, args: Sequence[object], *, patience: float | None = None
    ) -> int:
        self.statements.append(sql)
        if self.step_in is not None:
            sql = await self.step_in(sql)
        return await self.engine.execute(sql, args, patience=patience)

    async def close(self) -> None:
        await self.engine.close()


class Api:
    """A client of a running application."""

    def __init__(self, client: TestClient[Any, Any], engine: Watched, app: web.Application) -> None:
        self.client = client
        self.engine = engine
        self.app = app
        self.token = token()

    @property
    def port(self) -> int:
        port = self.client.port
        assert port is not None
        return port

    async def request(
        self,
        path: str,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ClientResponse:
        """Request a route of the API; return the response, its body not read yet."""
        return await self.client.request(
            method,
            f"/apielec/{path}",
            params=params,
            headers={"SESSION": self.token, **(headers or {})},
            **options,
        )

    async def v1(
        self,
        path: str,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> ClientResponse:
        """Request a route below /v1/; return the response, its body not read yet."""
        return await self.client.request(
            method,
            f"/v1/{path}",
            params=params,
            headers={"Authorization": f"Bearer {self.token}", **(headers or {})},
            **options,
        )

    async def document(self, path: str, **params: str) -> Document:
        """Request a route below /v1/, which must succeed; return the document, numbers exact."""
        async with await self.v1(path, params) as response:
            text = await response.text()
            assert response.status == 200, text
            document: Document = json.loads(text, parse_float=Decimal)
            return document

    async def pages(self, url: str, most: int = 30) -> AsyncIterator[Document]:
        """Yield a document of /v1 and the pages after it, of which there are so many at most."""
        following: str | None = url
        while following is not None:
            most -= 1
            assert most, "the pages have no end"
            headers = {"Authorization": f"Bearer {self.token}"}
            whole = self.client.make_url(following)
            async with self.client.session.get(whole, headers=headers) as response:
                text = await response.text()
                assert response.status == 200, text
                document: Document = json.loads(text, parse_float=Decimal)
                following = document["links"]["next"]
                linked = [link["url"] for link in response.links.values()]
                assert linked == [self.client.make_url(url) for url in (following,) if url]
            yield document

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        **options: Any,
    ) -> tuple[int, Document]:
        """Request a route; return the status and the parsed body."""
        async with await self.request(path, params, **options) as response:
            return response.status, await response.json()

    async def records(self, path: str, **params: str) -> list[dict[str, str | None]]:
        """Request a route, which must succeed; return the records."""
        status, body = await self.get(path, params)
        assert status == 200, body
        records: list[dict[str, str | None]] = body["values"]["records"]
        assert body["values"]["numrecs"] == len(records)
        return records

    async def settled(self) -> None:
        """Wait until no response is in production; it is cached shortly after it was sent."""
        while self.app[RESPONDER].in_flight:
            await asyncio.sleep(0)

    async def followed(self, clients: int) -> None:
        """Wait until so many clients have subscribed to the responses in production."""
        while sum(each._subscribers for each in self.app[RESPONDER].in_flight.values()) != clients:
            await asyncio.sleep(0)

    async def login(
        self, user: str, password: str, *, method: str = "POST"
    ) -> tuple[int, Document]:
        """Log in; return the status and the parsed body."""
        headers = {"Authorization": encode_basic_auth(user, password)}
        async with await self.client.request(method, "/login", headers=headers) as response:
            return response.status, await response.json()

    async def raw(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection and send these bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        await writer.drain()
        return reader, writer

    def head(self, path: str, version: str = "1.1", *more: str) -> bytes:
        """Return the bytes of a request."""
        lines = [f"GET /apielec/{path} HTTP/{version}", "Host: test", f"SESSION: {self.token}"]
        return "\r\n".join([*lines, *more, "", ""]).encode()


class Serve(Protocol):
    """Run the application with a database until the test ends."""

    async def __call__(self, database: DatabaseFixture, **environ: str) -> Api: ...


def application(database: DatabaseFixture, **environ: str) -> tuple[web.Application, Watched]:
    """Return the application with a database, and its storage engine."""
    settings = load_settings(database.config, environ)
    engine = Watched(open_database(settings)._engine)
    app = make_app(
        settings=settings,
        database=Database(engine, settings.meter.default, settings.meter.timezone.key),
        signing_keys=SigningKeys.single(SECRET),
    )
    return app, engine
