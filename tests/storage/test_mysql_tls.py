"""TLS to the database: verified where it is configured, and never left out silently."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

import pytest

from settings import MysqlUrl, Settings, SettingsError, load_settings
from storage.backends.mysql.backup import MysqlBackup
from storage.backends.mysql.writer import MysqlWriteEngine
from storage.common.errors import Unreachable, Untrusted
from storage.factory import open_backup, open_diagnostics, open_importer
from tests.conftest import leave_out
from tests.support.certificates import make_certificate
from tests.support.databases import MariadbDatabase
from tests.support.mariadb import MariaDB, find_mariadb
from tests.support.paths import ROOT, SAMPLE
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Getting in")

REPORT = report(*numbered(quarters("2019-08-01", 100)))
NO_TLS = "is not trusted: it offers no TLS, which database.tls.ca asks for"
UNKNOWN = "is not trusted: database.tls.ca does not vouch for its certificate (self-signed"
ANOTHER_NAME = "does not vouch for its certificate (Hostname mismatch"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("database"))[:2]


@pytest.fixture(scope="module")
def secured(certificate: tuple[Path, Path]) -> Iterator[MariaDB]:
    """A server that speaks TLS."""
    with MariaDB(find_mariadb() or leave_out("MariaDB"), tls=certificate) as server:
        yield server


@pytest.fixture
def loaded(
    secured: MariaDB, certificate: tuple[Path, Path], tmp_path: Path
) -> Iterator[MariadbDatabase]:
    """Readings on a server that speaks TLS, loaded over it."""
    with MariadbDatabase(tmp_path / "db", secured) as database:
        trusting(database, certificate[0])
        asyncio.run(database.load(REPORT))
        yield database


def trusting(
    database: MariadbDatabase, ca: Path, host: str = "127.0.0.1", port: int = 0
) -> Settings:
    """Settings that name a CA, which config.yaml names as well from now on."""
    port = port or database.server.port
    url = f"mysql://{host}:{port}/{database.name}"
    section = database.section() | {"tls": {"ca": str(ca)}, "url": url}
    database.configure(database=section, api_users={"rick": "morty"})
    return load_settings(database.config, {})


def run(database: MariadbDatabase, *command: str) -> tuple[int, str]:
    """Status and output of a program of ours."""
    done = subprocess.run(  # noqa: S603 - the programs under test
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("ELECDATA_")}
        | {"ELECDATA_SERVER__PORT": "0", "HOME": str(database.folder)},
        input=b"a password\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert "Traceback" not in said
    for secret in ("reads only", database.server.root_password):
        assert secret not in said
    return done.returncode, said


async def test_connections_of_server_and_loader_are_encrypted(loaded: MariadbDatabase) -> None:
    cipher = "SELECT variable_value FROM information_schema.session_status"
    cipher += " WHERE variable_name = 'Ssl_cipher'"
    async with loaded.reader() as reader:
        ((used,),) = await reader._engine.fetch(cipher)
        assert used.startswith(b"TLS_")
    async with loaded.writer() as writer:
        engine = writer.engine
        await engine.open()  # type: ignore[attr-defined]  # MySQL's alone has it
        ((used,),) = await engine.fetch(cipher)
        assert str(used).startswith("TLS_")


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_every_command_does_as_configured_whatever_the_clients_of_the_database_default_to(
    loaded: MariadbDatabase, tmp_path: Path, is_tls: bool
) -> None:
    config = ("--config", str(loaded.config))
    others = "skip-ssl" if is_tls else "ssl-ca=/none\nssl-verify-server-cert"
    (loaded.folder / ".my.cnf").write_text(f"[client]\n{others}\n[mysqldump]\nno-data\n")
    if not is_tls:
        loaded.configure(database=loaded.section(), api_users={"rick": "morty"})
    with tls_required(loaded) if is_tls else nullcontext():
        status, said = run(loaded, "server", *config, "--check")
        assert ("over TLS with TLS_" in said) == is_tls
        assert status == 0, said
        assert run(loaded, "loader.users", *config, "add", "morgan")[0] == 0
        copy = tmp_path / "copy"
        status, said = run(loaded, "loader.backup", *config, str(copy))
        assert status == 0, said
        loaded.run(f"DROP DATABASE {loaded.name}")
        status, said = run(loaded, "loader.backup", *config, "--restore", str(copy))
        assert status == 0, said
        assert len(asyncio.run(loaded.records())) == 100


@pytest.mark.parametrize(
    ("is_secured", "host", "reason", "commands"),
    [
        (False, "127.0.0.1", NO_TLS, ("server", "loader", "users", "backup")),
        (True, "127.0.0.1", UNKNOWN, ("server", "loader")),
        (True, "localhost", ANOTHER_NAME, ("server",)),
    ],
    ids=["no TLS", "unknown", "another name"],
)
def test_server_that_cannot_be_trusted_is_refused_by_every_command(
    request: pytest.FixtureRequest,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    is_secured: bool,
    host: str,
    reason: str,
    commands: tuple[str, ...],
) -> None:
    server: MariaDB = request.getfixturevalue("secured" if is_secured else "mariadb")
    ca = certificate[0]
    if reason is UNKNOWN:
        ca = make_certificate(tmp_path)[0]
    with MariadbDatabase(tmp_path / "db", server) as database:
        trusting(database, ca, host)
        config = ("--config", str(database.config))
        lines = {
            "server": ("server", *config, "--check"),
            "loader": ("loader", *config, str(SAMPLE)),
            "users": ("loader.users", *config, "list"),
            "backup": ("loader.backup", *config, str(tmp_path / "copy")),
        }
        for command in commands:
            status, said = run(database, *lines[command])
            assert status == 1, said
            assert reason in said
        assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("fault", ["no TLS", "unknown", "another name"])
async def test_clients_of_the_database_refuse_a_server_that_cannot_be_trusted(
    request: pytest.FixtureRequest, certificate: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    """The connection before them finds nothing wrong here."""
    server: MariaDB = request.getfixturevalue("mariadb" if fault == "no TLS" else "secured")
    with MariadbDatabase(tmp_path / "db", server) as database:
        await database.load(REPORT)
        sound, copy = tmp_path / "sound", tmp_path / "copy"
        async with open_backup(database.settings) as copier:
            await copier.backup(sound)
        ca = make_certificate(tmp_path)[0] if fault == "unknown" else certificate[0]
        host = "localhost" if fault == "another name" else server.host
        async with distrusting(database, MysqlUrl(host, server.port, database.name), ca) as copier:
            with pytest.raises(Unreachable, match=r"^mariadb-dump failed: .*(TLS|SSL)"):
                await copier.backup(copy)
            assert not copy.exists()
            database.run(f"DROP DATABASE {database.name}")
            with pytest.raises(Unreachable, match=r"^mariadb failed: .*(TLS|SSL)"):
                await copier.restore(sound)
            assert not database.run("SHOW TABLES")


@asynccontextmanager
async def distrusting(
    database: MariadbDatabase, elsewhere: MysqlUrl, ca: Path
) -> AsyncIterator[MysqlBackup]:
    """A copier whose programs go elsewhere than its own connection, and trust others."""
    settings = database.settings.database
    assert settings.admin is not None
    assert isinstance(settings.location, MysqlUrl)
    zone = database.settings.meter.timezone
    engine = MysqlWriteEngine(settings.location, settings.admin, None, zone, ca=None)
    try:
        yield MysqlBackup(elsewhere, settings.admin, engine, ca=ca)
    finally:
        await engine.close()


@contextmanager
def tls_required(database: MariadbDatabase) -> Iterator[None]:
    """Lets the server refuse what comes without TLS."""
    database.run("SET GLOBAL require_secure_transport = ON")
    try:
        yield
    finally:
        database.run("SET GLOBAL require_secure_transport = OFF")


def test_server_that_requires_tls_names_the_setting_that_is_missing(
    loaded: MariadbDatabase, tmp_path: Path
) -> None:
    loaded.configure(database=loaded.section(), api_users={"rick": "morty"})
    config = ("--config", str(loaded.config))
    with tls_required(loaded):
        for command in (("server", *config, "--check"), ("loader.backup", *config, str(tmp_path))):
            status, said = run(loaded, *command)
            assert status == 1, said
            assert "access denied" in said
            assert "; if TLS is required, set database.tls.ca\n" in said


async def test_password_is_not_shown_to_a_server_without_tls(
    certificate: tuple[Path, Path], mariadb: MariaDB, tmp_path: Path
) -> None:
    """Nothing at all is sent: what stands between could read it."""
    sent = bytearray()
    closed = asyncio.Semaphore(0)

    async def between(ours: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(mariadb.host, mariadb.port)
        client.write(await reader.read(65536))
        while part := await ours.read(65536):
            sent.extend(part)
        for side in (writer, client):
            side.close()
            await side.wait_closed()
        closed.release()

    async with await asyncio.start_server(between, "127.0.0.1", 0) as middle:
        port = middle.sockets[0].getsockname()[1]
        with MariadbDatabase(tmp_path / "db", mariadb) as database:
            settings = trusting(database, certificate[0], port=port)
            inspector = open_diagnostics(settings)
            with pytest.raises(Untrusted, match="offers no TLS"):
                await inspector.connect()
            await inspector.close()
            with pytest.raises(Untrusted, match="offers no TLS"):
                async with open_backup(settings) as copier:
                    await copier.backup(tmp_path / "copy")
        for _ in range(2):
            await closed.acquire()
    assert not sent


@pytest.mark.parametrize(
    ("text", "said"), [(None, "No such file or directory"), ("x", "holds no certificate in PEM")]
)
def test_file_that_holds_no_ca_is_one_line(
    mariadb: MariaDB, tmp_path: Path, text: str | None, said: str
) -> None:
    ca = tmp_path / "ca.pem"
    if text is not None:
        ca.write_text(text)
    with MariadbDatabase(tmp_path / "db", mariadb) as database:
        settings = trusting(database, ca)
        for opened in (open_diagnostics, open_importer):
            with pytest.raises(SettingsError, match=r"^database\.tls\.ca: .*" + said):
                opened(settings)
