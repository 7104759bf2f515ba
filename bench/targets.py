"""What was asked for, as ratios and limits, and what the measurements say about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.contenders import clickhouse, imports, limits, roapi, scripts
from bench.contenders.service import TITLES
from bench.measure import Comparison, Series

TOLERANCE = 1.1
MARIADB, SQLITE = TITLES["mariadb"], TITLES["sqlite"]


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the list: the asked value and the measured one, None where there is none."""

    item: int
    text: str
    asked: float
    value: float | None
    unit: str = ""
    at_least: bool = False
    binding: bool = True
    """Whether it was promised; the others are shown to decide by."""

    @property
    def reached(self) -> bool:
        """Whether the value is as asked."""
        return self._within(1)

    @property
    def missed(self) -> bool:
        """Whether a promise is broken by more than a tenth."""
        return self.binding and not self._within(TOLERANCE)

    def _within(self, tolerance: float) -> bool:
        if self.value is None:
            return False
        if self.at_least:
            return self.value * tolerance >= self.asked
        return self.value <= self.asked * tolerance


def streaming(comparisons: Mapping[int, Comparison], readings: int) -> list[Check]:
    """Items 1 and 2: getData of so many readings."""
    at = comparisons[readings].series

    def ratio(side: str, other: str) -> float | None:
        return _ratio(at.get(side), at.get(other))

    size = f"{readings:,}"
    return [
        _against_original(comparisons, readings),
        Check(
            1, f"getData of {size}, MariaDB / its client's dump", 0.9, ratio(MARIADB, limits.DUMP)
        ),
        *(
            Check(1, f"getData of {size}, MariaDB / {name}", 1, ratio(MARIADB, name))
            for name in (roapi.ROAPI, clickhouse.CLICKHOUSE)
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
                ratio(side, limits.DUMP),
                binding=False,
            )
            for how, side, share in (
                ("plain", MARIADB, 1 / 3),
                ("gzip", f"{MARIADB}, gzip", 1 / 10),
            )
        ),
    ]


def memory(comparisons: Mapping[int, Comparison]) -> list[Check]:
    """Item 3, as far as runs one by one show it."""
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
    """Item 6: imports of so many readings."""
    at = comparison.series

    def ratio(side: str, other: str) -> float | None:
        return _ratio(at.get(side), at.get(other))

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
    """Item 6: second imports of the same report."""
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
    """The original at this size, or else at the largest it was run at, scaled."""
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


def _ratio(side: Series | None, other: Series | None) -> float | None:
    if side is None or other is None:
        return None
    return side.seconds.median / other.seconds.median


def _peak(series: Series | None) -> float | None:
    return series.peak.median if series is not None and series.peak is not None else None


def missed(checks: Sequence[Check]) -> list[Check]:
    """The promises that are broken."""
    return [check for check in checks if check.missed]
