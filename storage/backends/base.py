"""The protocols of a database's two sides: what an engine must offer to be read and written."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from domain.report_source import RowBatch
from storage.backends.dialect import Condition, Dialect
from storage.backends.statistics import PoolStatistics
from storage.common.deflate import DeflateBlock

Row = Sequence[Any]


class Source(NamedTuple):
    """The database that an engine reads; a restored file, for example, may take its place."""

    number: int = 0
    """Grows each time that this is noticed."""
    suffix: str = ""
    """Makes equal versions of different databases differ, in every process."""


FIRST_SOURCE = Source()


class ReadEngine(Protocol):
    """A database that is read through a pool of connections, and its dialect.

    Every call raises a StorageError if the database fails.
    """

    load: PoolStatistics

    @property
    def known_source(self) -> Source:
        """The database when `source` last looked."""

    @property
    def dialect(self) -> Dialect:
        """The database's SQL."""

    async def fetch(
        self,
        sql: str,
        args: Sequence[object] = (),
        *,
        small: bool = False,
        quick: bool = True,
    ) -> Sequence[Row]:
        """Return a statement's rows: integers as int, texts as bytes, NULL as None.

        A small statement finds a few rows by their keys, too quick to be worth a thread. There
        are connections that only small ones use, so that they never wait for others. One that is
        not quick counts rows by the thousand, and gets a thread.
        """

    def source(self) -> Source:
        """Look which database is read; it costs about a microsecond."""

    def writes(self) -> int | None:
        """Return a number that moves with every write, None where it costs a statement."""

    async def execute(
        self, sql: str, args: Sequence[object], *, patience: float | None = None
    ) -> int:
        """Run a statement that writes, and commit it; return the number of rows it wrote.

        Where programs write one after the other, it waits so many seconds for them, by default
        as long as a statement may take.
        """

    async def close(self) -> None:
        """Close all connections."""


class WriteEngine(Protocol):
    """A database that is written through one connection, and its dialect.

    Every call raises a StorageError if the database fails.
    """

    database: str
    """The database's name in messages."""
    on_wait: Callable[[], None]
    """Called whenever another loader has to be waited for; set by whoever wants to know."""
    on_warning: Callable[[str], None]
    """Called with what is left to do after a transaction; set likewise."""
    on_takeover: Callable[[int, int], None]
    """Called with the shares of a long takeover that are done, and of all; set likewise."""

    @property
    def dialect(self) -> Dialect:
        """The database's SQL."""

    def prepare(self) -> AsyncGenerator[str]:
        """Create what is missing, up to the newest schema; yield the name of each part."""

    async def is_prepared(self) -> bool:
        """Return whether the database has the newest schema."""

    async def admit_reader(self) -> str | None:
        """Grant the server's account its rights, and return its name; None without accounts."""

    async def shown_meter(self) -> int | None:
        """Return the id of the meter whose readings the view `consumpdata` shows."""

    async def show_meter(self, meter_id: int) -> None:
        """Let the view `consumpdata` show the readings of a meter."""

    async def begin_change(self) -> None:
        """Begin a transaction of a few rows, which waits for no import if it need not."""

    async def prepare_removal(self) -> None:
        """Let what is deleted from now on hold up others as little as possible.

        What triggers delete with a reading may be left.
        """

    async def begin(self, *, keeps_triggers: bool = False) -> None:
        """Begin a transaction that imports reports.

        Unless it keeps all triggers, one that slows a first import down may be dropped meanwhile.
        """

    @property
    def commits_together(self) -> bool:
        """Whether imports of several meters are faster if they share a commit."""

    async def begin_group(self) -> None:
        """Begin to import meters that share a commit: the transactions up to `commit_group`.

        Only where `commits_together` says so. Each is rolled back alone, but all are lost if the
        group is not committed.
        """

    async def commit_group(self) -> None:
        """Commit what the transactions of a group have committed."""

    async def rollback_group(self) -> None:
        """Roll back all transactions of a group, if there is one."""

    async def lock_meters(self) -> None:
        """Wait until no other loader registers a meter; none can until the transaction ends."""

    async def fetch_locked(
        self, sql: str, args: Sequence[object] = (), then: Sequence[Condition] = ()
    ) -> list[Sequence[Row]]:
        """Return rows that nobody else can change until the transaction ends.

        Calls `on_wait` if it has to wait for them. After them come the rows of the statements that
        are to be run then.
        """

    async def append(
        self, batches: Iterable[RowBatch], meter_id: int, import_id: int, last_id: int
    ) -> int:
        """Insert rows as new readings of a meter, with the ids after `last_id`; return how many."""

    async def stage(self, batches: Iterable[RowBatch]) -> int:
        """Fill the temporary table `incoming`; return the number of its rows."""

    async def execute(self, sql: str, args: Sequence[object] = ()) -> int:
        """Run a statement; return the number of rows it wrote."""

    async def post(self, sql: str, args: Sequence[object] = ()) -> None:
        """Run a statement that writes, at once or together with the next one.

        Its error, which rolls nothing back by itself, may be that of the next one then.
        """

    async def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert rows, at once or together with the next statement."""

    async def fetch(self, sql: str, args: Sequence[object] = ()) -> Sequence[Row]:
        """Return a statement's rows: integers as int, texts as str."""

    async def store_page(self, meter_id: int, first_id: int, page: DeflateBlock) -> None:
        """Insert the compressed records of a page."""

    async def store_block(
        self, meter_id: int, first_id: int, times: tuple[int, int], columns: bytes
    ) -> None:
        """Insert the columns of readings whose page was stored before.

        `times` are the starts of the first and of the last of them, seconds since 1970.
        """

    async def commit(self) -> None:
        """Commit the transaction."""

    async def rollback(self) -> None:
        """Roll back the transaction, if there is one."""

    async def sync(self) -> None:
        """Return once all that other processes of the command have committed is safe."""

    async def close(self) -> None:
        """Close the connection."""
