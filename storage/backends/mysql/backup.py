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

from settings import AccountSettings, MysqlUrl
from storage.backends.backup import next_counter, temporary_file
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.common.errors import Conflict, NotPrepared, Unreachable

_HOLDS_READINGS = b"CREATE TABLE `consumpdata`"
_END = b"-- Dump completed"
_END_BYTES = 200
"""Bytes that hold the end of a complete dump."""

_TABLES = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s"
_COUNTS = f"{_TABLES} AND table_name = 'access'"
_READINGS = f"{_TABLES} AND table_name = 'consumpdata'"
_FOREIGN_TRIGGERS = (
    "SELECT trigger_name FROM information_schema.triggers"
    " WHERE trigger_schema = %s AND definer <> CURRENT_USER() ORDER BY action_order"
)
_DEFINER = re.compile("^CREATE DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ")


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
            with temporary_file(file) as unfinished, unfinished.open("wb") as out:
                program = _program("mariadb-dump", "mysqldump")
                await self._run(program, *options, self._location.name, stdout=out)
        except FileExistsError:
            raise Conflict(f"{file} already exists") from None
        except OSError as error:
            raise Unreachable(f"{file} cannot be written: {error.strerror}") from error

    async def restore(self, file: Path) -> None:
        """Restore a backup into a database that must be empty or missing."""
        try:
            _require_whole(file)
            if await self._count(_TABLES):
                raise Conflict(
                    f"{self._location.name} is not empty; restore into an empty database"
                )
            await self._engine.execute(
                f"CREATE DATABASE IF NOT EXISTS `{self._location.name}`"
                " DEFAULT CHARACTER SET utf8mb4"
            )
            with file.open("rb") as backup:
                await self._run(_program("mariadb", "mysql"), self._location.name, stdin=backup)
            await self._engine.execute(f"USE `{self._location.name}`")
            await self._adopt_triggers()
            await self._invalidate_tokens()
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

    async def _invalidate_tokens(self) -> None:
        """Invalidate all tokens: some may have been revoked after the backup was made."""
        if not await self._count(_COUNTS):
            return
        for (changes,) in await self._engine.fetch("SELECT changes FROM access"):
            number = (next_counter(changes),)
            await self._engine.execute("UPDATE access SET changes = %s", number)
            await self._engine.execute("UPDATE users SET generation = %s", number)

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
                # MySQL's programs read this file whatever else they are told to read.
                env=os.environ | {"MYSQL_TEST_LOGIN_FILE": os.devnull},
                stdin=stdin or asyncio.subprocess.DEVNULL,
                stdout=stdout or asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            _, stderr = await process.communicate()
        if process.returncode:
            lines = stderr.decode(errors="replace").strip().splitlines()
            name = Path(program).name
            reason = lines[0].removeprefix(f"{name}: ") if lines else process.returncode
            raise Unreachable(f"{name} failed: {reason}")

    @contextmanager
    def _options(self, tls: Iterable[str]) -> Iterator[str]:
        """Yield a file with the only options of a program, which only this account can read.

        Everybody sees a command line, and the options of the machine and its user may differ.
        """
        descriptor, name = tempfile.mkstemp(prefix="elecdata-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(
                    f"[client]\nhost={quoted(self._location.host)}\nport={self._location.port}\n"
                    f"protocol=TCP\nuser={quoted(self._admin.user)}\n"
                    f"password={quoted(self._admin.password.get_secret_value())}\n"
                )
                file.writelines(f"{option}\n" for option in tls)
            yield name
        finally:
            Path(name).unlink()


def _require_whole(file: Path) -> None:
    """Raise NotPrepared if a file is no backup, or a part of one."""
    with file.open("rb") as backup:
        has_readings = any(_HOLDS_READINGS in line for line in backup)
        backup.seek(max(0, file.stat().st_size - _END_BYTES))
        if not has_readings or _END not in backup.read():
            raise NotPrepared(f"{file} is not a complete backup of such a database")


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


async def _is_mariadb(program: str) -> bool:
    """Whether a program is MariaDB's; what is called mysqldump may be either's."""
    process = await asyncio.create_subprocess_exec(
        program, "--no-defaults", "--version", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return b"MariaDB" in said
