"""A private MariaDB server in a temporary folder."""

import os
import secrets
import socket
import subprocess
from pathlib import Path

from tests.support.live_server import LiveServer, find_program

INSTALLER = "mariadb-install-db"
PROTOCOL_VERSION = 10  # the fifth byte of the greeting; an error has another one there


def find_mariadb() -> Path | None:
    return find_program("mariadbd")


class MariaDB(LiveServer):
    """A MariaDB server with one account, which may do everything and grant it to others."""

    root_user = "admin"

    def __init__(self, program: Path, tls: tuple[Path, Path] | None = None) -> None:
        """With the files of a certificate and its key, it speaks TLS to those who want to."""
        super().__init__(program)
        self._tls = tls
        self.root_password = secrets.token_hex(16)
        self._data = self.folder / "data"
        self._accounts = self.folder / "accounts.sql"

    def start(self) -> None:
        if not self._data.exists():
            self._install()
        super().start()

    def command(self) -> list[str]:
        return [
            str(self.program),
            *self._common_options(),
            f"--socket={self.socket}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--init-file={self._accounts}",
            *self._tls_options(),
            "--local-infile=1",
            "--innodb-buffer-pool-size=64M",
            # No flush to disk: what is committed outlives the server, if not the machine.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
        ]

    def is_ready(self, connection: socket.socket) -> bool:
        greeting = connection.recv(5)
        return len(greeting) == 5 and greeting[4] == PROTOCOL_VERSION

    def _install(self) -> None:
        self._accounts.write_text(
            f"GRANT ALL ON *.* TO {self.root_user}@'%'"
            f" IDENTIFIED BY '{self.root_password}' WITH GRANT OPTION;\n"
        )
        installer = find_program(INSTALLER) or INSTALLER
        done = subprocess.run(  # noqa: S603 - a program of this machine's own
            # It need not find the name of this machine.
            [str(installer), *self._common_options(), "--skip-test-db", "--force"],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode:
            raise RuntimeError(f"{installer} failed:\n{done.stdout}")

    def _tls_options(self) -> list[str]:
        if self._tls is None:
            return ["--skip-ssl"]
        certificate, key = self._tls
        return [f"--ssl-cert={certificate}", f"--ssl-key={key}"]

    def _common_options(self) -> list[str]:
        # A server that starts removes the temporary tables of all that share its folder for them.
        options = ["--no-defaults", f"--datadir={self._data}", f"--tmpdir={self.folder}"]
        if os.geteuid() == 0:
            options.append("--user=root")  # which MariaDB wants to be told
        return options
