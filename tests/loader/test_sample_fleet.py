"""The sample fleet: its meters, their reports, and what is delivered late."""

import csv
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from loader.report import Report
from loader.sample import main
from loader.sample.fleet import Fleet
from tests.support.paths import ROOT

SPRING, AUTUMN = date(2020, 3, 29), date(2019, 10, 27)
"""Days on which the clocks of Europe change."""

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHECK_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
EMPTY = [""] * 8

MakeFleet = Callable[..., Path]
Meter = dict[str, str]
Rows = dict[datetime, list[str]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> MakeFleet:
    """Makes a fleet with the command's options, and returns its folder."""

    def made(*options: str, meters: int = 10) -> Path:
        folder = tmp_path_factory.mktemp("sample") / "fleet"
        result = CliRunner().invoke(
            main, ["--meters", str(meters), "--output", str(folder), *options]
        )
        assert result.exit_code == 0, result.stderr
        return folder

    return made


@pytest.fixture(scope="module")
def month(make: MakeFleet) -> Path:
    """Ten meters over four weeks."""
    return make("--start", "2019-06-03", "--days", "28")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


def table(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def meters_of(folder: Path) -> list[Meter]:
    header, *rows = table(folder / "meters.csv")
    return [dict(zip(header, row, strict=True)) for row in rows]


def report_of(folder: Path, meter: Meter) -> Path:
    """The report that has the meter's id in its name, before the underscore."""
    (path,) = folder.glob(f"{meter['public_id']}_*.csv")
    return path


def load(path: Path, meter: Meter) -> Report:
    """Read a report as the loader does; no row may be rejected."""
    errors: list[object] = []
    report = Report(
        str(path),
        ZoneInfo(meter["timezone"]),
        skip_bad_rows=True,
        on_errors=lambda found, _: errors.extend(found),
    )
    assert sum(batch.count for batch in report.batches()) == report.readings
    assert errors == []
    return report


def rows_of(path: Path, meter: Meter) -> Rows:
    """The values of a report by instant, in the order of its rows."""
    zone = ZoneInfo(meter["timezone"])
    rows: Rows = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for text, *values in table(path)[1:]:
        if "T" in text:
            instant = datetime.fromisoformat(text).astimezone(UTC)
        else:
            local = datetime.strptime(text, "%d %b %Y %H:%M:%S").replace(tzinfo=zone)
            passes = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            latest = instant = next(instant for instant in passes if instant > latest)
        assert instant not in rows
        rows[instant] = values
    return rows


def power_profile(folder: Path, kind: str) -> dict[tuple[int, int], float]:
    """The mean power of a kind's meters by weekday and hour."""
    powers = defaultdict(list)
    for meter in meters_of(folder):
        if meter["kind"] == kind:
            zone = ZoneInfo(meter["timezone"])
            for instant, values in rows_of(report_of(folder / "reports", meter), meter).items():
                local = instant.astimezone(zone)
                if values != EMPTY:
                    powers[local.weekday(), local.hour].append(float(values[2]))
    return {slot: mean(values) for slot, values in powers.items()}


def hourly(rows: Rows, meter: Meter) -> dict[datetime, int | None]:
    """The Wh of each local hour, None if none of its rows has a value."""
    zone = ZoneInfo(meter["timezone"])
    hours: dict[datetime, int | None] = {}
    for instant, values in rows.items():
        hour = instant - timedelta(minutes=instant.astimezone(zone).minute)
        hours.setdefault(hour, None)
        if values != EMPTY:
            hours[hour] = (hours[hour] or 0) + round(float(values[0]) * 1000)
    return hours


def test_same_options_give_the_same_bytes_and_another_seed_other_reports(make: MakeFleet) -> None:
    options = ("--days", "2", "--late", "--seed")
    first, again, other = (contents(make(*options, seed)) for seed in ("7", "7", "8"))
    assert first == again
    assert {"meters.csv", "reports/m000001_2019-08-01.csv"} < first.keys()
    assert all(first[name] != other.get(name) for name in first)
    # voltages are the same for all sizes of meters
    rows, others = (
        files["reports/m000001_2019-08-01.csv"].splitlines() for files in (first, other)
    )
    same = sum(a.split(b",")[6] == b.split(b",")[6] for a, b in zip(rows, others, strict=False))
    assert same < len(rows) / 2


def test_fleet_continues_with_a_later_start_and_grows_with_more_meters(make: MakeFleet) -> None:
    two_days = make("--days", "2", meters=3)
    next_day = make("--start", "2019-08-02", meters=4)
    for meter in meters_of(two_days):
        whole = report_of(two_days / "reports", meter).read_text()
        header, _, rows = report_of(next_day / "reports", meter).read_text().partition("\n")
        assert whole.startswith(f"{header}\n")
        assert whole.endswith(rows)
        assert rows.startswith("2 Aug 2019 00:00:00,")
    assert meters_of(next_day)[:3] == meters_of(two_days)


def test_fleet_of_ten_has_every_kind_zone_and_interval(month: Path) -> None:
    meters = meters_of(month)
    assert {meter["kind"] for meter in meters} == {"household", "solar home", "shop", "factory"}
    zones = Counter(meter["timezone"] for meter in meters)
    assert zones == {"Europe/Madrid": 8, "Atlantic/Canary": 1, "Asia/Kolkata": 1}
    assert Counter(m["interval_seconds"] for m in meters) == {"900": 8, "1800": 1, "3600": 1}


def test_large_fleet_has_unique_meters_with_valid_identifiers() -> None:
    meters = list(Fleet(2000, 1, "Europe/Lisbon"))
    assert {len({m.public_id for m in meters}), len({m.identifier for m in meters})} == {2000}
    for meter in meters:
        digits = meter.identifier[2:18]
        first, second = divmod(int(digits) % 529, 23)
        assert meter.identifier == f"ES{digits}{CHECK_LETTERS[first]}{CHECK_LETTERS[second]}"
    zones = Counter(meter.timezone for meter in meters)
    assert zones.keys() == {"Europe/Lisbon", "Atlantic/Canary", "Asia/Kolkata"}
    assert 1700 < zones["Europe/Lisbon"] < 1900
    intervals = Counter(meter.interval for meter in meters)
    assert intervals.keys() == {900, 1800, 3600}
    assert 1600 < intervals[900] < 1800
    assert min(Counter(meter.kind.name for meter in meters).values()) > 5


@pytest.mark.parametrize(("day", "quarters"), [(SPRING, 92), (AUTUMN, 100)])
def test_reports_load_and_follow_the_clocks_of_their_zone(
    make: MakeFleet, day: date, quarters: int
) -> None:
    folder = make("--start", str(day - DAY), "--days", "3")
    for meter in meters_of(folder):
        zone, interval = ZoneInfo(meter["timezone"]), int(meter["interval_seconds"])
        path = report_of(folder / "reports", meter)
        report, rows = load(path, meter), rows_of(path, meter)
        assert (report.interval, report.readings) == (interval, len(rows))

        start, end = (datetime.combine(d, time(), zone).astimezone(UTC) for d in (day, day + DAY))
        seconds = range(0, int((end - start).total_seconds()), interval)
        expected = [start + timedelta(seconds=second) for second in seconds]
        all_day = 96 if zone.key == "Asia/Kolkata" else quarters
        assert len(expected) == all_day * 900 // interval
        assert {instant for instant in rows if start <= instant < end} <= set(expected)
        gap = [instant for instant in expected if instant not in rows]
        assert len(gap) <= 6 * 3600 // interval
        assert {expected[0], expected[-1]}.isdisjoint(gap)
        steps = {later - earlier for earlier, later in pairwise(gap)}
        assert steps <= {timedelta(seconds=interval)}


def test_readings_and_values_are_missing_and_the_next_energy_holds_what_they_hid(
    month: Path,
) -> None:
    gaps = empty = 0
    catch_ups = []
    for meter in meters_of(month):
        interval = int(meter["interval_seconds"]) * timedelta(seconds=1)
        path = report_of(month / "reports", meter)
        rows = rows_of(path, meter)
        assert load(path, meter).missing == 8 * list(rows.values()).count(EMPTY)
        last = None
        for instant, values in rows.items():
            gaps += last is not None and instant - interval not in rows
            empty += values == EMPTY
            if values != EMPTY:
                if last is not None and instant - last > interval and float(values[2]) > 0.1:
                    usual = float(values[2]) * ((instant - last) / HOUR)
                    catch_ups.append(float(values[0]) / usual)
                last = instant
    assert 10 < gaps < 50
    assert 20 < empty < 120
    assert len(catch_ups) > 20
    assert 0.7 < mean(catch_ups) < 1.6


def test_households_have_two_meals_and_another_weekend(month: Path) -> None:
    power = power_profile(month, "household")
    for day in range(7):
        assert min(power[day, 14], power[day, 21]) > 1.2 * power[day, 17] > 2 * power[day, 4]
    assert power[6, 11] > 1.5 * power[2, 11]


def test_solar_homes_import_less_at_noon_and_export_nothing(month: Path) -> None:
    solar, others = (power_profile(month, kind) for kind in ("solar home", "household"))
    for day in range(7):
        assert 0 <= solar[day, 13] < 0.4 * others[day, 13]
        assert solar[day, 22] > 0.6 * others[day, 22]


def test_shops_open_by_day_and_close_on_sundays(month: Path) -> None:
    power = power_profile(month, "shop")
    for day in range(6):
        assert power[day, 11] > 4 * max(power[day, 3], power[day, 22])
    assert max(power[6, hour] for hour in range(24)) < 2 * power[6, 3]


def test_factory_works_in_shifts_and_takes_reactive_energy(month: Path) -> None:
    power = power_profile(month, "factory")
    for day in range(5):
        assert min(power[day, hour] for hour in range(7, 21)) > 4 * power[day, 3]
    assert power[5, 9] > 4 * max(power[5, 17], power[6, 9])
    for meter in meters_of(month):
        rows = rows_of(report_of(month / "reports", meter), meter).values()
        active, reactive = (sum(float(row[n]) for row in rows if row != EMPTY) for n in (0, 1))
        assert (reactive > 0.6 * active) == (meter["kind"] == "factory")


def test_late_reports_add_correct_and_repeat_readings_in_no_order(make: MakeFleet) -> None:
    """Loaded after the others, they leave what a fleet without late data has."""
    options = ("--start", str(AUTUMN - 3 * DAY), "--days", "8")
    folder, punctual = make(*options, "--late"), make(*options)
    found: Counter[str] = Counter()
    dates = set()
    for meter in meters_of(folder):
        paths = [report_of(folder / name, meter) for name in ("reports", "late")]
        first, late = (rows_of(path, meter) for path in paths)
        loaded = [load(path, meter) for path in paths]
        assert [report.readings for report in loaded] == [len(first), len(late)]
        intervals = {str(report.interval) for report in loaded}
        assert intervals == {meter["interval_seconds"]}
        assert first | late == rows_of(report_of(punctual / "reports", meter), meter)
        for instant, values in late.items():
            if instant not in first:
                found["new"] += 1
            else:
                found["same" if first[instant] == values else "corrected"] += 1
        days = [instant.astimezone(ZoneInfo(meter["timezone"])).date() for instant in late]
        dates.update(days)
        assert days == sorted(days, reverse=True)
        pairs = pairwise(zip(days, late, strict=True))
        assert {a < b for (day, a), (next_day, b) in pairs if day == next_day} == {True, False}
    assert min(found["new"], found["same"], found["corrected"]) > 30
    assert AUTUMN in dates


def test_one_file_has_the_energies_of_all_reports_hour_by_hour(
    make: MakeFleet, tmp_path: Path
) -> None:
    options = ("--start", str(AUTUMN - DAY), "--days", "4", "--late")
    reports, one = make(*options), make(*options, "--one-file")
    meters = meters_of(reports)
    assert meters_of(one) == [meter | {"interval_seconds": "3600"} for meter in meters]
    numbers = {meter["identifier"]: number for number, meter in enumerate(meters)}
    for delivery in ("reports", "late"):
        assert [path.name for path in (one / delivery).iterdir()] == ["all-meters.csv"]
        header, *rows = table(one / delivery / "all-meters.csv", ";")
        sign = -1 if delivery == "late" else 1
        places = [
            (sign * int("".join(reversed(day.split("/")))), sign * int(hour), numbers[identifier])
            for identifier, day, hour, *_ in rows
        ]
        assert places == sorted(places)
        for meter in meters:
            own = [row for row in rows if row[0] == meter["identifier"]]
            path = tmp_path / "own.csv"
            path.write_text("".join(f"{';'.join(row)}\n" for row in (header, *own)))
            report = load(path, meter)
            assert (report.readings, report.interval) == (len(own), 3600)
            zone = ZoneInfo(meter["timezone"])
            energies = {
                datetime.strptime(day, "%d/%m/%Y").replace(tzinfo=zone).astimezone(UTC)
                + (int(hour) - 1) * HOUR: int(energy.replace(",", "")) if energy else None
                for _, day, hour, energy, _ in own
            }
            assert energies == hourly(rows_of(report_of(reports / delivery, meter), meter), meter)


@pytest.mark.parametrize("more", [[], ["--one-file"]])
def test_memory_does_not_grow_with_meters_or_days(tmp_path: Path, more: list[str]) -> None:
    sizes = [(10, 1), (1000, 1), (10, 100)]
    program = f"""
import re
from pathlib import Path
from loader.sample import main
for meters, days in {sizes}:
    options = ["--meters", str(meters), "--days", str(days), "--late", *{more}]
    main([*options, "--output", f"{tmp_path}/{{meters}}-{{days}}"], standalone_mode=False)
    print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    peaks = [int(line) for line in done.stdout.splitlines() if line.isdecimal()]
    assert len(peaks) == len(sizes)
    assert peaks[-1] - peaks[0] < 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--days", "3"], "--days is for a fleet: add --meters"),
        (["--output", "x"], "--output is for a fleet: add --meters"),
        (["--one-file"], "--one-file is for a fleet: add --meters"),
        (["--late"], "--late is for a fleet: add --meters"),
        (["--meters", "3", "--readings", "7"], "--readings is for one meter: leave out --meters"),
        (["--meters", "3", "--interval", "900"], "--interval is for one meter: leave out"),
        (["--meters", "0"], "0 is not in the range"),
        (["--meters", "3", "--days", "99999999"], "the dates are outside the years 1970 to 2199"),
        (["--meters", "3", "--start", "1969-12-31"], "the dates are outside the years 1970 to"),
        (["--meters", "3"], "fleet: is not empty: give another --output"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet").mkdir()
    kept = tmp_path / "fleet" / "kept.csv"
    kept.write_text("")
    result = CliRunner().invoke(main, options)
    assert result.exit_code != 0
    assert message in result.stderr
    assert list(tmp_path.rglob("*.csv")) == [kept]
