"""Whole requests to a running service, and what each of them costs it.

A recipe is a request in which `<<1000|ab>>` stands for a thousand times `ab`, `$TOKEN` for a valid
token, and `$LENGTH` for the length of the body. So a few bytes describe a request of a megabyte,
and what is repeated can be made longer until it costs too much.
"""

import asyncio
import random
import re
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.support.app_client import application, token
from tests.support.app_server import AppServer
from tests.support.databases import SqliteDatabase
from tests.support.held_loop import BOUND_SECONDS, HeldLoop
from tests.support.paths import SAMPLE

MEMORY_KIBIBYTES = 32 * 1024
DEARER = 1.3
"""How many times its parent's cost a request has to cost, to have children of its own."""

HASHING_KIBIBYTES = 2 * 64 * 1024
"""What comparing passwords takes, on purpose, however many do so at once."""

LONGEST = 5 * 2**18
"""Bytes of a request: more than a body may have."""

REPEATED = re.compile(rb"<<(\d{1,7})\|(.*?)>>", re.DOTALL)
LAST = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LIMITS = {
    "ELECDATA_LIMITS__REQUEST_TIME": "0.1",
    "ELECDATA_LIMITS__REQUESTS_PER_USER": "1000000",
    "ELECDATA_LIMITS__REQUESTS_PER_ADDRESS": "1000000",
    "ELECDATA_SERVER__PROXIES": "127.0.0.1",
}
SECONDS = 60
TRIES = 3

