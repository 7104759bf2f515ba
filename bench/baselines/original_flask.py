"""A small rewrite of the original service, from the description of its responses.

It reads the whole table with fetchall, makes a dict of texts of every row, and has Flask write
them as sorted, indented JSON. `python -m bench.baselines.original_flask --port 8000` with
DATABASE_HOST, _PORT, _NAME, _USER and _PASSWORD in the environment.
"""

import hashlib
import os
import time
from typing import Any

import click
import jwt
import pymysql
from flask import Flask, Response, jsonify, request

SECRET = os.urandom(32).hex()
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

app = Flask(__name__)
app.json.sort_keys = True
app.json.compact = False


def rows(sql: str, *args: str) -> list[tuple[Any, ...]]:
    """Return all rows of a statement."""
    connection = pymysql.connect(
        host=os.environ["DATABASE_HOST"],
        port=int(os.environ["DATABASE_PORT"]),
        database=os.environ["DATABASE_NAME"],
        user=os.environ["DATABASE_USER"],
        password=os.environ["DATABASE_PASSWORD"],
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())
    finally:
        connection.close()


def login() -> Response:
    """Return a token for a user whose password's SHA-256 is in the table."""
    given = request.authorization
    if given is not None and given.username and given.password:
        digest = hashlib.sha256(given.password.encode()).hexdigest()
        sql = "SELECT id FROM users WHERE user = %s AND password = %s"
        if rows(sql, given.username, digest):
            claims = {"user": given.username, "exp": time.time() + 3600}
            value = jwt.encode(claims, SECRET, algorithm="HS256")
            return jsonify(
                Authorization_type="API Key", In="header", Key="SESSION", value_token=value
            )
    refusal = jsonify(message="Invalid user and/or password", status="ERROR", statusCode="401")
    refusal.status_code = 401
    refusal.headers["WWW-Authenticate"] = "Basic"
    return refusal


def get_data() -> Response:
    """Return all readings."""
    if "SESSION" not in request.headers:
        return refused(405, "Token is missing")
    try:
        jwt.decode(request.headers["SESSION"], SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return refused(406, "Token is invalid")
    records = [
        {name: str(value) for name, value in zip(FIELDS, row, strict=True)}
        for row in rows(f"SELECT {', '.join(FIELDS)} FROM consumpdata ORDER BY id")
    ]
    values = {"numrecs": len(records), "records": records}
    return jsonify(message="", status="OK", statusCode=200, values=values)


def refused(code: int, status: str) -> Response:
    """Return an error."""
    answer = jsonify(status=status, statusCode=str(code))
    answer.status_code = code
    return answer


app.add_url_rule("/login", view_func=login, methods=["GET", "POST"])
app.add_url_rule("/apielec/getData", view_func=get_data)


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    """Serve with the server that comes with Flask."""
    app.run(host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
