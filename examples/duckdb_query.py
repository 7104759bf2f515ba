"""Query the readings with SQL: DuckDB over a Parquet file."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import requests

URL = os.environ.get("API_URL", "http://127.0.0.1:5000")
LOGIN = (os.environ.get("API_USER", "rick"), os.environ.get("API_PASSWORD", "morty"))
METER = {"meter": meter} if (meter := os.environ.get("API_METER")) else {}

MONTHS = """
    SELECT strftime(date, '%Y-%m') AS month, sum(energy) AS energy, max(maximeter) AS maximeter
    FROM read_parquet(?)
    GROUP BY month
    ORDER BY month
"""
DOUBTFUL = "SELECT count(*) FROM read_parquet(?) WHERE contains(flags, 'implausible')"

login = requests.post(f"{URL}/login", auth=LOGIN, timeout=30)
login.raise_for_status()
token = {"SESSION": login.json()["value_token"]}

with TemporaryDirectory() as folder:
    file = Path(folder) / "readings.parquet"
    params = {"format": "parquet", "columns": "date,energy,maximeter,flags", **METER}
    with (
        requests.get(
            f"{URL}/apielec/getData", params=params, headers=token, stream=True, timeout=30
        ) as answer,
        file.open("wb") as target,
    ):
        answer.raise_for_status()
        for part in answer.iter_content(1 << 20):
            target.write(part)

    duckdb.sql("SET TimeZone = 'Europe/Madrid'")
    for month, energy, maximeter in duckdb.execute(MONTHS, [str(file)]).fetchall():
        print(month, energy, "kWh,", maximeter, "kW")
    print("implausible:", *duckdb.execute(DOUBTFUL, [str(file)]).fetchall()[0])
