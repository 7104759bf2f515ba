"""Read /v1 with pandas and DuckDB: days from CSV, readings from Parquet, exact pages of JSON."""

import json
import os
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import requests

URL = os.environ.get("API_URL", "http://127.0.0.1:5000")
LOGIN = (os.environ.get("API_USER", "rick"), os.environ.get("API_PASSWORD", "morty"))
METER = os.environ.get("API_METER", "main")
SEPTEMBER = "from=2019-09-01&to=2019-10-01"

login = requests.post(f"{URL}/login", auth=LOGIN, timeout=30)
login.raise_for_status()
headers = {"Authorization": f"Bearer {login.json()['value_token']}"}

# CSV in one call: days, with what is missing of each.
days = pd.read_csv(
    f"{URL}/v1/meters/{METER}/aggregates?resolution=P1D&fields=energy&format=csv&{SEPTEMBER}",
    storage_options=headers,
)
most = days.loc[days["energy"].idxmax()]
print("pandas:", len(days), "days, most on", most["start"][:10], f"{most['energy']:.3f} kWh")

# Parquet to a file, and SQL over it; the stream can hold several meters.
with TemporaryDirectory() as folder:
    file = Path(folder) / "readings.parquet"
    url = f"{URL}/v1/readings?meter={METER}&format=parquet&{SEPTEMBER}"
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        answer.raise_for_status()
        with file.open("wb") as target:
            for part in answer.iter_content(1 << 20):
                target.write(part)
    sums = "SELECT meter, count(*), sum(energy) FROM read_parquet(?) GROUP BY meter ORDER BY meter"
    for meter, count, energy in duckdb.execute(sums, [str(file)]).fetchall():
        print("DuckDB:", meter, count, "readings,", energy, "kWh")

# JSON page by page, with exact decimals.
total, pages = Decimal(), 0
link = f"/v1/meters/{METER}/readings?fields=energy&limit=1000&{SEPTEMBER}"
while link:
    answer = requests.get(URL + link, headers=headers, timeout=30)
    answer.raise_for_status()
    document = json.loads(answer.text, parse_float=Decimal)
    total += sum(reading["energy"] or 0 for reading in document["data"])
    link, pages = document["links"]["next"], pages + 1
print("JSON:", pages, "pages,", total, "kWh")
