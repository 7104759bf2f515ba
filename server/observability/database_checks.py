"""The part of the examination that asks the database."""

import stat
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from server.observability.findings import Finding, fail, ok, warn
from settings import MysqlUrl, Settings, SettingsError, SqliteUrl
from storage.backends.diagnostics import Diagnostics
from storage.common.errors import StorageError
from storage.factory import open_diagnostics

_LOADER = "Run `elecdata load REPORT.csv`, which creates what is missing."
_CLOCKS_APART = 2.0
_OLD = 40
"""Days after which readings count as old: reports come by the month."""


async def database_checks(settings: Settings) -> AsyncIterator[Finding]:
    """Looks at the database; where it cannot be reached, that is the only finding."""
    try:
        inspector = open_diagnostics(settings)
    except SettingsError as error:
        yield fail("database", str(error))
        return
    try:
        async for finding in _examined(settings, inspector):
            yield finding
    finally:
        await inspector.close()


async def _examined(settings: Settings, inspector: Diagnostics) -> AsyncIterator[Finding]:
    location = settings.database.location
    place = (
        str(location.path)
        if isinstance(location, SqliteUrl)
        else f"{location.host}:{location.port}/{location.name}"
    )
    started = time.perf_counter()
    try:
        await inspector.connect()
        milliseconds = (time.perf_counter() - started) * 1000
        cipher = await inspector.cipher()
        encrypted = "" if cipher is None else f", over TLS with {cipher}"
        found = f"{place} answers, after {milliseconds:.0f} ms{encrypted}"
        if cipher is None and isinstance(location, MysqlUrl) and not location.is_loopback:
            yield warn("database", f"{found}, in plain text", "Set database.tls.ca.")
        else:
            yield ok("database", found)
        for look in (_schema, _readings, _rights, _connections, _clock):
            yield await look(settings, inspector)
    except StorageError as error:
        yield fail("database", str(error))


async def _schema(_: Settings, inspector: Diagnostics) -> Finding:
    layout = await inspector.layout()
    seen = f"{layout.applied} of {layout.wanted} statements of the schema were applied"
    if layout.applied < layout.wanted:
        return warn("schema", seen, _LOADER)
    if layout.applied > layout.wanted:
        return fail("schema", f"{seen}: it is newer than this program", "Update the server.")
    return ok("schema", f"the newest layout, {layout.wanted} statements")


async def _readings(settings: Settings, inspector: Diagnostics) -> Finding:
    readings = await inspector.readings()
    if readings.newest is None:
        return warn("readings", "there are none yet", _LOADER)
    zone = settings.meter.timezone
    age = datetime.now(UTC) - readings.newest.replace(tzinfo=zone)
    found = f"{readings.count:,}, the newest of {readings.newest}, {_days(age.days)} old"
    if age.days > _OLD:
        return warn("readings", found, "Load newer reports, if there are any.")
    return ok("readings", found)


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"


async def _rights(settings: Settings, inspector: Diagnostics) -> Finding:
    location = settings.database.location
    if isinstance(location, SqliteUrl):
        mode = stat.S_IMODE(location.path.stat().st_mode)
        if mode & stat.S_IWOTH:
            remedy = f"chmod o-w {location.path}"
            return warn(
                "rights", f"every account of this machine can write {location.path}", remedy
            )
        return ok("rights", f"the file is opened for reading alone; its mode is {mode:o}")
    assert settings.database.reader is not None
    user = settings.database.reader.user
    rights = await inspector.rights_to_write()
    if rights:
        return warn(
            "rights",
            f"the account {user} can do more than read and revoke tokens: {', '.join(rights)}",
            "Name an account of its own in database.reader; the loader makes it.",
        )
    return ok("rights", f"the account {user} can read and revoke tokens, and nothing more")


async def _connections(settings: Settings, inspector: Diagnostics) -> Finding:
    most = await inspector.most_connections()
    workers = settings.server.workers
    wanted = settings.database.connections * workers
    found = f"up to {wanted} of this server"
    if most is None:
        return ok("connections", found)
    found += f", and the database takes {most}"
    if wanted >= most:
        remedy = "Lower database.connections or server.workers, or raise the database's limit."
        return fail("connections", found, remedy)
    return ok("connections", found)


async def _clock(settings: Settings, inspector: Diagnostics) -> Finding:
    before = time.time()
    theirs = await inspector.time()
    zone = settings.meter.timezone
    local = datetime.now(zone)
    known = f"in {zone} it is {local:%Y-%m-%d %H:%M} ({local:%Z})"
    if theirs is None:
        return ok("clock", known)
    apart = max(before - theirs, theirs - time.time(), 0)
    if apart > _CLOCKS_APART:
        return warn(
            "clock",
            f"this machine's and the database's are {apart:.0f} s apart",
            "Let both follow a time server.",
        )
    return ok("clock", f"{known}; the database agrees")
