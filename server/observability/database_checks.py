"""The checks of the database: connection, schema, meters, readings, privileges, clock."""

import shlex
import stat
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.observability.findings import Finding, fail, ok, warn
from settings import MysqlUrl, Settings, SettingsError, SqliteUrl
from storage.backends.diagnostics import Diagnostics, MetersCount
from storage.common.errors import StorageError
from storage.factory import open_diagnostics

_RUN_LOADER = "Run `elecdata load REPORT.csv`, which creates what is missing."
_MAX_CLOCK_DIFFERENCE = 2.0
"""Seconds."""

_MAX_ZONES = 3
"""Time zones that a finding names."""

_MAX_AGE_DAYS = 40
"""Days after which readings are old: reports are monthly."""


async def database_checks(settings: Settings) -> AsyncIterator[Finding]:
    """Yield the findings about the database; if it is unreachable, that is the only one."""
    try:
        diagnostics = open_diagnostics(settings)
    except SettingsError as error:
        yield fail("database", str(error))
        return
    try:
        async for finding in _check_database(settings, diagnostics):
            yield finding
    finally:
        await diagnostics.close()


async def _check_database(settings: Settings, diagnostics: Diagnostics) -> AsyncIterator[Finding]:
    location = settings.database.location
    place = (
        str(location.path)
        if isinstance(location, SqliteUrl)
        else f"{location.host}:{location.port}/{location.name}"
    )
    started = time.perf_counter()
    try:
        await diagnostics.connect()
        milliseconds = (time.perf_counter() - started) * 1000
        cipher = await diagnostics.cipher()
        encrypted = "" if cipher is None else f", over TLS with {cipher}"
        found = f"{place} responds after {milliseconds:.0f} ms{encrypted}"
        if cipher is None and isinstance(location, MysqlUrl) and not location.is_loopback:
            yield warn("database", f"{found}, unencrypted", "Set database.tls.ca.")
        else:
            yield ok("database", found)
        for check in (_schema, _meters, _readings, _rights, _connections, _clock):
            yield await check(settings, diagnostics)
    except StorageError as error:
        yield fail("database", str(error))


async def _schema(_: Settings, diagnostics: Diagnostics) -> Finding:
    layout = await diagnostics.layout()
    found = f"{layout.applied} of {layout.wanted} statements of the schema were applied"
    if layout.applied < layout.wanted:
        return warn("schema", found, _RUN_LOADER)
    if layout.applied > layout.wanted:
        return fail("schema", f"{found}: it is newer than this program", "Update the server.")
    return ok("schema", f"up to date, {layout.wanted} statements")


async def _meters(settings: Settings, diagnostics: Diagnostics) -> Finding:
    meters, default = await diagnostics.meters(), settings.meter.default
    timezone = settings.meter.timezone.key
    if not meters.count:
        return ok("meters", f"the first report registers one, in {timezone}")
    found = _in_zones(meters)
    if list(meters.zones) != [timezone]:
        found += f"; new ones will be in {timezone} (meter.timezone)"
    if unknown := ", ".join(meters.unknown_zones):
        return warn(
            "meters",
            f"{found}; this machine does not know the time zone {unknown}",
            "Update its time zones, such as the package tzdata.",
        )
    if not meters.public_ids:
        return ok("meters", found)
    if default is not None and not await diagnostics.has_meter(default):
        some = ", ".join(meters.public_ids) + (" ..." * (meters.count > len(meters.public_ids)))
        return warn(
            "meters",
            f"{found}; meter.default is {default}, which is not registered",
            f"Set meter.default to one of {some}, or remove it, or register the meter with"
            f" `elecdata load --meter {default} --register REPORT.csv`.",
        )
    if meters.count > 1:
        found += (
            "; requests have to name one, since meter.default is not set"
            if default is None
            else f"; requests that name none mean {default}"
        )
    return ok("meters", found)


