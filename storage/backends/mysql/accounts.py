"""The server's account on MySQL or MariaDB, and its rights."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pymysql.constants import ER
from pymysql.err import MySQLError

from settings import AccountSettings, MysqlUrl, is_demonstration, is_loopback_host
from storage.backends.mysql.session import Session
from storage.common.errors import NotPrepared, Refused, StorageError

_READ = (
    *("readings", "consumpdata", "flags", "pages", "days", "meters", "intervals", "imports"),
    *("states", "schema_version", "access", "grants", "meter_groups", "group_members"),
    "replaced_values",
    "blocks",
)
"""The tables that the account may read whole."""

_NAME = "IN name TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
_JTI = "IN token TEXT CHARACTER SET ascii COLLATE ascii_bin"
_LIVE = """
    s.user = name AND s.generation = number AND s.expires > moment
    AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.jti = s.jti)
"""
"""As `storage.sessions` selects the sessions whose tokens are good."""

_PROCEDURES = {
    "user_by_name": f"""({_NAME}) READS SQL DATA SQL SECURITY DEFINER
        SELECT u.user, u.password, u.enabled, u.role, u.generation
        FROM users AS u WHERE u.user = name
    """,
    "role_of_bearer": f"""({_NAME}, IN number BIGINT, {_JTI}) READS SQL DATA SQL SECURITY DEFINER
        SELECT u.user, u.role FROM users AS u
        WHERE u.user = name AND u.generation = number AND u.enabled
        AND NOT EXISTS (SELECT 1 FROM revocations AS r WHERE r.jti = token)
    """,
    "record_session": f"""(
            {_JTI}, {_NAME}, IN number BIGINT, IN began BIGINT, IN ends BIGINT,
            IN place TEXT CHARACTER SET utf8mb4, IN program TEXT CHARACTER SET utf8mb4
        ) MODIFIES SQL DATA SQL SECURITY DEFINER
        BEGIN
            DELETE FROM sessions WHERE expires < UNIX_TIMESTAMP() LIMIT 100;
            INSERT INTO sessions (jti, user, generation, issued, expires, address, agent)
            SELECT token, u.user, number, began, ends, place, program
            FROM users AS u WHERE u.user = name AND u.generation = number;
        END
    """,
    "sessions_of_user": f"""({_NAME}, IN number BIGINT, IN moment BIGINT)
        READS SQL DATA SQL SECURITY DEFINER
        SELECT s.jti, s.user, s.generation, s.issued, s.expires, s.address, s.agent
        FROM sessions AS s WHERE {_LIVE} ORDER BY s.issued DESC, s.jti LIMIT 100
    """,
    "end_session": f"""({_NAME}, IN number BIGINT, IN moment BIGINT, {_JTI})
        MODIFIES SQL DATA SQL SECURITY DEFINER
        INSERT INTO revocations (jti, expires)
        SELECT s.jti, s.expires FROM sessions AS s WHERE {_LIVE} AND SUBSTR(s.jti, -8) = token
    """,
    "end_other_sessions": f"""({_NAME}, IN number BIGINT, IN moment BIGINT, {_JTI})
        MODIFIES SQL DATA SQL SECURITY DEFINER
        INSERT INTO revocations (jti, expires)
        SELECT s.jti, s.expires FROM sessions AS s WHERE {_LIVE} AND s.jti <> token
    """,
    "key_by_hash": """(IN digest TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)
        READS SQL DATA SQL SECURITY DEFINER
        SELECT k.user, k.name, k.permissions, k.expires, u.role, u.generation,
            s.id, s.meter_id, s.group_id
        FROM api_keys AS k JOIN users AS u ON u.user = k.user
        LEFT JOIN api_key_scopes AS s ON s.hash = k.hash
        WHERE k.hash = digest AND k.revoked IS NULL AND u.enabled
    """,
    "add_grant": f"""({_NAME}, IN meter INT, IN meters INT,
            IN word TEXT CHARACTER SET utf8mb4, IN first DATE, IN last DATE, IN ends BIGINT,
            IN giver TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, IN moment BIGINT
        ) MODIFIES SQL DATA SQL SECURITY DEFINER
        INSERT INTO grants (user, id, meter_id, group_id, permission, first_day, last_day, expires,
            granted_by, granted)
        SELECT u.user, (
            SELECT COALESCE(MAX(used.id), 0) + 1 FROM (
                SELECT g.id FROM grants AS g WHERE g.user = name
                UNION ALL SELECT n.last_id FROM grant_numbers AS n WHERE n.user = name
            ) AS used),
            meter, meters, word, first, last, ends, giver, moment
        FROM users AS u WHERE u.user = name
        AND (meter IS NULL
            OR EXISTS (SELECT 1 FROM meters AS m WHERE m.id = meter AND m.removed IS NULL))
        AND (meters IS NULL OR EXISTS (SELECT 1 FROM meter_groups AS a WHERE a.id = meters))
    """,
    "remove_grant": f"""({_NAME}, IN number INT) MODIFIES SQL DATA SQL SECURITY DEFINER
        DELETE FROM grants WHERE grants.user = name AND grants.id = number
    """,
    "change_password": f"""(
            IN new_hash TEXT CHARACTER SET ascii COLLATE ascii_bin, {_NAME},
            IN old_hash TEXT CHARACTER SET ascii COLLATE ascii_bin
        ) MODIFIES SQL DATA SQL SECURITY DEFINER
        UPDATE users AS u SET u.password = new_hash
        WHERE u.user = name AND u.password = old_hash
    """,
}
"""What the account does with users, sessions, API keys and grants, one at a time; it may not read
the tables of the first three, and not write any.

