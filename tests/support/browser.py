"""Chromium without a window, driven over its DevTools protocol."""

import asyncio
import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from aiohttp import ClientSession, ClientWebSocketResponse

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1280,1600",
)
SECONDS = 30


def find_browser() -> Path | None:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


class Browser:
    """A page of a browser, with its requests and console errors."""

    def __init__(self, connection: ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._connection = connection
        self._numbers = count()

    async def call(self, method: str, **params: object) -> Any:
        """Send a command; return its result."""
        number = next(self._numbers)
        await self._connection.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(SECONDS):
            while (message := await self._connection.receive_json()).get("id") != number:
                self._note(message)
        assert "error" not in message, message
        return message["result"]

    async def open(self, url: str) -> None:
        """Go to a page."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        await self.call("Page.navigate", url=url)

    async def imitate(
        self, *, width: int = 1280, height: int = 1600, language: str = "en-GB", dark: bool = False
    ) -> None:
        """Emulate a screen and a language from now on, without animations."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call(
            "Emulation.setUserAgentOverride", userAgent="Chromium", acceptLanguage=language
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme, motion])

    async def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression, or of its promise."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        await self.run(
            "new Promise(resolve => { const look = () =>"
            f" {condition} ? resolve() : setTimeout(look, 20); look() }})"
        )

    async def find(self, selector: str, text: str = "") -> str:
        """Wait for an element that contains a text; return all of its text."""
        content = f"document.querySelector({json.dumps(selector)})?.textContent"
        await self.until(f"{content}?.includes({json.dumps(text)})")
        found: str = await self.run(content)
        return found

    async def click(self, selector: str) -> None:
        """Click on an element once it exists."""
        await self.find(selector)
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, selector: str, text: str) -> None:
        """Type a text into a field once it exists."""
        await self.find(selector)
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key: Tab, Enter, ArrowRight or a letter."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39}.get(key, 0)
        keys = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift, **text}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **keys)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    async def place(self, selector: str) -> tuple[float, float, float, float]:
        """Scroll to an element once it exists; return its left, top, width and height."""
        await self.find(selector)
        left, top, width, height = await self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            " found.scrollIntoView({ block: 'center' });"
            " const { left, top, width, height } = found.getBoundingClientRect();"
            " return [left, top, width, height] })()"
        )
        return left, top, width, height

    async def swipe(self, selector: str, start: float, end: float, *, down: float = 0) -> None:
        """Swipe over an element, between fractions of its width, and so many pixels down."""
        await self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        left, top, width, height = await self.place(selector)
        for kind, share in (
            ("touchStart", 0.0),
            *(("touchMove", part / 8) for part in range(1, 9)),
            ("touchEnd", 1.0),
        ):
            x = left + width * (start + (end - start) * share)
            points = [{"x": x, "y": top + height / 2 + down * share}]
            await self.call(
                "Input.dispatchTouchEvent",
                type=kind,
                touchPoints=[] if kind == "touchEnd" else points,
            )

    async def drag(self, selector: str, start: float, end: float) -> None:
        """Drag the pointer over an element, from one fraction of its width to another."""
        left, top, width, height = await self.place(selector)
        places = [left + width * share for share in (start, (start + end) / 2, end)]
        kinds = ("mousePressed", "mouseMoved", "mouseMoved", "mouseReleased")
        for kind, x in zip(kinds, (places[0], *places[1:], places[-1]), strict=True):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=top + height / 2,
                button="left",
                buttons=1,
                clickCount=1,
            )

    async def picture(self, width: int, height: int | None = None) -> bytes:
        """Return a screenshot of the page, or of its upper part, as PNG."""
        metrics = await self.call("Page.getLayoutMetrics")
        tall = height or metrics["cssContentSize"]["height"]
        answer = await self.call(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": tall, "scale": 1},
        )
        return b64decode(answer["data"])

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.complaints.append(str(params["args"]))


class Chromium:
    """A browser with a temporary profile, running from entry to exit."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        profile = f"--user-data-dir={self._folder.name}"
        self._process = subprocess.Popen(  # noqa: S603 - a browser of this machine
            [self.program, *OPTIONS, profile, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.address = f"127.0.0.1:{self._port()}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _port(self) -> int:
        """Return the DevTools port, once the browser has written it to its profile."""
        written = Path(self._folder.name) / "DevToolsActivePort"
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if written.exists() and (lines := written.read_text().splitlines()):
                return int(lines[0])
            time.sleep(0.01)
        raise RuntimeError("the browser did not start")

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Browser]:
        """Open an empty page, closed at the end."""
        async with ClientSession(f"http://{self.address}") as session:
            async with session.put("/json/new?about:blank") as response:
                page = await response.json()
            try:
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as way:
                    yield Browser(way)
            finally:
                async with session.get(f"/json/close/{page['id']}"):
                    pass
