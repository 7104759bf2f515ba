"""Backups of MySQL and MariaDB, by the database's own programs."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from files.creating import new_file
from files.regular import open_regular
from settings import AccountSettings, MysqlUrl
from storage.backends.backup import new_state, next_counter
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.common.errors import Conflict, NotPrepared, Unreachable

_HOLDS_READINGS = (b"CREATE TABLE `readings`", b"CREATE TABLE `consumpdata`")
"""A table of the readings, of this layout or an older one."""
_END = b"-- Dump completed"
_END_BYTES = 200
"""Bytes that hold the end of a complete dump."""

_LENIENT_VARIABLES = {
    *("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "LIBMYSQL_PLUGINS", "LIBMYSQL_PLUGIN_DIR"),
    "MARIADB_PLUGIN_DIR",
}

BINARY_MODE = "--binary-mode"
"""The option of a client that leaves it no commands but DELIMITER."""
SANDBOX = "--sandbox"
"""The option of MariaDB's clients since 2024 that forbids commands and files once more."""

_TABLES = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s"
_COUNTS = f"{_TABLES} AND table_name = 'access'"
_READINGS = f"{_TABLES} AND table_name IN ('readings', 'consumpdata')"
_STATES = f"{_TABLES} AND table_name = 'states'"
_FOREIGN_TRIGGERS = (
    "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = %s AND definer <> CURRENT_USER() ORDER BY action_order"
)
_FOREIGN_VIEWS = (
    "SELECT table_name FROM information_schema.views"
    " WHERE table_schema = %s AND definer <> CURRENT_USER()"
)
_DEFINER = re.compile("^CREATE (ALGORITHM=[A-Z]+ )?DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


class MysqlBackup:
    """A database on a server, dumped as SQL in one transaction."""

    def __init__(
        self,
        location: MysqlUrl,
        admin: AccountSettings,
        engine: MysqlWriteEngine,
        *,
        ca: Path | None,
    ) -> None:
        self._location = location
        self._admin = admin
        self._engine = engine
        self._ca = ca

    async def backup(self, file: Path) -> None:
        """Write all that is committed into a new file that only its owner can read."""
        if not await self._count(_READINGS):
            raise NotPrepared(f"{self._location.name} holds no readings")
        options = ["--single-transaction", "--quick", "--hex-blob", "--triggers", "--comments"]
        options += ["--no-tablespaces", "--default-character-set=utf8mb4"]
        try:
            with new_file(file) as out:
                program = _program("mariadb-dump", "mysqldump")
                await self._run(program, *options, self._location.name, stdout=out)
        except FileExistsError:
            raise Conflict(f"{file} already exists") from None
        except OSError as error:
            raise Unreachable(f"{file} cannot be written: {error.strerror}") from error

    async def restore(self, file: Path) -> None:
        """Restore a backup into a database that must be empty or missing."""
        try:
            with open_regular(file) as backup:
                _require_whole(backup, file)
                if await self._count(_TABLES):
                    raise Conflict(
                        f"{self._location.name} is not empty; restore into an empty database"
                    )
                await self._engine.execute(
                    f"CREATE DATABASE IF NOT EXISTS `{self._location.name}`"
                    " DEFAULT CHARACTER SET utf8mb4"
                )
                program = _program("mariadb", "mysql")
                options = await _confinement(program)
                await self._run(program, *options, self._location.name, stdin=backup)
            await self._engine.execute(f"USE `{self._location.name}`")
            await self._adopt_triggers()
            await self._adopt_views()
            await self._invalidate_tokens()
            await self._rename_state()
        except OSError as error:
            raise Unreachable(f"{file} cannot be read: {error.strerror}") from error

    async def _adopt_triggers(self) -> None:
        """Let triggers run as this account: the one that made them may not exist here."""
        rows = await self._engine.fetch(_FOREIGN_TRIGGERS, (self._location.name,))
        for (name,) in rows:
            made = await self._engine.fetch(f"SHOW CREATE TRIGGER `{name}`")
            statement = _DEFINER.sub("CREATE ", made[0][2])
            await self._engine.execute(f"DROP TRIGGER `{name}`")
            await self._engine.execute(statement)

    async def _adopt_views(self) -> None:
        """Let views be this account's, likewise."""
        for (name,) in await self._engine.fetch(_FOREIGN_VIEWS, (self._location.name,)):
            made = await self._engine.fetch(f"SHOW CREATE VIEW `{name}`")
            await self._engine.execute(_DEFINER.sub("CREATE OR REPLACE ", made[0][1]))

    async def _invalidate_tokens(self) -> None:
        """Invalidate all tokens: some may have been revoked after the backup was made."""
        if not await self._count(_COUNTS):
            return
        for (changes,) in await self._engine.fetch("SELECT changes FROM access"):
            number = (next_counter(changes),)
            await self._engine.execute("UPDATE access SET changes = %s", number)
            await self._engine.execute("UPDATE users SET generation = %s", number)

    async def _rename_state(self) -> None:
        """Give each meter another version, so that no client keeps answers of another state."""
        if await self._count(_STATES):
            await self._engine.execute(f"USE `{self._location.name}`")
            await self._engine.execute(
                "UPDATE states SET version = MD5(CONCAT(%s, meter_id)), corrections = %s",
                new_state(),
            )

    async def _count(self, sql: str) -> int:
        await self._engine.open()
        rows = await self._engine.fetch(sql, (self._location.name,))
        return int(rows[0][0])

    async def _run(
        self,
        program: str,
        *args: str,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> None:
        with self._options(tls_options(self._ca, is_mariadb=await _is_mariadb(program))) as options:
            process = await asyncio.create_subprocess_exec(
                program,
                f"--defaults-file={options}",
                *args,
                env=_environment(),
                stdin=stdin or asyncio.subprocess.DEVNULL,
                stdout=stdout or asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            _, stderr = await process.communicate()
        if process.returncode:
            lines = stderr.decode(errors="replace").strip().splitlines()
            name = Path(program).name
            # A client quotes the statement before the error.
            lines = [line for line in lines if line.startswith("ERROR")] or lines
            reason = lines[0].removeprefix(f"{name}: ") if lines else process.returncode
            raise Unreachable(f"{name} failed: {reason}")

    @contextmanager
    def _options(self, tls: Iterable[str]) -> Iterator[str]:
        """Yield a file with the only options of a program, which only this account can read.

        Everybody sees a command line, and the options of the machine and its user may differ.
        """
        with tempfile.TemporaryDirectory(prefix="elecdata-") as folder:
            file = Path(folder, "options")
            lines = [
                "[client]",
                f"host={quoted(self._location.host)}",
                f"port={self._location.port}",
                "protocol=TCP",
                f"user={quoted(self._admin.user)}",
                f"password={quoted(self._admin.password.get_secret_value())}",
                *tls,
            ]
            if self._ca is None:
                # Login methods that show the password are plugins: from here, none can be loaded.
                lines.append(f"plugin-dir={quoted(folder)}")
            file.write_text("".join(f"{line}\n" for line in lines))
            yield str(file)


def _require_whole(backup: IO[bytes], file: Path) -> None:
    """Raise NotPrepared if a file is no backup, or a part of one; rewind it."""
    has_readings = any(table in line for line in backup for table in _HOLDS_READINGS)
    size = backup.seek(0, os.SEEK_END)
    backup.seek(max(0, size - _END_BYTES))
    if not has_readings or _END not in backup.read():
        raise NotPrepared(f"{file} is not a complete backup of such a database")
    backup.seek(0)


def tls_options(ca: Path | None, *, is_mariadb: bool) -> list[str]:
    """Return the options by which the client programs use TLS as the connections here do.

    The programs of MariaDB and of MySQL name them differently, and stop at an unknown one.
    """
    if ca is None:
        return ["skip-ssl"] if is_mariadb else ["ssl-mode=DISABLED", "get-server-public-key"]
    verify = "ssl-verify-server-cert" if is_mariadb else "ssl-mode=VERIFY_IDENTITY"
    return [f"ssl-ca={quoted(str(ca))}", verify, "tls-version=TLSv1.2,TLSv1.3"]


def quoted(text: str) -> str:
    """Return a value as option files have it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise Unreachable(f"{' or '.join(names)} is not installed")
    return found


def _environment() -> dict[str, str]:
    """Return the environment without what makes programs of the database less strict."""
    strict = {name: v for name, v in os.environ.items() if name not in _LENIENT_VARIABLES}
    # MySQL's programs read this file whatever else they are told to read.
    return strict | {"MYSQL_TEST_LOGIN_FILE": os.devnull}


async def _confinement(program: str) -> list[str]:
    """Return the options by which a client runs nothing but SQL, whatever a backup contains.

    A client that knows no binary mode stops at the option.
    """
    options = [BINARY_MODE, "--local-infile=0"]
    has_sandbox = SANDBOX.encode() in await _output(program, "--help")
    return [*options, SANDBOX] if has_sandbox else options


async def _is_mariadb(program: str) -> bool:
    """Whether a program is MariaDB's; what is called mysqldump may be either's."""
    return b"MariaDB" in await _output(program, "--version")


async def _output(program: str, option: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        program, "--no-defaults", option, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said