They are made where they are missing, or those of an older loader, rather than by the schema: a
dump may lack them.
"""

_END_OF_HEAD = "SQL SECURITY DEFINER"
"""What comes before the body of a procedure."""

_GRANTS = (
    *(f"SELECT ON `{{}}`.{table}" for table in _READ),
    "SELECT (id) ON `{}`.users",
    "INSERT (jti, expires) ON `{}`.revocations",
    "UPDATE (entry) ON `{}`.audit_head",
    *(f"EXECUTE ON PROCEDURE `{{}}`.{name}" for name in _PROCEDURES if name != "change_password"),
)
"""The rights of the account, all that the server needs."""

_CHANGE_GRANT = "EXECUTE ON PROCEDURE `{}`.change_password"
"""One more, where users may change their own passwords."""

_FORMER_GRANTS = (
    "SELECT ON `{}`.*",
    *(f"{right} ON `{{}}`.revocations" for right in ("SELECT", "INSERT", "DELETE")),
    "SELECT ON `{}`.users",
)
"""Rights that earlier loaders gave, or the original's installation."""

_NEEDED = (
    f"SELECT {', '.join(f'(SELECT 1 FROM {table} LIMIT 1)' for table in _READ)}",
    "SELECT id FROM users LIMIT 0",
    "INSERT INTO revocations (jti, expires) SELECT '', 0 FROM DUAL WHERE FALSE",
    "UPDATE audit_head SET entry = '' LIMIT 0",
    # No user has an empty name.
    "CALL user_by_name('')",
    "CALL role_of_bearer('', 0, '')",
    "CALL record_session('', '', 0, 0, 0, '', '')",
    "CALL sessions_of_user('', 0, 0)",
    "CALL end_session('', 0, 0, '')",
    "CALL end_other_sessions('', 0, 0, '')",
    "CALL key_by_hash('')",
    "CALL add_grant('', NULL, NULL, '', NULL, NULL, NULL, '', 0)",
    "CALL remove_grant('', 0)",
)
"""Statements that need those rights, and change nothing that is in use."""

_CHANGE_NEEDED = "CALL change_password('', '', '')"

_OLDER_NEEDED = (
    "SELECT (SELECT 1 FROM users LIMIT 1), (SELECT 1 FROM readings LIMIT 1),"
    " (SELECT MAX(statements) FROM schema_version), (SELECT version FROM states LIMIT 1),"
    " (SELECT 1 FROM meters LIMIT 1), (SELECT 1 FROM access LIMIT 1)"
)
"""Needs the rights without which no server works: an account may have them on single tables."""

_SURPLUS = (
    "SELECT password FROM users LIMIT 0",
    "SELECT jti FROM revocations LIMIT 0",
    "SELECT entry FROM audit LIMIT 0",
    "DELETE FROM revocations LIMIT 0",
    "INSERT INTO revocations (id, jti, expires) SELECT 0, '', 0 FROM DUAL WHERE FALSE",
)
"""Statements that need rights which earlier loaders gave; they change nothing, either."""

_NO_SUCH_GRANT = frozenset(
    [ER.NONEXISTING_GRANT, ER.NONEXISTING_TABLE_GRANT, ER.NONEXISTING_PROC_GRANT]
)
_MADE_MEANWHILE = frozenset([ER.SP_ALREADY_EXISTS, ER.SP_DOES_NOT_EXIST])


def reader_grants(database: str, *, changes_passwords: bool) -> list[str]:
    """Return the rights of the server's account, as GRANT and REVOKE take them."""
    grants = [*_GRANTS, _CHANGE_GRANT] if changes_passwords else _GRANTS
    return [grant.format(database) for grant in grants]


def _body(procedure: str) -> list[str]:
    """Return the words of a procedure's body."""
    return procedure.partition(_END_OF_HEAD)[2].split()


@contextmanager
def _ignored(codes: frozenset[int]) -> Iterator[None]:
    """Ignore errors of the database with one of these numbers."""
    try:
        yield
    except StorageError as error:
        cause = error.__cause__
        if not isinstance(cause, MySQLError) or cause.args[0] not in codes:
            raise