WORDS = [
    *(b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"CONNECT", b"TRACE", b"QUERY"),
    *(b"HTTP/1.0", b"HTTP/1.1", b"http://x/", b"*", b"/", b"//", b"/..", b"%2f", b"%", b"%00"),
    *(b"/apielec/getData", b"/apielec/getDataById", b"/apielec/getDataByDate", b"/apielec/ping"),
    *(b"/apielec/getDataByRange", b"/apielec/getMeter", b"/apielec/getAggregate", b"/login"),
    *(b"/logout", b"/metrics", b"/health/ready", b"/dashboard", b"/swagger.json", b"/nothing"),
    *(b"/static/swagger/swagger-ui.css", b"/static/dashboard/", b"?", b"&", b"=", b"+", b"#"),
    *(b"id=5", b"date=2019%25", b"end_date=2019-09-30", b"limit=1", b"after=", b"order=desc"),
    *(b"columns=date,energy", b"values=number", b"time=utc", b"format=csv", b"format=parquet"),
    *(b"quality=clean", b"interval=day", b"%41", b"%C3%A9", b"%ff", b",", b";", b'"', b"\\u0041"),
    *(
        b"SESSION: $TOKEN\r\n",
        b"Authorization: Bearer $TOKEN\r\n",
        b"Authorization: Basic QTpC\r\n",
    ),
    *(b"Host: x\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: x\r\n"),
    *(b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n"),
    *(
        b"Accept: text/csv;q=0.1,*/*\r\n",
        b"Accept-Encoding: gzip, zstd\r\n",
        b"Cookie: a=b;c=d\r\n",
    ),
    *(b'If-None-Match: "a", W/"b"\r\n', b"If-Modified-Since: 1\r\n", b"Range: bytes=1-2\r\n"),
    *(b"X-Forwarded-For: 127.0.0.1, ::1\r\n", b"Forwarded: for=x\r\n", b"X-Request-ID: a\r\n"),
    *(b"Cache-Control: no-cache\r\n", b"Origin: http://x\r\n", b"Content-Encoding: gzip\r\n"),
    *(
        b"Content-Length: $LENGTH\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"4\r\nid=5\r\n",
        b"0\r\n",
    ),
    *(b"Content-Type: application/json\r\n", b'{"id": "5"}', b'"id":5,', b"{", b"[", b"]", b"}"),
    *(b"Content-Type: application/x-www-form-urlencoded\r\n", b"; charset=latin-1", b"1", b" "),
    *(
        b"Content-Type: multipart/form-data; boundary=x\r\n",
        b"--x\r\n",
        b"--x--\r\n",
        b"\r\n",
        b"\n",
    ),
    *(
        b'Content-Disposition: form-data; name="id"\r\n\r\n5\r\n',
        b"\t",
        b"\0",
        b"\xff",
        b"\xe2\x80",
    ),
]


def expanded(recipe: bytes) -> bytes:
    """Return the request of a recipe."""
    room = LONGEST

    def repeat(match: re.Match[bytes]) -> bytes:
        nonlocal room
        text = match[2]
        times = min(int(match[1]), room // max(1, len(text)))
        room -= times * len(text)
        return text * times

    recipe = recipe.replace(b"$TOKEN", _token())
    head, end, body = REPEATED.sub(repeat, recipe).partition(b"\r\n\r\n")
    head = head.replace(b"$LENGTH", str(len(body)).encode())
    return head + end + body


@cache
def _token() -> bytes:
    return token().encode()


class Service:
    """A running service, whose loop and memory are watched."""

    def __init__(self) -> None:
        self.held = HeldLoop()
        self._folder = tempfile.TemporaryDirectory(prefix="elecdata-fuzz-")
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._started())

    async def _started(self) -> AppServer:
        database = SqliteDatabase(Path(self._folder.name))
        database.configure(api_users={"rick": "morty"})
        await database.load(SAMPLE)
        await database.admit("rick")
        app, _ = application(database, **LIMITS)
        server = AppServer(app)
        await server.start_server()
        return server

    def close(self) -> None:
        """End the service."""
        self._loop.run_until_complete(self._server.close())
        self._loop.close()
        self._folder.cleanup()

    def cost(self, request: bytes) -> tuple[float, int]:
        """Return for how long a request holds the loop, in seconds, and its KiB of memory."""
        self.held.reset()
        before = _forget_peak()
        with self.held.watching():
            statuses = self._loop.run_until_complete(self._answered(request + LAST))
        assert b"500" not in statuses, "unexpected error"
        return self.held.seconds, _peak() - before

    async def _answered(self, request: bytes) -> set[bytes]:
        """Return the statuses of all responses."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        statuses, rest = set(), b""
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(request)
                while part := await reader.read(2**16):
                    statuses.update(re.findall(rb"HTTP/1\.[01] (\d+)", rest + part))
                    rest = part[-20:]
        except ConnectionError:
            pass
        finally:
            writer.close()
        return statuses


def kept() -> list[bytes]:
    """Return the recipes of the corpus."""
    folder = Path(__file__).parent / "corpus" / "request"
    return [file.read_bytes() for file in sorted(folder.iterdir())]


def held_for(service: Service, recipe: bytes) -> float:
    """Return for how many seconds a request holds the loop; it and its memory are bounded."""
    whole = expanded(recipe)
    seconds, kibibytes = service.cost(whole)
    for _ in range(TRIES):
        # What happens once, or by chance, is not the request's fault.
        if seconds > BOUND_SECONDS or kibibytes > MEMORY_KIBIBYTES:
            again = service.cost(whole)
            seconds, kibibytes = min(seconds, again[0]), min(kibibytes, again[1])
    hashing = HASHING_KIBIBYTES if b"/login" in whole else 0
    assert seconds <= BOUND_SECONDS, f"{seconds * 1000:.0f} ms: {recipe!r}"
    assert kibibytes <= MEMORY_KIBIBYTES + hashing, f"{kibibytes} KiB: {recipe!r}"
    return seconds


def search(service: Service, seconds: float, seed: int) -> int:
    """Look for requests that cost too much for some seconds; return how many were tried."""
    mutations = Mutations(kept(), seed)
    tried, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        recipe, cost = mutations.next()
        held = held_for(service, recipe)
        if held > cost * DEARER:
            mutations.add(recipe, held)
        tried += 1
    return tried


class Mutations:
    """New recipes from old ones; those that hold the loop longer are used again."""

    def __init__(self, recipes: Iterable[bytes], seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - nothing secret depends on it
        self._recipes = list(recipes)
        self._costs = [0.001] * len(self._recipes)

    def next(self) -> tuple[bytes, float]:
        """Return a recipe, and what its parent cost."""
        index = self._random.randrange(len(self._recipes))
        if self._random.random() < 0.3:
            index = self._costs.index(max(self._random.sample(self._costs, 5)))
        recipe = self._recipes[index]
        for _ in range(self._random.randint(1, 4)):
            recipe = self._random.choice(self._changes)(self, recipe)[:4096]
        return recipe, self._costs[index]

    def add(self, recipe: bytes, cost: float) -> None:
        """Use a recipe, which costs more than its parent did."""
        self._recipes.append(recipe)
        self._costs.append(cost)

    def _insert(self, recipe: bytes) -> bytes:
        at = self._random.choice(_cuts(recipe))
        return recipe[:at] + self._random.choice(WORDS) + recipe[at:]

    def _replace(self, recipe: bytes) -> bytes:
        start, end = self._span(recipe)
        return recipe[:start] + self._random.choice(WORDS) + recipe[end:]

    def _remove(self, recipe: bytes) -> bytes:
        start, end = self._span(recipe)
        return recipe[:start] + recipe[end:]

    def _repeat(self, recipe: bytes) -> bytes:
        start, end = self._span(recipe)
        times = 10 ** self._random.uniform(0.5, 6)
        return recipe[:start] + b"<<%d|%s>>" % (times, recipe[start:end]) + recipe[end:]

    def _rescale(self, recipe: bytes) -> bytes:
        numbers = list(re.finditer(rb"\d{1,7}", recipe))
        if not numbers:
            return recipe
        chosen = self._random.choice(numbers)
        times = self._random.choice((0, 0.1, 0.5, 2, 10, 100))
        number = b"%d" % (int(chosen[0]) * times)
        return recipe[: chosen.start()] + number + recipe[chosen.end() :]

    def _cross(self, recipe: bytes) -> bytes:
        head, end, _ = recipe.partition(b"\r\n\r\n")
        return head + end + self._random.choice(self._recipes).partition(b"\r\n\r\n")[2]

    def _scramble(self, recipe: bytes) -> bytes:
        at = self._random.randrange(len(recipe) + 1)
        return recipe[:at] + self._random.randbytes(1) + recipe[at + 1 :]

    def _span(self, recipe: bytes) -> tuple[int, int]:
        """Return where a part begins and ends that the grammar could have put there."""
        cuts = _cuts(recipe)
        first = self._random.randrange(len(cuts))
        last = min(len(cuts) - 1, first + self._random.choice((1, 1, 2, 3, 5)))
        return cuts[first], cuts[last]

    _changes = (_insert, _insert, _replace, _remove, _repeat, _repeat, _rescale, _cross, _scramble)


def _cuts(recipe: bytes) -> list[int]:
    """Return the places between the words of a recipe."""
    return sorted({0, len(recipe), *(m.end() for m in re.finditer(rb"\W|\r\n|\w+", recipe))})


def _forget_peak() -> int:
    """Return the memory in use, in KiB, from which the next peak is measured."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])
