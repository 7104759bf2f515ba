"""The usual way to stream a table: aiohttp, an aiomysql SSCursor, and json for each row.

`python -m bench.baselines.plain_aiomysql --port 8000` with DATABASE_HOST, _PORT, _NAME, _USER and
_PASSWORD in the environment.
"""

import json
import os

import aiomysql
import click
import uvloop
from aiohttp import web

FIELDS = (
    "id",
    "date",
    "energy",
    "reactive_energy",
    "power",
    "maximeter",
    "reactive_power",
    "voltage",
    "intensity",
    "power_factor",
)
BATCH_ROWS = 1000
"""Rows that are written together; single rows would be slower still."""


async def get_data(request: web.Request) -> web.StreamResponse:
    """Stream all readings, without counting them first."""
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(request)
    connection = await aiomysql.connect(
        host=os.environ["DATABASE_HOST"],
        port=int(os.environ["DATABASE_PORT"]),
        db=os.environ["DATABASE_NAME"],
        user=os.environ["DATABASE_USER"],
        password=os.environ["DATABASE_PASSWORD"],
    )
    try:
        async with connection.cursor(aiomysql.SSCursor) as cursor:
            await cursor.execute(f"SELECT {', '.join(FIELDS)} FROM consumpdata ORDER BY id")
            before = '{"message":"","status":"OK","statusCode":200,"values":{"records":['
            while rows := await cursor.fetchmany(BATCH_ROWS):
                records = ",".join(
                    json.dumps(
                        {
                            name: None if value is None else str(value)
                            for name, value in zip(FIELDS, row, strict=True)
                        }
                    )
                    for row in rows
                )
                await response.write(f"{before}{records}".encode())
                before = ","
    finally:
        connection.close()
    await response.write(b"]}}")
    await response.write_eof()
    return response


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    """Serve the table."""
    app = web.Application()
    app.router.add_get("/apielec/getData", get_data)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main()
