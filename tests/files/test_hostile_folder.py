"""Folders where somebody else prepared something: no command waits for it or writes through it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import loader.__main__
import loader.backup
from files.creating import draft_file
from settings import load_settings, signing_secret
from tests.loader.test_loader_command import BAD
from tests.support.databases import DatabaseFixture, SqliteDatabase
from tests.support.paths import ROOT
from tests.support.report_factory import numbered, quarters, report

pytestmark = pytest.mark.promise("Bad input")

SECONDS = 60
REPORT = report(*numbered(quarters("2019-08-01", 8)), BAD)


@contextmanager
def at_once() -> Iterator[None]:
    """Interrupts what waits."""

    def interrupt(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "this is a named pipe, expected a regular file"


def device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "this is a device, expected a regular file"


def folder(path: Path) -> str:
    path.mkdir()
    return "Is a directory"


def link(path: Path) -> str:
    path.symlink_to("/etc/passwd")
    return "this is a symbolic link, expected a regular file"


Prepare = Callable[[Path], str]


def identity(path: Path) -> tuple[int, ...]:
    """What no access changes, unlike the time of the last one."""
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns


def command(main: object, *args: str) -> Result:
    with at_once():
        return CliRunner().invoke(main, args)  # type: ignore[arg-type]  # click's commands


@pytest.mark.parametrize("prepare", [pipe, device, folder])
def test_what_is_no_file_is_refused_as_report_and_configuration(
    tmp_path: Path, prepare: Prepare
) -> None:
    database = SqliteDatabase(tmp_path / "database")
    trap = tmp_path / "trap"
    reason = prepare(trap)
    as_report = f"cannot be read: {reason}"
    if prepare is folder:
        as_report = "expected a report, there is no *.csv, *.csv.gz, *.xlsx, *.xml or *.zip in it"
    for args, expected in (
        (("--config", str(database.config), str(trap)), as_report),
        (("--config", str(trap), "x.csv"), f"cannot be read: {reason}"),
    ):
        done = command(loader.__main__.main, *args)
        assert done.exit_code == 1
        assert f"{trap}: {expected}" in done.stderr


def test_pipe_is_refused_as_a_backup_to_restore(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "database")
    trap = tmp_path / "trap"
    reason = pipe(trap)
    options = ["--config", str(database.config), "--restore", str(trap)]
    done = subprocess.run(  # noqa: S603 - this project's own program
        [sys.executable, "-m", "loader.backup", *options],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"ERROR - {trap} cannot be restored to {database.path}: ")
    assert reason in done.stderr


@pytest.mark.parametrize("prepare", [pipe, device, folder, link])
def test_what_stands_in_the_place_of_rejected_rows_ends_the_import_at_once(
    database: DatabaseFixture, prepare: Prepare
) -> None:
    path = database.file(REPORT)
    place = database.folder / "report.rejected.csv"
    reason = prepare(place)
    if prepare is device:
        reason = "this is a symbolic link, expected a regular file"
    before = identity(place)
    done = command(loader.__main__.main, "--config", str(database.config), "--skip-bad-rows", path)
    assert done.exit_code == 1
    assert done.stderr == f"ERROR - {place}: cannot be written: {reason}\n"
    assert identity(place) == before
    assert not asyncio.run(database.records())
    assert not list(database.folder.glob(".elecdata-*"))


@pytest.mark.parametrize("prepare", [pipe, link])
def test_what_stands_in_the_place_of_a_backup_is_left_alone(
    database: DatabaseFixture, tmp_path: Path, prepare: Prepare
) -> None:
    asyncio.run(database.load(report(*numbered(quarters("2019-08-01", 8)))))
    place = tmp_path / "backup"
    prepare(place)
    # The names of parts that earlier versions used.
    (tmp_path / ".backup.part").mkdir()
    before = identity(place)
    done = command(loader.backup.main, "--config", str(database.config), str(place))
    assert (done.exit_code, done.stderr) == (1, f"ERROR - {place} already exists\n")
    assert identity(place) == before
    assert not list(tmp_path.glob(".elecdata-*"))
    done = command(loader.backup.main, "--config", str(database.config), f"{place}.2")
    assert done.exit_code == 0


def test_pipe_of_the_shell_is_read_as_a_report(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as file:
        file.write(report(*numbered(quarters("2019-08-01", 8))))
        file.close()
        done = command(loader.__main__.main, "--config", str(database.config), f"/dev/fd/{reading}")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o600), (0o077, 0o600), (0o027, 0o640), (0o007, 0o660), (0, 0o600)]
)
def test_files_with_secrets_are_their_owners_and_those_of_a_group_that_the_umask_names(
    tmp_path: Path, umask: int, mode: int
) -> None:
    database = SqliteDatabase(tmp_path / "database")
    before = os.umask(umask)
    try:
        asyncio.run(database.load(REPORT, skip_bad_rows=True))
        found = asyncio.run(while_written(database))
        copy, other = tmp_path / "copy", SqliteDatabase(tmp_path / "other")
        for config, args in ((database.config, ()), (other.config, ("--restore",))):
            done = command(loader.backup.main, "--config", str(config), *args, str(copy))
            assert done.exit_code == 0, done.output
        signing_secret(load_settings(database.config, {STORE: str(tmp_path / "s")}))
    finally:
        os.umask(before)
    assert found == dict.fromkeys(("elecprod.db", "elecprod.db-wal", "elecprod.db-shm"), mode)
    assert permissions(other.path) == mode
    assert permissions(copy) == permissions(tmp_path / "s") == 0o600


STORE = "ELECDATA_AUTH__SECRET_STORE"


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def while_written(database: SqliteDatabase) -> dict[str, int]:
    """The modes of the database's files during an import."""
    async with database.writer() as writer:
        async for _ in writer.engine.prepare():
            pass
        await writer.engine.begin()
        await writer.engine.execute("DELETE FROM readings")
        found = {file.name: permissions(file) for file in database.path.parent.iterdir()}
        await writer.engine.rollback()
    return found


@pytest.mark.parametrize("name", ["backup.sql", "é" * 127])
def test_draft_that_a_killed_command_leaves_tells_what_it_is_of(tmp_path: Path, name: str) -> None:
    with draft_file(tmp_path / name) as draft:
        assert Path(draft.name).name.startswith(f".elecdata-{name[:100]}")
