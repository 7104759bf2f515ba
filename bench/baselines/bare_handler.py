"""An aiohttp server that sends the bytes of a file from memory and does nothing else.

`python -m bench.baselines.bare_handler --port 8000 answer.json`
"""

from pathlib import Path

import click
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

CHUNK = 512 * 1024


@web.middleware
async def nothing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Pass a request on."""
    return await handler(request)


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--middlewares", type=int, default=0)
@click.option("--chunked", is_flag=True)
@click.option("--encoding", default="")
@click.argument("file", type=click.Path(path_type=Path))
def main(port: int, middlewares: int, chunked: bool, encoding: str, file: Path) -> None:
    """Serve a file's bytes."""
    body = file.read_bytes()
    headers = {"Content-Encoding": encoding} if encoding else {}

    async def whole(_: web.Request) -> web.StreamResponse:
        return web.Response(
            body=body, content_type="application/json", charset="utf-8", headers=headers
        )

    async def in_chunks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        response.content_type = "application/json"
        await response.prepare(request)
        view = memoryview(body)
        for at in range(0, len(view), CHUNK):
            await response.write(view[at : at + CHUNK])
        await response.write_eof()
        return response

    app = web.Application(middlewares=[nothing] * middlewares)
    app.router.add_get("/", in_chunks if chunked else whole)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
