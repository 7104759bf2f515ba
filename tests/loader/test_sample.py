"""The sample report: its documented readings, its clock changes and its faults."""

import csv
import io
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from statistics import mean
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from loader.sample import main, report
from tests.support.paths import ROOT

SHIPPED = ROOT / "Monitoring_report.csv"
MADRID = ZoneInfo("Europe/Madrid")

# id, date, then the columns in the report's order, as the API documents them
DOCUMENTED = """\
1 2019-08-01 00:00:00 1.21100 0.20000 5.15600 5.30600 -8.38200 121.95500 53.00300 0.85700
2 2019-08-01 00:15:00 1.29900 0.30000 5.29700 6.21500 -8.29500 121.13500 57.35200 0.04700
5 2019-08-01 01:00:00 1.71000 0.61000 9.42300 14.64400 -10.10200 122.01000 78.31200 0.86900
100 2019-08-02 00:45:00 3.20100 0.20000 11.44800 14.15700 -13.40000 121.33500 93.34600 0.07300
3937 2019-09-11 00:00:00 5.80000 0.00000 23.21600 23.35100 -16.68200 185.96900 129.17500 0.87300
3941 2019-09-11 01:00:00 4.50000 0.20000 17.23900 20.32200 -7.56100 186.71100 89.68300 0.89800
4073 2019-09-12 10:00:00 0.89900 0.60000 3.53700 4.12500 2.39500 184.09600 18.77900 0.95700
4074 2019-09-12 10:15:00 1.30100 1.00000 6.65800 11.75800 5.20600 183.93800 37.31300 0.95200
4075 2019-09-12 10:30:00 2.69900 1.09900 10.53400 11.58000 -1.08700 183.78300 64.51200 0.95200
"""

Reading = tuple[datetime, list[float | None]]


def parse(text: str) -> list[Reading]:
    """Local date and values of each line but the header."""
    rows = list(csv.reader(io.StringIO(text)))[1:]
    return [
        (
            datetime.strptime(row[0], "%d %b %Y %H:%M:%S"),  # noqa: DTZ007 - local by contract
            [float(value) if value else None for value in row[1:]],
        )
        for row in rows
    ]


def instants(readings: list[Reading], zone: ZoneInfo) -> list[datetime]:
    """The readings' dates in UTC; one that does not come after the last is the hour's repeat."""
    utc: list[datetime] = []
    for local, _ in readings:
        instant = local.replace(tzinfo=zone).astimezone(UTC)
        if utc and instant <= utc[-1]:
            instant = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
        utc.append(instant)
    return utc


@pytest.fixture(scope="module")
def sample() -> list[Reading]:
    return parse("".join(report()))


def test_no_option_writes_the_shipped_file_byte_for_byte() -> None:
    result = CliRunner().invoke(main)
    assert result.exit_code == 0
    assert result.stdout_bytes == SHIPPED.read_bytes()


def test_default_sample_spans_four_months_in_the_reports_format(sample: list[Reading]) -> None:
    lines = SHIPPED.read_bytes().decode().split("\n")
    assert lines[0] == (
        "Date,Energy (kWh),Reactive energy (kVArh),Power (kW),Maximeter (kW),"
        "Reactive power (kVAr),Voltage (V),Intensity (A),Power factor (φ)"
    )
    assert lines[1].startswith("1 Aug 2019 00:00:00,")
    assert lines[-2].startswith("30 Nov 2019 23:45:00,")
    assert lines[-1] == ""
    assert len(sample) == 11_716


def test_documented_readings_stand_at_their_ids(sample: list[Reading]) -> None:
    for line in DOCUMENTED.splitlines():
        number, day, clock, *values = line.split()
        assert sample[int(number) - 1] == (
            datetime.fromisoformat(f"{day} {clock}"),
            [float(value) for value in values],
        )


def test_documented_queries_find_their_counts(sample: list[Reading]) -> None:
    dates = [str(local) for local, _ in sample]
    whole_hours = {f"2019-09-11 0{hour}:00:00" for hour in range(10)}
    assert sum(text in whole_hours for text in dates) == 10
    assert sum("2019-09-11 10:45:00" <= text <= "2019-09-11 12:00:00" for text in dates) == 6
    assert sum(text.startswith("2019-10-27") for text in dates) == 100


def test_repeated_hour_stands_twice_in_order_with_different_values(sample: list[Reading]) -> None:
    at_two = [r for r in sample if (r[0].date(), r[0].hour) == (date(2019, 10, 27), 2)]
    assert [local.minute for local, _ in at_two] == [0, 15, 30, 45] * 2
    assert all(first[1] != second[1] for first, second in zip(at_two, at_two[4:], strict=False))


def test_skipped_hour_is_left_out() -> None:
    readings = parse("".join(report(92, start=date(2020, 3, 29))))
    assert sorted({local.hour for local, _ in readings}) == [0, 1, *range(3, 24)]
    assert {local.date() for local, _ in readings} == {date(2020, 3, 29)}


