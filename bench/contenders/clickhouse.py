"""ClickHouse from Debian's packages, unpacked without being installed."""

import shutil
import subprocess
from collections.abc import Sequence
from urllib.parse import quote

from bench.contenders.http import HttpContender
from bench.datasets import QUANTITIES, Dataset
from bench.http_client import post
from bench.paths import WORK, MissingError
from bench.process import HOST, Server, environment
from tests.support.live_server import free_port

CLICKHOUSE = "ClickHouse, JSONEachRow"
PACKAGE = "clickhouse-server"
_FOLDER = WORK / "clickhouse"
_ROOT = _FOLDER / "root"
_ALL = "SELECT * FROM consumpdata ORDER BY id FORMAT JSONEachRow"
_CONFIG = """<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>{host}</listen_host>
  <http_port>{port}</http_port>
  <interserver_http_port>{other_port}</interserver_http_port>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <users_config>{config}</users_config>
  <mark_cache_size>1073741824</mark_cache_size>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>{host}</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</yandex>
"""


class ClickHouse(Server):
    """ClickHouse with a table of texts, filled at the first start with a dataset."""

    name = "clickhouse"

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self._table = dataset.table
        self._data = dataset.folder / "clickhouse"
        self._filled = self._data / "filled"

    def command(self) -> Sequence[str]:
        if not self._filled.exists():
            shutil.rmtree(self._data, ignore_errors=True)
            self._data.mkdir()
        config = self._data / "config.xml"
        config.write_text(
            _CONFIG.format(
                host=HOST,
                port=self.port,
                other_port=free_port(HOST),
                data=self._data,
                config=config,
            )
        )
        return [str(_ROOT / "usr" / "sbin" / "clickhouse-server"), f"--config-file={config}"]

    def environment(self) -> dict[str, str]:
        libraries = ":".join(str(folder) for folder in _ROOT.glob("**/lib/*-linux-*"))
        return environment({"LD_LIBRARY_PATH": libraries})

    def prepare(self) -> None:
        if self._filled.exists():
            return
        texts = ", ".join(f"{name} Nullable(String)" for name in QUANTITIES)
        columns = f"id UInt32, date String, {texts}"
        self._run(f"CREATE TABLE consumpdata ({columns}) ENGINE = MergeTree ORDER BY id")
        self._run("INSERT INTO consumpdata FORMAT CSVWithNames", self._table.read_bytes())
        self._filled.touch()

    def _run(self, sql: str, data: bytes = b"") -> None:
        post(self.port, f"/?query={quote(sql)}", data)


def unpack() -> None:
    """Download and unpack the packages, unless that is done; raise MissingError."""
    if _ROOT.exists():
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise MissingError(f"{PACKAGE} comes from Debian's packages, which this system hasn't")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        plan = _output("apt-get", "-s", "install", "--no-install-recommends", PACKAGE)
        names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        _output("apt-get", "-q", "download", *(names or [PACKAGE]))
        draft = _FOLDER / "draft"
        for package in _FOLDER.glob("*.deb"):
            _output("dpkg-deb", "-x", str(package), str(draft))
    except subprocess.CalledProcessError as error:
        raise MissingError(f"{PACKAGE} can't be fetched: {error.stderr.strip()[-200:]}") from None
    draft.replace(_ROOT)


def contender(dataset: Dataset) -> HttpContender:
    """Return the contender for all readings; raise MissingError."""
    unpack()
    path = f"/?query={quote(_ALL)}"
    return HttpContender(CLICKHOUSE, lambda: ClickHouse(dataset), path, dataset.readings)


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=_FOLDER, check=True, capture_output=True, text=True).stdout
