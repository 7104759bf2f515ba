"""Writing the results as JSON and Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.contenders import columnar, datasette, limits, roapi, scripts
from bench.measure import SLOW_SECONDS, Comparison, Spread
from bench.suites import Outcome
from bench.targets import MARIADB, SQLITE, Check

_README_TABLE = "| | seconds | first byte, ms | server's peak, MiB |\n|---|---|---|---|\n"
_README_CONTENDERS = {
    MARIADB,
    f"{MARIADB}, gzip",
    SQLITE,
    limits.DUMP,
    roapi.ROAPI,
    *columnar.ANSWERS.values(),
    datasette.JSON,
    scripts.PLAIN,
    scripts.ORIGINAL,
}


def write_json(file: Path, outcome: Outcome, machine: Mapping[str, str]) -> None:
    """Write all numbers."""
    results = {
        "machine": machine,
        "answers": {str(n): _numbers(found) for n, found in outcome.answers.items()},
        "imports": {str(n): _numbers(found) for n, found in outcome.imports.items()},
        "checks": [
            asdict(check) | {"reached": check.reached, "missed": check.missed}
            for check in outcome.checks
        ],
    }
    file.write_text(json.dumps(results, indent=2) + "\n")


def write_markdown(file: Path, outcome: Outcome, machine: Mapping[str, str]) -> None:
    """Write all tables."""
    sizes = sorted(outcome.answers)
    parts = [
        *(_answers(size, outcome.answers[size]) for size in reversed(sizes)),
        *(_imports(size, outcome.imports[size]) for size in sorted(outcome.imports, reverse=True)),
        "#### Asked and reached\n\n" + checks_table(outcome.checks),
        "Measured on: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".",
        (
            "Medians, with the lowest and highest run in brackets; a side that takes longer than"
            f" {SLOW_SECONDS:g} s is run once. The ratio is to the first line. Servers are started"
            " anew for every run and asked over the loopback interface. Their peak memory is theirs"
            " alone, without the database's, from the moment that they are ready and logged in to."
            " Datasette and roapi serve a table of decimal texts, made from the service's; chDB and"
            " DuckDB load the report into a typed table of their own, without checks; sqlite3 -csv"
            " writes whole hundred-thousandths, as they are stored."
        ),
    ]
    file.write_text("\n\n".join(parts) + "\n")


def write_readme(file: Path, comparison: Comparison) -> None:
    """Replace the rows of the README's table, the fastest first."""
    before, heading, rest = file.read_text().partition(_README_TABLE)
    assert heading, "the README has another table than this one"
    _, _, after = rest.partition("\n\n")
    shown = [item for item in comparison.series.items() if item[0] in _README_CONTENDERS]
    shown.sort(key=lambda item: item[1].seconds.median)
    rows = [
        f"| {name} | {_brief(series.seconds.median)} | {_whole(_median(series.first_byte, 1000))}"
        f" | {_whole(_median(series.peak))} |"
        for name, series in shown
    ]
    table = "\n".join(rows)
    file.write_text(f"{before}{heading}{table}\n\n{after}")


def checks_table(checks: Sequence[Check]) -> str:
    """Return a Markdown table of targets and measured values."""
    lines = ["| item | | asked | measured | |", "|---|---|---|---|---|"]
    for check in sorted(checks, key=lambda check: check.item):
        sign = "≥" if check.at_least else "≤"
        target = f"{sign} {_short(check.target)}{check.unit}"
        value = "none" if check.value is None else f"{_short(check.value)}{check.unit}"
        verdict = "reached" if check.reached else "not reached"
        if not check.binding:
            verdict = "for comparison"
        lines.append(f"| {check.item} | {check.text} | {target} | {value} | {verdict} |")
    return "\n".join(lines)


def _numbers(comparison: Comparison) -> dict[str, object]:
    return {
        "contenders": {
            name: {
                "seconds": asdict(series.seconds),
                "first_byte": _as_dict(series.first_byte),
                "peak_mib": _as_dict(series.peak),
                "bytes": series.size,
            }
            for name, series in comparison.series.items()
        },
        "left_out": comparison.left_out,
    }


def _as_dict(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else asdict(spread)


def _answers(size: int, comparison: Comparison) -> str:
    lines = [
        f"#### {size:,} readings\n",
        "| | time, s | ratio | first byte, ms | peak, MiB | sent, MB |",
        "|---|---|---|---|---|---|",
    ]
    ours = comparison.series.get(MARIADB)
    for name, series in comparison.series.items():
        ratio = series.seconds.median / ours.seconds.median if ours else None
        lines.append(
            f"| {name} | {_spread(series.seconds)} | {_short(ratio)}"
            f" | {_short(_median(series.first_byte, 1000))} | {_short(_median(series.peak))}"
            f" | {_short(series.size / 1e6 if series.size else None)} |"
        )
    return "\n".join([*lines, *_left_out(comparison)])


def _imports(size: int, comparison: Comparison) -> str:
    lines = [
        f"#### Import of {size:,} readings\n",
        "| | time, s | peak, MiB |",
        "|---|---|---|",
    ]
    for name, series in comparison.series.items():
        lines.append(f"| {name} | {_spread(series.seconds)} | {_short(_median(series.peak))} |")
    return "\n".join([*lines, *_left_out(comparison)])


def _left_out(comparison: Comparison) -> list[str]:
    if not comparison.left_out:
        return []
    reasons = "; ".join(f"{name} ({reason})" for name, reason in comparison.left_out.items())
    return [f"\nLeft out: {reasons}."]


def _median(spread: Spread | None, factor: float = 1) -> float | None:
    return None if spread is None else spread.median * factor


def _spread(spread: Spread) -> str:
    text = _short(spread.median)
    return text if spread.runs == 1 else f"{text} ({_short(spread.low)}-{_short(spread.high)})"


def _brief(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    """Three digits, or all of a larger number."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