@settings(deadline=None)
@given(
    length=st.integers(0, 300),
    start=st.dates(date(1970, 1, 1), date(2199, 12, 1))
    | st.sampled_from([date(2019, 3, 30), date(2019, 10, 26), date(2011, 12, 29)]),
    zone=st.sampled_from(
        ["Europe/Madrid", "UTC", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"]
    ),
    interval=st.sampled_from([60, 900, 1800]),  # Lord Howe's clocks change by half an hour
)
def test_any_report_has_its_length_and_steps_evenly_through_utc(
    length: int, start: date, zone: str, interval: int
) -> None:
    readings = parse("".join(report(length, start=start, timezone=zone, interval=interval)))
    assert len(readings) == length
    utc = instants(readings, ZoneInfo(zone))
    assert {later - earlier for earlier, later in pairwise(utc)} <= {timedelta(seconds=interval)}


def test_gaps_are_followed_by_the_consumption_they_hid(sample: list[Reading]) -> None:
    lengths, length = [], 0
    for (_, before), (_, values) in pairwise(sample):
        assert values.count(None) in (0, 8)
        if None in values:
            length += 1
        elif None in before:
            lengths.append(length)
            energy, power = values[0], values[2]
            assert energy is not None
            assert power is not None
            assert energy > 1.5 * power / 4
            length = 0
    assert sorted(lengths) == [1, 1, 1, 1, 1, 1, 1, 2, 2, 5, 5, 92]
    november = {local.date() for local, values in sample if None in values and local.month == 11}
    assert {date(2019, 11, 13), date(2019, 11, 14)} < november


def test_long_gap_keeps_the_total(sample: list[Reading]) -> None:
    """The catch-up of a day is about what the same hours took a week before."""
    end = next(i for i, (local, _) in enumerate(sample) if local == datetime(2019, 11, 14, 15))  # noqa: DTZ001 - local
    catch_up = sample[end][1][0]
    week_before = [values[0] or 0 for _, values in sample[end - 672 - 92 : end - 672 + 1]]
    assert catch_up == pytest.approx(sum(week_before), rel=0.25)


def test_six_energies_without_a_gap_are_implausible(sample: list[Reading]) -> None:
    ratios = [
        values[0] / (values[3] / 4)
        for (_, before), (_, values) in pairwise(sample)
        if values[0] is not None and values[3] is not None and None not in before
    ]
    assert sum(ratio > 10 for ratio in ratios) == 6
    assert sum(ratio > 1.5 for ratio in ratios) == 6
    assert sum(ratio > 1 for ratio in ratios) > 300


def test_documented_days_have_no_faults(sample: list[Reading]) -> None:
    for local, values in sample:
        if local.date() in (date(2019, 9, 11), date(2019, 9, 12)):
            energy, _, _, maximeter, _, voltage, _, _ = values
            assert energy is not None
            assert maximeter is not None
            assert voltage
            assert energy < 1.5 * maximeter / 4


def test_columns_agree_with_each_other(sample: list[Reading]) -> None:
    present = [[v for v in values if v is not None] for _, values in sample if None not in values]
    for energy, reactive_energy, power, maximeter, _, voltage, intensity, factor in present:
        assert energy > 0
        assert reactive_energy >= 0
        assert 0 < power <= maximeter < 60
        assert voltage == 0 or 110 < voltage < 260
        assert 2 * power < intensity < 15 * power
        assert 0 < factor <= 1
    assert any(values[5] == 0 for values in present)
    assert mean(values[4] < 0 for values in present) > 0.5


def test_working_days_and_winter_use_more(sample: list[Reading]) -> None:
    def power(*, weekdays: range, hours: range, months: range = range(8, 12)) -> float:
        return mean(
            values[2]
            for local, values in sample
            if local.weekday() in weekdays and local.hour in hours and local.month in months
            if values[2] is not None
        )

    day, sunday = range(5), range(6, 7)
    noon, night = range(11, 14), range(6)
    assert power(weekdays=day, hours=noon) > 2 * power(weekdays=sunday, hours=night)
    assert power(weekdays=range(5, 6), hours=noon) > 2 * power(weekdays=sunday, hours=noon)
    all_day = {"weekdays": range(7), "hours": range(24)}
    assert power(**all_day, months=range(11, 12)) > 1.2 * power(**all_day, months=range(8, 9))


def test_energy_follows_the_interval() -> None:
    quarters, minutes = (
        sum(values[0] or 0 for _, values in parse("".join(report(n, interval=interval))))
        for n, interval in ((7 * 96, 900), (7 * 1440, 60))
    )
    assert minutes == pytest.approx(quarters, rel=0.1)


def test_another_start_has_no_documented_reading() -> None:
    lines = set(SHIPPED.read_text(encoding="utf-8").splitlines())
    other = "".join(report(300, start=date(2019, 7, 31))).splitlines()
    assert lines.intersection(other) == {other[0]}


def test_same_seed_gives_the_same_report_and_another_does_not() -> None:
    assert list(report(200, seed=7)) == list(report(200, seed=7))
    assert list(report(200, seed=7)) != list(report(200, seed=8))


def test_long_report_comes_a_day_at_a_time() -> None:
    header, *days = islice(report(10**12), 4)
    assert header.count("\n") == 1
    assert [day.count("\n") for day in days] == [96, 96, 96]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--timezone", "Europe/Madird", "'Europe/Madird' is not an IANA time zone"),
        ("--interval", "7", "7 seconds does not divide an hour"),
        ("--readings", "-1", "-1 is not in the range"),
        ("--start", "1 Aug", "does not match the format"),
        ("--start", "9999-12-30", "the dates are outside the years 1 to 9999"),
    ],
)
def test_wrong_option_is_named(option: str, value: str, message: str) -> None:
    result = CliRunner().invoke(main, [option, value])
    assert result.exit_code != 0
    assert message in result.stderr


def test_reader_that_leaves_early_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "loader.sample", "--readings", "1000000"]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"Date,")
        process.stdout.close()
        assert process.stderr.read() == b""
