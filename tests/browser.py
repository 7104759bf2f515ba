"""Chromium without a window, driven over its DevTools protocol."""

import asyncio
import json
import shutil
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

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
    """A page of a browser, and what it has asked for and complained of."""

    def __init__(self, connection: ClientWebSocketResponse) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._connection = connection
        self._numbers = count()

    async def call(self, method: str, **params: object) -> Any:
        """The result of a command."""
        number = next(self._numbers)
        await self._connection.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(SECONDS):
            while (message := await self._connection.receive_json()).get("id") != number:
                self._note(message)
        assert "error" not in message, message
        return message["result"]

    async def open(self, url: str) -> None:
        """Goes to a page."""
        for domain in ("Network", "Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        await self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        await self.call("Page.navigate", url=url)

    async def imitate(
        self, *, width: int = 1280, height: int = 1600, language: str = "en-GB", dark: bool = False
    ) -> None:
        """Shows pages from now on as to a reader with such a screen and language, at rest."""
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
        """The value of an expression of JavaScript, or of what it promises."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Waits until an expression of JavaScript is true."""
        await self.run(
            "new Promise(resolve => { const look = () =>"
            f" {condition} ? resolve() : setTimeout(look, 20); look() }})"
        )

    async def find(self, selector: str, text: str = "") -> str:
        """Waits for an element that holds a text, and gives all of its text."""
        content = f"document.querySelector({json.dumps(selector)})?.textContent"
        await self.until(f"{content}?.includes({json.dumps(text)})")
        found: str = await self.run(content)
        return found

    async def click(self, selector: str) -> None:
        """Clicks on an element once it is there."""
        await self.find(selector)
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, selector: str, text: str) -> None:
        """Types a text into a field once it is there."""
        await self.find(selector)
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key as on a keyboard: Tab, Enter, ArrowRight or a letter."""
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = {"Tab": 9, "Enter": 13, "ArrowRight": 39}.get(key, 0)
        keys = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift, **text}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **keys)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    async def drag(self, selector: str, start: float, end: float) -> None:
        """Drags the pointer over an element, from one share of its width to another."""
        await self.find(selector)
        left, top, width, height = await self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            " found.scrollIntoView({ block: 'center' });"
            " const { left, top, width, height } = found.getBoundingClientRect();"
            " return [left, top, width, height] })()"
        )
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
        """The page as a PNG: all of it, or its upper part."""
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


@asynccontextmanager
async def started(program: Path, folder: Path) -> AsyncIterator[Browser]:
    """A browser with an empty page, its profile in a folder."""
    process = await asyncio.create_subprocess_exec(
        program,
        *OPTIONS,
        f"--user-data-dir={folder}/profile",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading = None
    try:
        async with asyncio.timeout(SECONDS):
            address = await _address(process.stderr)
        # A browser that nobody listens to would stop some time.
        reading = asyncio.create_task(process.stderr.read())
        async with ClientSession() as session:
            async with session.get(f"http://{address}/json/list") as response:
                pages = await response.json()
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as connection:
                yield Browser(connection)
    finally:
        process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def _address(said: asyncio.StreamReader) -> str:
    """Host and port at which a browser that starts lets itself be driven."""
    async for line in said:
        if b"DevTools listening on ws://" in line:
            return line.split(b"ws://")[1].split(b"/")[0].decode()
    raise RuntimeError("the browser did not start")
