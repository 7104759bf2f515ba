"""The sections of config.yaml, as one frozen object."""

import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from settings.limits import LimitSettings
from settings.report_formats import FormatSettings
from settings.section import Section, SettingsError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

PREFIX = "ELECDATA_"
MIN_SECRET_BYTES = 32
_GENERATOR = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'

# SHA-256 of what config.yaml publishes: the API user, the reader, the signing secret.
_PUBLISHED = {
    "2098f67d2113e4f92ab601389400cd946c2850e7bc01c304ebf88b2a680613f7",
    "ca68da407821938e7f629a82648d68a5d12dc889c278a7695fd325fe6a596a1f",
    "d2414b9df1bdcd5912d10f3a3d15d72ad091ad4f28aa0fb752185e77bff04e2f",
}

MONITORING = "monitoring"
"""The name of the format that needs no configuration: that of the sample report."""

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1"),
)
_NETWORKS = "addresses or networks such as 10.1.2.3, 10.0.0.0/8, ::1"
_ORIGINS = "origins in small letters such as https://example.org, http://localhost:3000"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DATABASE_URL = "sqlite:///file.db or mysql://host:3306/name"
_CACHE_URL = "memory:// or redis://host:6379/0 or rediss://host:6379/0"
_HOST = r"(?P<host>[^\s/:@\[\]?#]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_SQLITE = re.compile(r"sqlite:///(?P<path>.+)")
_MYSQL = re.compile(rf"(?:mysql|mariadb)://{_HOST}/(?P<name>[A-Za-z0-9_]+)")
_KEY_NAME = re.compile("[A-Za-z0-9._-]{1,64}")
_FORMAT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CACHE = re.compile(rf"memory://|rediss?://(?:[^\s/@]*@)?{_HOST}(?:/[0-9]*)?(?:\?\S*)?")


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
        return _is_loopback(self.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _database(url: object, info: ValidationInfo) -> SqliteUrl | MysqlUrl:
    """The database that a URL names."""
    text = url if isinstance(url, str) else ""
    if file := _SQLITE.fullmatch(text):
        return SqliteUrl(_resolved(Path(file["path"]), info))
    if "@" in text:
        raise ValueError("a user or password in it is refused, set database.reader and .admin")
    server = _MYSQL.fullmatch(text)
    port = int(server["port"] or 3306) if server else 0
    if not server or not 1 <= port <= 65535:
        raise ValueError(f"expected {_DATABASE_URL}, the name in letters, digits and _")
    return MysqlUrl(server["host"].strip("[]"), port, server["name"])


def _resolved(path: Path, info: ValidationInfo) -> Path:
    """The path; a relative one starts from the folder in the context."""
    return Path(info.context or "", path)


def _optional(path: Path | None, info: ValidationInfo) -> Path | None:
    return None if path is None else _resolved(path, info)


def _cache_url(url: SecretStr) -> SecretStr:
    if not _CACHE.fullmatch(url.get_secret_value()):
        raise ValueError(f"expected {_CACHE_URL}, a password's special characters as in %40")
    return url


def _signing_key(secret: SecretStr | None) -> SecretStr | None:
    """A secret long enough to sign with; an empty one counts as none."""
    if secret is None or not secret.get_secret_value():
        return None
    if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, as from {_GENERATOR}")
    return secret


def _further_key(secret: SecretStr) -> SecretStr:
    if _signing_key(secret) is None:
        raise ValueError(f"expected at least {MIN_SECRET_BYTES} bytes, as from {_GENERATOR}")
    return secret


def _networks(given: object) -> tuple[Network, ...]:
    """Networks from a list, or from a text with commas."""
    texts = given if isinstance(given, list | tuple) else str(given).split(",")
    try:
        return tuple(ipaddress.ip_network(str(text).strip()) for text in texts if text)
    except ValueError:
        raise ValueError(f"expected {_NETWORKS}") from None


def _origins(given: object) -> tuple[str, ...]:
    """Origins as browsers write them, from a list, or from a text with commas."""
    texts = given if isinstance(given, list | tuple) else str(given).split(",")
    origins = tuple(str(text).strip() for text in texts if text)
    if not all(map(_ORIGIN.fullmatch, origins)):
        raise ValueError(f"expected {_ORIGINS}")
    return origins


def _key_name(name: str) -> str:
    if not _KEY_NAME.fullmatch(name):
        raise ValueError("expected names of keys of 1 to 64 letters, digits, '.', '_' and '-'")
    return name


def _user_name(name: str) -> str:
    """A name that HTTP Basic can carry."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise ValueError("expected user names of 1 to 64 printable characters other than ':'")
    return name


def _format_name(name: str) -> str:
    """A name that stands well in a command and in a variable."""
    if not _FORMAT_NAME.fullmatch(name):
        raise ValueError("expected names of small letters, digits, - and _, as in workshop-meter")
    if name == MONITORING:
        raise ValueError(f"{MONITORING} is the project's own format, expected another name")
    return name


class TlsSettings(Section):
    """The certificate that the service shows; without one it speaks plain HTTP."""

    certificate: Annotated[Path | None, AfterValidator(_optional)] = Field(
        None, description="the path of a file with the certificate and its chain, in PEM"
    )
    key: Annotated[Path | None, AfterValidator(_optional)] = Field(
        None, description="the path of a file with the certificate's key, in PEM"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected both certificate and key, or neither")
        return self


class ServerSettings(Section):
    """Where the service listens."""

    host: str = Field("127.0.0.1", min_length=1, description="an address or a host name")
    port: int = Field(5000, ge=0, le=65535, description="a whole number from 0 to 65535")
    workers: int = Field(1, ge=1, le=64, description="a whole number from 1 to 64")
    proxies: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        (), description=_NETWORKS
    )
    metrics_from: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        _LOOPBACK, description=_NETWORKS
    )
    cors: Annotated[tuple[str, ...], BeforeValidator(_origins)] = Field((), description=_ORIGINS)
    tls: TlsSettings

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return _is_loopback(self.host)


class AccountSettings(Section):
    """A login of the database server."""

    user: str = Field(min_length=1, description="the name of a database account")
    password: SecretStr = Field(description="its password")


class DatabaseTlsSettings(Section):
    """Whom a MySQL or MariaDB server has to prove itself to; without one, TLS is not used."""

    ca: Annotated[Path | None, AfterValidator(_optional)] = Field(
        None, description="the path of a file with certificates, in PEM"
    )


class DatabaseSettings(Section):
    """Where the readings live, and who reads and writes them."""

    location: Annotated[SqliteUrl | MysqlUrl, BeforeValidator(_database)] = Field(
        alias="url", description=_DATABASE_URL
    )
    reader: AccountSettings | None = None
    admin: AccountSettings | None = None
    tls: DatabaseTlsSettings
    wait: float = Field(30, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    statement_timeout: float = Field(
        30, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )
    connections: int = Field(8, ge=2, description="a whole number, 2 or more")


class AuthSettings(Section):
    """How tokens are signed, how long they last, and how often a login may fail."""

    keys: Mapping[
        Annotated[str, AfterValidator(_key_name)],
        Annotated[SecretStr, AfterValidator(_further_key)],
    ] = Field({}, description="a mapping of the names of keys to secrets")
    sign_with: str | None = Field(None, description="the name of one of auth.keys")
    secret: Annotated[SecretStr | None, AfterValidator(_signing_key)] = Field(
        None, description=f"text of at least {MIN_SECRET_BYTES} bytes"
    )
    secret_store: Annotated[Path, AfterValidator(_resolved)] = Field(
        Path("var/auth-secret"), validate_default=True, description="the path of a file"
    )
    token_lifetime: float = Field(
        3600, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )
    attempts: int = Field(10, ge=1, description="a whole number, 1 or more")
    attempts_window: float = Field(
        300, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )

    @field_validator("sign_with")
    @classmethod
    def _is_a_key(cls, name: str, info: ValidationInfo) -> str:
        known = info.data.get("keys", {})
        if name not in known:
            raise ValueError(f"expected one of auth.keys: {', '.join(known) or 'there is none'}")
        return name


class CacheSettings(Section):
    """How long, where and how many answers are kept."""

    ttl: float = Field(600, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    url: Annotated[SecretStr, AfterValidator(_cache_url)] = Field(
        SecretStr("memory://"), description=_CACHE_URL
    )
    max_bytes: ByteSize = Field(
        ByteSize(256 * 1024**2), ge=1, description="a number of bytes such as 268435456 or 256MiB"
    )


class MeterSettings(Section):
    """What a report leaves unsaid."""

    timezone: ZoneInfo = Field(
        ZoneInfo("Europe/Madrid"), description="an IANA time zone such as Europe/Madrid"
    )


class QualitySettings(Section):
    """From when on the energy of a reading is more than its maximeter allows."""

    maximeter_tolerance: Decimal = Field(
        Decimal(2), ge=1, le=100, decimal_places=2, description="1 to 100, at most two decimals"
    )
    maximeter_allowance: Decimal = Field(
        Decimal(90),
        ge=0,
        le=1_000_000,
        decimal_places=2,
        description="kW, 0 to 1000000, at most two decimals",
    )


class LogSettings(Section):
    """What is written to standard error, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    format: Literal["text", "json"] = Field("text", description="text or json")


class Settings(Section):
    """All settings, checked."""

    server: ServerSettings
    database: DatabaseSettings
    auth: AuthSettings
    limits: LimitSettings
    cache: CacheSettings
    meter: MeterSettings
    quality: QualitySettings
    log: LogSettings
    api_users: Mapping[
        Annotated[str, AfterValidator(_user_name)], Annotated[SecretStr, Field(min_length=1)]
    ] = Field({}, description="a mapping of users to passwords")
    formats: Mapping[Annotated[str, AfterValidator(_format_name)], FormatSettings] = Field(
        {}, description="a mapping of names to formats, see docs/reference/formats.md"
    )

    def demonstration_keys(self) -> tuple[str, ...]:
        """The keys in use that still hold what config.yaml publishes."""
        return tuple(key for key, secret in self._credentials() if _is_published(secret))

    def require_safe(self) -> None:
        """Refuse to serve other machines with credentials that everybody can read."""
        published = self.demonstration_keys()
        if published and not self.server.is_loopback:
            raise SettingsError(
                f"server.host: {self.server.host} serves other machines, which the demonstration's"
                f" published credentials may not: {'; '.join(map(_remedy, published))}"
            )

    def _credentials(self) -> Iterator[tuple[str, str]]:
        if self.auth.secret:
            yield "auth.secret", self.auth.secret.get_secret_value()
        for name, secret in self.auth.keys.items():
            yield f"auth.keys.{name}", secret.get_secret_value()
        reader = self.database.reader
        if reader and isinstance(self.database.location, MysqlUrl):
            yield "database.reader.password", _login(reader.user, reader.password)
        for user, password in self.api_users.items():
            yield f"api_users.{user}", _login(user, password)


def is_demonstration(user: str, password: str) -> bool:
    """Whether a login is a published one; the user is to be spelt as the database spells it."""
    return _is_published(f"{user}:{password}")


def _login(user: str, password: SecretStr) -> str:
    return f"{user}:{password.get_secret_value()}"


def _is_published(credential: str) -> bool:
    return hashlib.sha256(credential.encode()).hexdigest() in _PUBLISHED


def _remedy(key: str) -> str:
    """A key and how to set a value of one's own."""
    if key == "auth.secret":
        return (
            f"{key} (point {PREFIX}AUTH__SECRET_FILE to the output of {_GENERATOR},"
            f" or have one made with an empty {PREFIX}AUTH__SECRET)"
        )
    if key.startswith("auth.keys."):
        return f"{key} (set another, the output of {_GENERATOR})"
    if key == "database.reader.password":
        return f"{key} (point {PREFIX}DATABASE__READER__PASSWORD_FILE to one of your own)"
    users = """'{"name": "password"}'"""
    return f"{key} (replace all users with {PREFIX}API_USERS={users}, or drop them with '{{}}')"
