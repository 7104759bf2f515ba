"""Read September as a DataFrame from CSV, from NDJSON in chunks, and from Parquet."""

import os

import pandas as pd
import requests

URL = os.environ.get("API_URL", "http://127.0.0.1:5000")
LOGIN = (os.environ.get("API_USER", "rick"), os.environ.get("API_PASSWORD", "morty"))
METER = f"&meter={meter}" if (meter := os.environ.get("API_METER")) else ""
SEPTEMBER = f"{URL}/apielec/getDataByRange?date=2019-09&end_date=2019-10&end=exclusive{METER}"

login = requests.post(f"{URL}/login", auth=LOGIN, timeout=30)
login.raise_for_status()
token = {"SESSION": login.json()["value_token"]}

# CSV in one call; values are floats, which is fine for plots.
frame = pd.read_csv(
    f"{SEPTEMBER}&format=csv&time=utc",
    storage_options=token,
    parse_dates=["Date"],
    index_col="Date",
)
by_day = frame["Energy (kWh)"].tz_convert("Europe/Madrid").resample("D").sum()
print("CSV:", len(frame), "readings, most on", by_day.idxmax().date(), f"{by_day.max():.3f} kWh")

# NDJSON, a thousand records at a time. The last line contains the number of records.
with requests.get(
    f"{SEPTEMBER}&format=ndjson&values=number", headers=token, stream=True, timeout=30
) as answer:
    answer.raise_for_status()
    answer.raw.decode_content = True
    answer.raw.auto_close = False  # pandas looks once more behind the end
    count, total, told = 0, 0.0, None
    for chunk in pd.read_json(answer.raw, lines=True, chunksize=1000):
        if "numrecs" in chunk:
            told = int(chunk["numrecs"].iloc[-1])
            chunk = chunk.iloc[:-1]  # noqa: PLW2901 - what is left are readings
        count += len(chunk)
        total += chunk["energy"].sum()
print("NDJSON:", count, "readings of", told, f"{total:.3f} kWh")

# Parquet in one call; Arrow types keep decimals exact and times in the meter's zone.
frame = pd.read_parquet(
    f"{SEPTEMBER}&format=parquet", storage_options=token, dtype_backend="pyarrow"
)
print("Parquet:", len(frame), "readings,", frame["energy"].sum(), "kWh")
