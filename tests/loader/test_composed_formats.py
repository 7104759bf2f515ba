"""Whatever keys a format is composed of, its readings come back as they were written."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.quantities import ALL_QUANTITY_NAMES, QUANTITY_NAMES
from loader.formats.registry import format_by_name, known_formats
from loader.formats.report_format import ReportFormat
from loader.report import Report
from loader.report_file import ReportFile
from loader.rows.errors import RowError
from loader.rows.rejected import RejectedRows
from settings import Settings
from tests.support.composed_formats import CHOICES, METERS, ComposedFormat, Reading
from tests.support.promises import Tried
from tests.support.report_factory import MADRID

if TYPE_CHECKING:
    from loader.formats.detection import DetectedFormat

keys = st.fixed_dictionaries({key: st.sampled_from(values) for key, values in CHOICES.items()})
MANY = 5000
seeds = st.integers(0, 10**6)


class _Found:
    """The readings of a file, each of its meters read as a worker process does."""

    def __init__(self, path: Path, formats: Sequence[ReportFormat], *, skipping: bool) -> None:
        self._detected: DetectedFormat | None = None
        self.readings: dict[Reading, dict[str, Any]] = {}
        self.rounded = self.repeated = 0
        self.errors: list[str] = []
        self.rejected = RejectedRows(str(path))
        with ReportFile(str(path), formats=formats) as file:
            parts = file.parts(MADRID, skip_bad_rows=skipping, on_errors=self._on_errors)
            for part in list(parts):
                packed = part.packed()
                assert packed is not None, "it is small"
                self._detected = part.detected
                report = Report(
                    str(path),
                    MADRID,
                    skip_bad_rows=skipping,
                    on_errors=self._on_errors,
                    part=packed.unpacked(formats),
                )
                self._read(report, part.identifier)

    def _on_errors(self, errors: list[RowError], raw: bytes) -> None:
        self.errors += map(str, errors)
        assert self._detected is not None
        self.rejected.add(errors, raw, self._detected.header)

    def _read(self, report: Report, meter: str | None) -> None:
        for batch in report.batches():
            names = ALL_QUANTITY_NAMES if batch.is_full else QUANTITY_NAMES
            for line in batch.rows.decode().splitlines():
                _, local, offset, *quantities = line.split(",")
                start = datetime.fromisoformat(f"{local}Z") - timedelta(seconds=int(offset))
                reading: dict[str, Any] = {
                    name: Decimal(text) if text else None
                    for name, text in zip(names, quantities, strict=False)
                }
                if batch.is_full:
                    reading["estimated"] = quantities[-1] == "1"
                key = meter or METERS[0], start
                assert key not in self.readings
                self.readings[key] = reading
        self.rounded += report.rounded
        self.repeated += report.repeated


def _plain(readings: dict[Reading, dict[str, Any]]) -> dict[Reading, dict[str, Any]]:
    """Return readings without what they do not have."""
    return {
        key: {name: value for name, value in reading.items() if value not in (None, False)}
        for key, reading in readings.items()
    }


def check(folder: Path, chosen: dict[str, Any], seed: int) -> None:
    composed = ComposedFormat(chosen, seed)
    asked = composed.keys["interval"] if composed.keys["is_interval_asked"] else None
    known = Settings.model_construct(formats={"composed": composed.settings()})
    formats = [format_by_name(known_formats(known, asked), "composed")]
    path = composed.write(folder)
    (folder / "composed.rejected.csv").unlink(missing_ok=True)
    found = _Found(path, formats, skipping=bool(composed.corrections))
    with found.rejected:
        if composed.corrections:
            assert found.errors
            found.rejected.save()
            correct(found.rejected.path, composed.corrections)
            again = _Found(found.rejected.path, formats, skipping=False)
            again.rejected.__exit__()
            for key, reading in again.readings.items():
                earlier = found.readings.setdefault(key, {})
                # Of joined rows, those that were right are loaded already.
                earlier |= {name: value for name, value in reading.items() if value is not None}
        else:
            assert found.errors == []
    assert _plain(found.readings) == _plain(composed.readings)
    if not composed.corrections:
        assert found.repeated == composed.repeated
        if composed.keys["fault"] != "gap":
            assert found.rounded == composed.rounded


def correct(path: Path, corrections: dict[str, str]) -> None:
    content = path.read_bytes()
    for wrong, right in corrections.items():
        content = content.replace(wrong.encode(), right.encode())
    path.write_bytes(content)


@settings(max_examples=60, deadline=None)
@given(chosen=keys, seed=seeds)
def test_readings_come_back_whatever_keys_are_composed(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any], seed: int
) -> None:
    check(tmp_path_factory.getbasetemp(), chosen, seed)


@pytest.mark.promise("Bad input")
@pytest.mark.trust
@pytest.mark.one_database
def test_readings_come_back_whatever_else_is_composed(tmp_path: Path, tried: Tried) -> None:
    for seed in range(MANY):
        chance = random.Random(seed)  # noqa: S311 - test data
        check(tmp_path, {key: chance.choice(values) for key, values in CHOICES.items()}, seed)
    tried("formats composed of keys by chance, read exactly", MANY)
