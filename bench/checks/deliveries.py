"""Item 9: a delivery of many meters, against as many readings of one meter in the same format."""

import statistics

from bench.fleets import Fleet
from bench.measure import Sample
from bench.targets import Check
from bench.workspace import ENGINES, Engine, Workspace

ROUNDS = 2
READINGS_A_DAY = 96
HOURS = 24

_FORMS = {False: "a file each", True: "one file"}


def deliveries(workspace: Workspace, meters: int) -> list[Check]:
    """Check the time of loading a delivery in both forms on both databases."""
    return [
        check
        for engine in ENGINES
        for in_one_file in _FORMS
        for check in _delivery(workspace, engine, meters, in_one_file=in_one_file)
    ]


def _delivery(
    workspace: Workspace, engine: Engine, meters: int, *, in_one_file: bool
) -> list[Check]:
    # So many days of hours are as many readings as one day of quarters.
    days = READINGS_A_DAY // HOURS if in_one_file else 1
    many = Fleet("delivery", meters, days, in_one_file)
    one = Fleet("delivery_of_one", 1, meters * days, in_one_file)
    runs: dict[Fleet, list[Sample]] = {many: [], one: []}
    for _ in range(ROUNDS):
        for fleet, samples in runs.items():
            workspace.register(engine, fleet)
            seconds, peak = workspace.deliver(engine, fleet, fleet)
            samples.append(Sample(seconds, peak=peak))
    seconds, alone = (
        statistics.median(sample.seconds for sample in samples) for samples in runs.values()
    )
    # Some meters have fewer readings, and readings are missing now and then.
    ratio = (seconds / many.readings) / (alone / one.readings)
    text = (
        f"{many.readings:,} readings of {meters:,} meters, {_FORMS[in_one_file]}, {engine}:"
        f" {seconds:.1f} s / {one.readings:,} of one meter: {alone:.1f} s, for each reading"
    )
    memory, memory_alone = (
        max(sample.peak or 0 for sample in samples) for samples in runs.values()
    )
    return [
        Check(9, text, 1.5, ratio),
        Check(
            9,
            f"the loader's peak, {meters:,} meters - one, {_FORMS[in_one_file]}, {engine}",
            32,
            memory - memory_alone,
            " MiB",
            binding=False,
        ),
    ]
