"""Clients that ask and ask, and know what has to come."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientConnectorError, ClientError, ClientSession, TCPConnector

from tests.support.app_client import token


@dataclass
class Asking:
    """What became of questions, and how many seconds those took that were answered."""

    port: int
    keeps_alive: bool = True
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    known: dict[int, Any] = field(default_factory=dict)
    """The readings of each day, which do not change."""
    is_over: bool = False
    session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self.session = ClientSession(
            f"http://127.0.0.1:{self.port}",
            headers={"SESSION": token()},
            connector=TCPConnector(limit=0, force_close=not self.keeps_alive),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.session is not None
        await self.session.close()

    async def ask(self, route: str, **params: str) -> Any:
        """The parsed body of an answer; aiohttp would ask again by itself where this were a GET."""
        assert self.session is not None
        began = time.monotonic()
        async with self.session.post(f"/apielec/{route}", data=params) as response:
            body = await response.read()
            assert response.status == 200, body
        self.seconds.append(time.monotonic() - began)
        return json.loads(body)

    async def day(self, number: int) -> None:
        """Asks for a day of September 2019 and notes whether the answer is whole."""
        number = number % 28 + 1
        try:
            body = await self.ask("getDataByDate", date=f"2019-09-{number:02}%")
        except ClientConnectorError:
            self.outcomes["refused"] += 1
            self.is_over = True
        except (ClientError, OSError) as error:
            self.outcomes[f"lost: {type(error).__name__}"] += 1
        else:
            records = body["values"]["records"]
            is_whole = 0 < len(records) <= 96 and records == self.known.setdefault(number, records)
            self.outcomes["whole" if is_whole else "wrong"] += 1

    async def until_over(self) -> None:
        """Asks until nobody listens any more."""
        number = 0
        while not self.is_over:
            await self.day(number)
            number += 1
