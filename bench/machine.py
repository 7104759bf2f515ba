"""The machine that the measurements were made on."""

import os
import platform
import re
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.paths import SERVICE_PYTHON, MissingError, program

PACKAGES = ("aiohttp", "aiomysql", "uvloop")
PEERS = ("flask", "datasette", "roapi", "chdb", "duckdb")


def facts() -> dict[str, str]:
    """Return cores, memory and versions, by name."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": _system(),
        "Python": platform.python_version(),
        "MariaDB": _first_number("mariadb", "--version", after=r"(?:Distrib|from) "),
        "SQLite, in Python": sqlite3.sqlite_version,
        "SQLite, the shell": _first_number("sqlite3", "--version"),
        **_of_the_service(),
        **{name: version(name) for name in PEERS},
    }


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _of_the_service() -> dict[str, str]:
    """Return the versions of the service's dependencies."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    versions = _output(str(SERVICE_PYTHON), "-c", code, *PACKAGES).split()
    return dict(zip(PACKAGES, versions, strict=True))


def _first_number(name: str, option: str, after: str = "") -> str:
    try:
        found = re.search(rf"{after}(\d[\d.]+)", _output(program(name), option))
    except MissingError:
        return "not installed"
    return found[1] if found else "unknown"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
