"""Random sequences of `elecdata meters` and `elecdata load` do what a model of meters does."""

import csv
import io
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from elecdata import main
from tests.support.databases import DatabaseFixture
from tests.support.report_factory import report, row

pytestmark = pytest.mark.promise("Bad nights")

START = datetime(2019, 10, 26, tzinfo=UTC)
INTERVAL = 900
READINGS = 8
"""Of a report, enough to tell the interval."""

# So few that they are often taken, and that some are names of either kind.
PUBLIC_IDS = st.sampled_from(["a", "b", "c", "x"])
IDENTIFIERS = st.sampled_from(["x", "y", ""])
NAMES = st.sampled_from(["a", "b", "c", "x", "y"])
ZONES = st.sampled_from(["Europe/Madrid", "Asia/Kolkata"])
INTERVALS = st.sampled_from(["900", "3600", ""])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "public-id": PUBLIC_IDS,
        "identifier": IDENTIFIERS,
        "timezone": ZONES,
        "interval": INTERVALS,
        "replaced-by": st.one_of(NAMES, st.just("")),
    },
)
COMMANDS: st.SearchStrategy[tuple[str, str, Any]] = st.one_of(
    st.tuples(
        st.just("add"),
        PUBLIC_IDS,
        st.fixed_dictionaries({}, optional={"identifier": IDENTIFIERS, "timezone": ZONES}),
    ),
    st.tuples(st.just("change"), NAMES, CHANGES.filter(bool)),
    st.tuples(st.just("load"), NAMES, st.integers(0, 20)),
    st.tuples(st.just("remove"), NAMES, st.just({})),
)


@dataclass(frozen=True)
class Meter:
    """What a meter is to be like."""

    public_id: str
    identifier: str | None = None
    timezone: str = "Europe/Madrid"
    interval: int | None = None
    replaced_by: "int | None" = None
    readings: dict[datetime, int] = field(default_factory=dict)
    """The energy of the readings, by their starts, in the order of their ids."""


class Model:
    """Meters, each by a number that it keeps."""

    def __init__(self) -> None:
        self.meters: dict[int, Meter] = {}
        self._numbers = iter(range(1, 1000))
        self._energies = 0

    def apply(self, command: str, name: str, options: Any) -> bool:
        """Return whether a command is to succeed, and do what it does."""
        known = self._find(name)
        if command == "add":
            properties: dict[str, Any] = {key: value or None for key, value in options.items()}
            return self._add(Meter(name, **properties))
        if command == "load":
            return self._load(known or self._register(name), options)
        if known is None:
            return False
        if command == "change":
            return self._change(known, options)
        del self.meters[known]
        for number, meter in self.meters.items():
            if meter.replaced_by == known:
                self.meters[number] = replace(meter, replaced_by=None)
        return True

    def report(self, first: int) -> str:
        """A report of readings that no other one has."""
        rows = []
        for number in range(READINGS):
            self._energies += 1
            moment = START + timedelta(seconds=INTERVAL) * (first + number)
            rows.append(row(moment.isoformat(), str(self._energies)))
        return report(*rows)

    def _find(self, name: str) -> int | None:
        for attribute in ("public_id", "identifier"):
            for number, meter in self.meters.items():
                if getattr(meter, attribute) == name:
                    return number
        return None

    def _register(self, name: str) -> int:
        number = next(self._numbers)
        self.meters[number] = Meter(name)
        return number

    def _is_free(self, meter: Meter, own: int | None = None) -> bool:
        names = {meter.public_id, meter.identifier} - {None}
        others = [other for number, other in self.meters.items() if number != own]
        return not names & {
            each for other in others for each in (other.public_id, other.identifier)
        }

    def _add(self, meter: Meter) -> bool:
        if self._is_free(meter):
            self.meters[next(self._numbers)] = meter
            return True
        return False

    def _load(self, number: int, first: int) -> bool:
        """Load a report, whose readings tell the interval, whatever was said before them."""
        meter = self.meters[number]
        energies = range(self._energies - READINGS + 1, self._energies + 1)
        for at, energy in enumerate(energies, first):
            meter.readings[START + timedelta(seconds=INTERVAL) * at] = energy
        self.meters[number] = replace(meter, interval=INTERVAL)
        return True

    def _change(self, number: int, options: dict[str, str]) -> bool:
        meter = self.meters[number]
        new: dict[str, Any] = {
            name.replace("-", "_"): value or None for name, value in options.items()
        }
        if new.get("interval"):
            new["interval"] = int(new["interval"])
        if new.get("replaced_by"):
            later = self._find(new["replaced_by"])
            new["replaced_by"] = later
            while later is not None and later != number:
                later = self.meters[later].replaced_by
            if new["replaced_by"] is None or later == number:
                return False
        changed = replace(meter, **new)
        fixed = (changed.timezone, changed.interval) == (meter.timezone, meter.interval)
        # A name that stays as it was may have become another meter's by a load.
        renamed = Meter(new.get("public_id") or meter.public_id, new.get("identifier"))
        if not self._is_free(renamed, number) or (meter.readings and not fixed):
            return False
        self.meters[number] = changed
        return True


def run(database: DatabaseFixture, *args: str) -> Result:
    command = ["--config", str(database.config)]
    return CliRunner().invoke(main, [args[0], *command, *args[1:]])


def listed(database: DatabaseFixture) -> list[dict[str, Any]]:
    result = run(database, "meters", "list", "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]


def exported(database: DatabaseFixture, meter: str) -> list[tuple[datetime, int]]:
    """The instants and energies of a meter's readings, in the order of their ids."""
    result = run(database, "meters", "export", meter, "-")
    assert result.exit_code == 0, result.output
    rows = list(csv.reader(io.StringIO(result.stdout)))[1:]
    return [(datetime.fromisoformat(time).astimezone(UTC), int(float(e))) for time, e, *_ in rows]


@pytest.mark.parametrize("examples", [12, pytest.param(150, marks=pytest.mark.trust)])
def test_commands_do_what_a_model_does(database: DatabaseFixture, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(st.lists(COMMANDS, min_size=4, max_size=12))
    @example([("add", "a", {}), ("change", "a", {"interval": "3600"}), ("load", "a", 0)])
    def check(commands: list[tuple[str, str, Any]]) -> None:
        for meter in listed(database):
            assert run(database, "meters", "remove", meter["meter"], "--yes").exit_code == 0
        model = Model()
        for command, name, options in commands:
            if command == "load":
                path = database.file(model.report(options))
                result = run(database, "load", "--meter", name, "--register", path)
            else:
                texts = [f"--{key}={value}" for key, value in options.items()]
                yes = ["--yes"] if command == "remove" else []
                result = run(database, "meters", command, name, *texts, *yes)
            succeeds = model.apply(command, name, options)
            assert (result.exit_code == 0) == succeeds, (command, name, options, result.output)
        check_meters(database, model)

    # The first one makes the database.
    assert run(database, "meters", "add", "a").exit_code == 0
    check()


def check_meters(database: DatabaseFixture, model: Model) -> None:
    """Compare the meters of a database, and their readings, with a model."""
    known = {meter.public_id: meter for meter in model.meters.values()}
    found = listed(database)
    assert [each["meter"] for each in found] == sorted(known)
    for each in found:
        meter = known[each["meter"]]
        later = model.meters[meter.replaced_by].public_id if meter.replaced_by else None
        assert each["identifier"] == meter.identifier
        assert each["timezone"] == meter.timezone
        assert each["interval"] == meter.interval
        assert each["replaced_by"] == later
        assert each["readings"] == len(meter.readings)
        assert exported(database, meter.public_id) == list(meter.readings.items())