def _in_zones(meters: MetersCount) -> str:
    """Return how many meters there are in each time zone, in words."""
    zones = list(meters.zones.items())
    parts = [f"{count:,} in {name}" for name, count in zones[:_MAX_ZONES]]
    others = sum(count for _, count in zones[_MAX_ZONES:])
    if others:
        parts.append(f"{others:,} in others")
    return f"{meters.count:,} meter{'s' * (meters.count != 1)}: {', '.join(parts)}"


async def _readings(settings: Settings, diagnostics: Diagnostics) -> Finding:
    now = datetime.now(UTC)
    readings = await diagnostics.readings(
        settings.meter.timezone, now - timedelta(days=_MAX_AGE_DAYS + 1)
    )
    if readings.newest is None:
        return warn("readings", "there are none yet", _RUN_LOADER)
    age = now - readings.newest
    newest = readings.newest.replace(tzinfo=None)
    found = f"{readings.count:,}, the newest of {newest}, {_days(age.days)} old"
    if age.days > _MAX_AGE_DAYS:
        return warn("readings", found, "Load newer reports, if there are any.")
    if silent := readings.silent_meters:
        have = f"{silent:,} meters have" if silent > 1 else "1 meter has"
        found += f"; {have} none of the last {_MAX_AGE_DAYS} days"
    return ok("readings", found)


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"


async def _rights(settings: Settings, diagnostics: Diagnostics) -> Finding:
    location = settings.database.location
    if isinstance(location, SqliteUrl):
        return _file_rights(location.path)
    assert settings.database.reader is not None
    user = settings.database.reader.user
    privileges = await diagnostics.rights_to_write()
    if privileges:
        return warn(
            "rights",
            f"the account {user} can do more than the server needs: {', '.join(privileges)}",
            "Run the loader, which takes back what it gave once, and revoke the rest; or name a "
            "separate account in database.reader, which the loader creates.",
        )
    return ok("rights", f"the account {user} can do what the server needs, and nothing more")


def _file_rights(path: Path) -> Finding:
    """Check who can read the file, which contains password hashes, and those that SQLite adds."""
    modes = {path: stat.S_IMODE(path.stat().st_mode)}
    for ending in ("-wal", "-shm"):
        file = path.with_name(path.name + ending)
        with suppress(FileNotFoundError):
            modes[file] = stat.S_IMODE(file.stat().st_mode)
    for right, may in ((stat.S_IWOTH, "write to"), (stat.S_IROTH, "read the password hashes in")):
        if files := [str(file) for file, mode in modes.items() if mode & right]:
            found = f"every account of this machine can {may} {', '.join(files)}"
            return warn("rights", found, f"chmod o= {shlex.join(files)}")
    return ok("rights", f"the file is opened read-only; its mode is {modes[path]:o}")


async def _connections(settings: Settings, diagnostics: Diagnostics) -> Finding:
    limit = await diagnostics.most_connections()
    workers = settings.server.workers
    wanted = settings.database.connections * workers
    found = f"up to {wanted} of this server"
    if limit is None:
        return ok("connections", found)
    found += f", and the database allows {limit}"
    if wanted >= limit:
        remedy = "Lower database.connections or server.workers, or raise the database's limit."
        return fail("connections", found, remedy)
    return ok("connections", found)


async def _clock(settings: Settings, diagnostics: Diagnostics) -> Finding:
    before = time.time()
    database_time = await diagnostics.time()
    zone = settings.meter.timezone
    local = datetime.now(zone)
    local_time = f"in {zone} it is {local:%Y-%m-%d %H:%M} ({local:%Z})"
    if database_time is None:
        return ok("clock", local_time)
    difference = max(before - database_time, database_time - time.time(), 0)
    if difference > _MAX_CLOCK_DIFFERENCE:
        return warn(
            "clock",
            f"this machine's and the database's are {difference:.0f} s apart",
            "Synchronize both with a time server.",
        )
    return ok("clock", f"{local_time}; the database agrees")
