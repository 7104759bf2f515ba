"""The plot: time and peak memory against the number of readings."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.contenders import columnar, datasette, limits, roapi, scripts
from bench.measure import Comparison, Series
from bench.targets import MARIADB, SQLITE

# From the slowest to the fastest, as a rule; limits are dashed.
SHOWN = {
    scripts.ORIGINAL: ("tab:brown", "-"),
    datasette.CSV: ("tab:pink", "-"),
    datasette.JSON: ("tab:purple", "-"),
    scripts.PLAIN: ("tab:olive", "-"),
    roapi.ROAPI: ("tab:orange", "-"),
    columnar.ANSWERS["chdb"]: ("goldenrod", "-"),
    columnar.ANSWERS["duckdb"]: ("tab:green", "-"),
    SQLITE: ("tab:cyan", "-"),
    MARIADB: ("tab:blue", "-"),
    limits.DUMP: ("gray", "--"),
    limits.SHELL: ("silver", "--"),
    limits.BARE: ("black", ":"),
}


def draw(files: list[Path], answers: Mapping[int, Comparison]) -> None:
    """Write the plot to files, in the formats of their names."""
    plt.switch_backend("Agg")
    mpl.rcParams["svg.hashsalt"] = "elecdata"
    figure, (times, memory) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    _lines(times, answers, lambda series: series.seconds.median)
    _lines(memory, answers, lambda series: series.peak.median if series.peak else None)
    times.set_title("getData, nothing cached: seconds")
    memory.set_title("Peak memory of the server: MiB")
    for axes in (times, memory):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("readings")
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.legend(*times.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    for file in files:
        kind = file.suffix.removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=120, metadata=metadata)
    plt.close(figure)


def _lines(
    axes: plt.Axes,
    answers: Mapping[int, Comparison],
    value: Callable[[Series], float | None],
) -> None:
    for name, (colour, style) in SHOWN.items():
        points = [
            (size, found)
            for size, comparison in sorted(answers.items())
            if name in comparison.series and (found := value(comparison.series[name])) is not None
        ]
        if points:
            axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=name)