class ReaderAccount:
    """The server's account: it reads, records sessions, revokes tokens and appends to the trail."""

    def __init__(
        self,
        admin: Session,
        location: MysqlUrl,
        reader: AccountSettings,
        log_in: Callable[[], Awaitable[Session]],
        *,
        changes_passwords: bool,
    ) -> None:
        self._admin = admin
        self._location = location
        self._reader = reader
        self._log_in = log_in
        self._changes_passwords = changes_passwords

    async def grant(self) -> None:
        """Give the account the rights that it lacks, and take from it what it does not need.

        Raises Refused for the demonstration's account where others than this machine could use it.
        """
        host = await self._host()
        password = self._reader.password.get_secret_value()
        if is_demonstration(self._reader.user, password) and not is_loopback_host(host):
            raise Refused(
                f"{self._location.host} knows this machine as {host}, as behind a tunnel or in a"
                " container: the demonstration's account may not be used there, set"
                " database.reader.password"
            )
        account = await self._existing() or await self._make(host, password)
        changing = [_CHANGE_NEEDED]
        needed = [*_NEEDED, *changing] if self._changes_passwords else _NEEDED
        outdated = await self._outdated_procedures()
        if outdated or not all(await self._may(needed)):
            try:
                await self._make_procedures(outdated)
                await self._grant_all(account)
            except Refused:
                # Somebody else may look after the accounts: a server works with older rights.
                if not all(await self._may([_OLDER_NEEDED])):
                    raise
            else:
                await self._require(account)
        if any(await self._may(_SURPLUS)):
            await self._tighten(account, _FORMER_GRANTS)
        if not self._changes_passwords and all(await self._may(changing)):
            await self._tighten(account, [_CHANGE_GRANT])

    async def _require(self, account: tuple[str, str]) -> None:
        if not all(await self._may(_NEEDED[:1])):
            raise Refused(
                f"the account {account[0]}@{account[1]} was made, and {self._location.host} "
                "still refuses it: is there another account of that name?"
            )

    async def _outdated_procedures(self) -> Mapping[str, bool]:
        """Return the procedures to be made, and whether each of them is there."""
        rows = await self._admin.fetch(
            "SELECT routine_name, routine_definition FROM information_schema.routines"
            " WHERE routine_schema = %s",
            (self._location.name,),
        )
        # An account that may not see a body may not replace it, either.
        found = {name: body for name, body in rows if body is not None}
        return {
            name: name in found
            for name, text in _PROCEDURES.items()
            if name not in found or _body(text) != found[name].split()
        }

    async def _make_procedures(self, outdated: Mapping[str, bool]) -> None:
        for name, exists in outdated.items():
            # Another loader may do so meanwhile.
            with _ignored(_MADE_MEANWHILE):
                if exists:
                    await self._admin.execute(f"DROP PROCEDURE {name}")
                await self._admin.execute(f"CREATE PROCEDURE {name} {_PROCEDURES[name]}")

    async def _existing(self) -> tuple[str, str] | None:
        """Return the account as the database knows it, None if it cannot log in."""
        try:
            rows = await self._as_reader("SELECT CURRENT_USER()")
        except Refused:
            return None
        user, _, host = rows[0][0].rpartition("@")
        return user, host

    async def _make(self, host: str, password: str) -> tuple[str, str]:
        account = (self._reader.user, host)
        await self._admin.execute(
            "CREATE USER IF NOT EXISTS %s@%s IDENTIFIED BY %s", (*account, password)
        )
        await self._admin.execute("ALTER USER %s@%s IDENTIFIED BY %s", (*account, password))
        return account

    async def _grant_all(self, account: tuple[str, str], on: str = "") -> None:
        """Give the account its rights, or those on one table."""
        for grant in reader_grants(self._location.name, changes_passwords=self._changes_passwords):
            if grant.endswith(on):
                await self._admin.execute(f"GRANT {grant} TO %s@%s", account)

    async def _tighten(self, account: tuple[str, str], former: Sequence[str]) -> None:
        """Take back what earlier loaders gave; other rights are not this program's to judge."""
        rows = await self._admin.fetch("SELECT CURRENT_USER()")
        if rows[0][0] == "@".join(account):
            return
        # `elecdata check` tells what is still too much.
        with suppress(Refused):
            # First of all, so that a server that runs lacks nothing meanwhile.
            await self._grant_all(account)
            for right in former:
                grant = right.format(self._location.name)
                with _ignored(_NO_SUCH_GRANT):
                    await self._admin.execute(f"REVOKE {grant} FROM %s@%s", account)
                    # To revoke a right on a table revokes it on the table's columns, too.
                    await self._grant_all(account, grant.rpartition(" ON ")[2])

    async def _may(self, statements: Sequence[str]) -> list[bool]:
        """Return which of the statements the account may run."""
        try:
            session = await self._log_in()
        except (Refused, NotPrepared):
            return [False] * len(statements)
        allowed = []
        try:
            for statement in statements:
                try:
                    await session.fetch(statement)
                except (Refused, NotPrepared):
                    allowed.append(False)
                else:
                    allowed.append(True)
        finally:
            session.close()
        return allowed

    async def _as_reader(self, statement: str) -> Sequence[Sequence[Any]]:
        session = await self._log_in()
        try:
            return await session.fetch(statement)
        finally:
            session.close()

    async def _host(self) -> str:
        """Return where the reader may come from: the loader's machine, if the server is on it."""
        if not self._location.is_loopback:
            return "%"
        rows = await self._admin.fetch("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        return str(rows[0][0])
