"""Item 10: rows in described formats, against as many in the project's own format.

One process reads all of them and stores nothing; its processor time is compared.
"""

import json

from bench.datasets import START
from bench.paths import SERVICE_PYTHON, WORK
from bench.process import timed
from bench.targets import Check

OWN = "monitoring"
LIMIT = 2
_QUARTER = 900


def described_formats(readings: int) -> list[Check]:
    """Check the processor time of each format."""
    folder = WORK / "formats"
    folder.mkdir(parents=True, exist_ok=True)
    report, found = folder / "report.csv", folder / "seconds.json"
    sample = ["--readings", f"{readings}", "--interval", f"{_QUARTER}", "--start", START]
    with report.open("wb") as file:
        timed([str(SERVICE_PYTHON), "-m", "loader.sample", *sample], stdout=file)
    with found.open("wb") as file:
        timed([str(SERVICE_PYTHON), "-m", "bench.described_formats", str(report)], stdout=file)
    seconds = json.loads(found.read_text())
    own = seconds.pop(OWN)
    return [
        Check(10, f"reading {readings:,} rows, {name} / {OWN}", LIMIT, spent / own)
        for name, spent in seconds.items()
    ]
