"""Performance targets, as ratios and limits, checked against the measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.contenders import columnar, imports, limits, roapi, scripts
from bench.contenders.service import TITLES
from bench.measure import Comparison, Series

TOLERANCE = 1.1
MARIADB, SQLITE = TITLES["mariadb"], TITLES["sqlite"]


@dataclass(frozen=True, slots=True)
class Check:
    """A target and its measured value, None if it was not measured."""

    item: int
    text: str
    target: float
    value: float | None
    unit: str = ""
    at_least: bool = False
    binding: bool = True
    """Whether it was promised; the others are for comparison."""

    @property
    def reached(self) -> bool:
        """Whether the value meets the target."""
        return self._within(1)

    @property
    def missed(self) -> bool:
        """Whether a binding target is missed by more than a tenth."""
        return self.binding and not self._within(TOLERANCE)

    def _within(self, tolerance: float) -> bool:
        if self.value is None:
            return False
        if self.at_least:
            return self.value * tolerance >= self.target
        return self.value <= self.target * tolerance


def streaming(comparisons: Mapping[int, Comparison], readings: int) -> list[Check]:
    """Check items 1 and 2: getData of all readings."""
    at = comparisons[readings].series

    def ratio(contender: str, other: str) -> float | None:
        return _ratio(at.get(contender), at.get(other))

    size = f"{readings:,}"
    return [
        _against_original(comparisons, readings),
        Check(
            1, f"getData of {size}, MariaDB / its client's dump", 0.9, ratio(MARIADB, limits.DUMP)
        ),
        *(
            Check(1, f"getData of {size}, MariaDB / {name}", 1, ratio(MARIADB, name))
            for name in (roapi.ROAPI, *columnar.ANSWERS.values())
            if name in at
        ),
        Check(1, f"getData of {size}, SQLite / its shell's CSV", 1, ratio(SQLITE, limits.SHELL)),
        *_first_bytes(comparisons),
        *_growth(comparisons),
        *(
            Check(
                2,
                f"first getData of {size}, MariaDB, {how} / its client's dump",
                share * 0.9,
                ratio(contender, limits.DUMP),
                binding=False,
            )
            for how, contender, share in (
                ("plain", MARIADB, 1 / 3),
                ("gzip", f"{MARIADB}, gzip", 1 / 10),
            )
        ),
    ]


def memory(comparisons: Mapping[int, Comparison]) -> list[Check]:
    """Check item 3, as far as single runs show it."""
    sizes = sorted(comparisons)
    checks = []
    for name in (MARIADB, SQLITE):
        peaks = [_peak(comparisons[size].series.get(name)) for size in (sizes[0], sizes[-1])]
        low, high = peaks
        difference = None if low is None or high is None else high - low
        text = f"peak memory, {name}: {sizes[-1]:,} readings - {sizes[0]:,}"
        checks.append(Check(3, text, 16, difference, " MiB"))
    return checks


def importing(comparison: Comparison, readings: int) -> list[Check]:
    """Check item 6: first imports."""
    at = comparison.series

    def ratio(contender: str, other: str) -> float | None:
        return _ratio(at.get(contender), at.get(other))

    first = imports.FIRST
    size = f"import of {readings:,}"
    return [
        Check(6, f"{size}, MariaDB / LOAD DATA", 1.3, ratio(first["mariadb"], imports.LOAD_DATA)),
        Check(6, f"{size}, SQLite / .import", 4, ratio(first["sqlite"], imports.SHELL_IMPORT)),
        *(
            Check(6, f"{size}, {title}: the loader's peak", 200, _peak(at.get(name)), " MiB")
            for title, name in (("MariaDB", first["mariadb"]), ("SQLite", first["sqlite"]))
        ),
    ]


def importing_again(comparison: Comparison, readings: int) -> list[Check]:
    """Check item 6: second imports of the same report."""
    at = comparison.series
    return [
        Check(
            6,
            f"import of {readings:,}, {title}: again / first",
            1,
            _ratio(at.get(imports.AGAIN[engine]), at.get(imports.FIRST[engine])),
        )
        for engine, title in (("mariadb", "MariaDB"), ("sqlite", "SQLite"))
    ]


def _against_original(comparisons: Mapping[int, Comparison], readings: int) -> Check:
    """Compare with the original at this size, or at the largest that it was run at, scaled."""
    ours = comparisons[readings].series.get(MARIADB)
    sizes = [
        size
        for size in sorted(comparisons)
        if size <= readings and scripts.ORIGINAL in comparisons[size].series
    ]
    text = f"getData of {readings:,}: the original / this service, MariaDB"
    if ours is None or not sizes:
        return Check(1, text, 35, None, at_least=True)
    original = comparisons[sizes[-1]].series[scripts.ORIGINAL].seconds.median
    scale = readings / sizes[-1]
    if scale > 1:
        text += f" (the original's {sizes[-1]:,} times {scale:g})"
    return Check(1, text, 35, original * scale / ours.seconds.median, at_least=True)


def _first_bytes(comparisons: Mapping[int, Comparison]) -> list[Check]:
    checks = []
    for size, comparison in sorted(comparisons.items()):
        for name in (MARIADB, SQLITE):
            series = comparison.series.get(name)
            if series is not None and series.first_byte is not None:
                value = series.first_byte.median * 1000
                checks.append(Check(1, f"first byte of {size:,}, {name}", 20, value, " ms"))
    return checks


def _growth(comparisons: Mapping[int, Comparison]) -> list[Check]:
    checks = []
    for size in sorted(comparisons):
        tenth = comparisons.get(size // 10)
        if size < 10_000_000 or tenth is None:
            continue
        for name in (MARIADB, SQLITE):
            ratio = _ratio(comparisons[size].series.get(name), tenth.series.get(name))
            text = f"{size:,} / {size // 10:,}, {name}"
            checks.append(Check(1, text, 11, ratio))
    return checks


def _ratio(contender: Series | None, other: Series | None) -> float | None:
    if contender is None or other is None:
        return None
    return contender.seconds.median / other.seconds.median


def _peak(series: Series | None) -> float | None:
    return series.peak.median if series is not None and series.peak is not None else None


def missed(checks: Sequence[Check]) -> list[Check]:
    """Return the binding targets that are missed."""
    return [check for check in checks if check.missed]
