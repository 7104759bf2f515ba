"""The types of configuration values, and the validators that parse and check them."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MIN_SECRET_BYTES = 32
KEY_GENERATOR = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'

MONITORING = "monitoring"
"""The name of the format that needs no configuration: that of the sample report."""

LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1"),
)
NETWORKS_EXPECTED = "addresses or networks such as 10.1.2.3, 10.0.0.0/8, ::1"
ORIGINS_EXPECTED = "origins in small letters such as https://example.org, http://localhost:3000"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
DATABASE_URL_EXPECTED = "sqlite:///file.db or mysql://host:3306/name"
CACHE_URL_EXPECTED = "memory:// or redis://host:6379/0 or rediss://host:6379/0"
_HOST = r"(?P<host>[^\s/:@\[\]?#]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_SQLITE_URL = re.compile(r"sqlite:///(?P<path>.+)")
_MYSQL_URL = re.compile(rf"(?:mysql|mariadb)://{_HOST}/(?P<name>[A-Za-z0-9_]+)")
_KEY_NAME = re.compile("[A-Za-z0-9._-]{1,64}")
_FORMAT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CACHE_URL = re.compile(rf"memory://|rediss?://(?:[^\s/@]*@)?{_HOST}(?:/[0-9]*)?(?:\?\S*)?")


@dataclass(frozen=True)
class SqliteUrl:
    """A database in one file."""

    path: Path


@dataclass(frozen=True)
class MysqlUrl:
    """A database on a MySQL or MariaDB server."""

    host: str
    port: int
    name: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        return is_loopback_host(self.host)


def is_loopback_host(host: str) -> bool:
    """Return whether a host, as a name or an address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url_host(host: str) -> str:
    """Return a host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _parse_database_url(url: object, info: ValidationInfo) -> SqliteUrl | MysqlUrl:
    """Parse the URL of a database."""
    text = url if isinstance(url, str) else ""
    if file := _SQLITE_URL.fullmatch(text):
        return SqliteUrl(resolve_path(Path(file["path"]), info))
    if "@" in text:
        raise ValueError("a user or password in it is refused, set database.reader and .admin")
    server = _MYSQL_URL.fullmatch(text)
    port = int(server["port"] or 3306) if server else 0
    if not server or not 1 <= port <= 65535:
        raise ValueError(f"expected {DATABASE_URL_EXPECTED}, the name in letters, digits and _")
    return MysqlUrl(server["host"].strip("[]"), port, server["name"])


def resolve_path(path: Path, info: ValidationInfo) -> Path:
    """Return the path; a relative one starts from the folder in the context."""
    return Path(info.context or "", path)


def _resolve_optional_path(path: Path | None, info: ValidationInfo) -> Path | None:
    return None if path is None else resolve_path(path, info)


def _check_cache_url(url: SecretStr) -> SecretStr:
    if not _CACHE_URL.fullmatch(url.get_secret_value()):
        raise ValueError(
            f"expected {CACHE_URL_EXPECTED}, a password's special characters as in %40"
        )
    return url


def _check_signing_secret(secret: SecretStr | None) -> SecretStr | None:
    """Return a secret long enough to sign with; an empty one counts as none."""
    if secret is None or not secret.get_secret_value():
        return None
    if secret.get_secret_value().lstrip().startswith("-----BEGIN "):
        raise ValueError("expected a secret, keys in PEM belong into auth.keys")
    if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, as from {KEY_GENERATOR}")
    return secret


def _parse_networks(value: object) -> tuple[Network, ...]:
    """Parse networks, from a list or separated by commas."""
    texts = value if isinstance(value, list | tuple) else str(value).split(",")
    try:
        return tuple(ipaddress.ip_network(str(text).strip()) for text in texts if text)
    except ValueError:
        raise ValueError(f"expected {NETWORKS_EXPECTED}") from None


def _parse_origins(value: object) -> tuple[str, ...]:
    """Parse origins as browsers write them, from a list or separated by commas."""
    texts = value if isinstance(value, list | tuple) else str(value).split(",")
    origins = tuple(str(text).strip() for text in texts if text)
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError(f"expected {ORIGINS_EXPECTED}")
    return origins


def _check_key_name(name: str) -> str:
    if not _KEY_NAME.fullmatch(name):
        raise ValueError("expected names of keys of 1 to 64 letters, digits, '.', '_' and '-'")
    return name


def _check_user_name(name: str) -> str:
    """Return a name that HTTP Basic can carry."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise ValueError("expected user names of 1 to 64 printable characters other than ':'")
    return name


def _check_format_name(name: str) -> str:
    """Return a name that is easy to type in a command and in a variable."""
    if not _FORMAT_NAME.fullmatch(name):
        raise ValueError("expected names of small letters, digits, - and _, as in workshop-meter")
    return name


DatabaseUrl = Annotated[SqliteUrl | MysqlUrl, BeforeValidator(_parse_database_url)]
CacheUrl = Annotated[SecretStr, AfterValidator(_check_cache_url)]
FilePath = Annotated[Path, AfterValidator(resolve_path)]
OptionalFilePath = Annotated[Path | None, AfterValidator(_resolve_optional_path)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_parse_networks)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_parse_origins)]
SigningSecret = Annotated[SecretStr | None, AfterValidator(_check_signing_secret)]
KeyName = Annotated[str, AfterValidator(_check_key_name)]
UserName = Annotated[str, AfterValidator(_check_user_name)]
FormatName = Annotated[str, AfterValidator(_check_format_name)]
