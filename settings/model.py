"""The sections of config.yaml, as one frozen object."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from settings.limits import LimitSettings
from settings.report_formats.format import FormatSettings, read_shipped_formats
from settings.section import Section, SettingsError
from settings.signing_key import SigningKeySettings, parse_signing_key
from settings.values import (
    CACHE_URL_EXPECTED,
    DATABASE_URL_EXPECTED,
    KEY_GENERATOR,
    LOOPBACK,
    MIN_SECRET_BYTES,
    NETWORKS_EXPECTED,
    ORIGINS_EXPECTED,
    CacheUrl,
    DatabaseUrl,
    FilePath,
    FormatName,
    KeyName,
    MysqlUrl,
    Networks,
    OptionalFilePath,
    Origins,
    SigningSecret,
    SqliteUrl,
    UserName,
    is_loopback_host,
)

PREFIX = "ELECDATA_"

# SHA-256 of what config.yaml publishes: the API user, the reader, the signing secret.
_PUBLISHED = {
    "2098f67d2113e4f92ab601389400cd946c2850e7bc01c304ebf88b2a680613f7",
    "ca68da407821938e7f629a82648d68a5d12dc889c278a7695fd325fe6a596a1f",
    "d2414b9df1bdcd5912d10f3a3d15d72ad091ad4f28aa0fb752185e77bff04e2f",
}


class TlsSettings(Section):
    """The certificate of the service; without one it serves plain HTTP."""

    certificate: OptionalFilePath = Field(
        None, description="the path of a file with the certificate and its chain, in PEM"
    )
    key: OptionalFilePath = Field(
        None, description="the path of a file with the certificate's key, in PEM"
    )

    @model_validator(mode="after")
    def _require_both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("expected both certificate and key, or neither")
        return self


class ServerSettings(Section):
    """Where the service listens, and whom it trusts."""

    host: str = Field("127.0.0.1", min_length=1, description="an address or a host name")
    port: int = Field(5000, ge=0, le=65535, description="a whole number from 0 to 65535")
    workers: int = Field(1, ge=1, le=64, description="a whole number from 1 to 64")
    proxies: Networks = Field((), description=NETWORKS_EXPECTED)
    metrics_from: Networks = Field(LOOPBACK, description=NETWORKS_EXPECTED)
    cors: Origins = Field((), description=ORIGINS_EXPECTED)
    tls: TlsSettings

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can connect."""
        return is_loopback_host(self.host)


class AccountSettings(Section):
    """An account of the database server."""

    user: str = Field(min_length=1, description="the name of a database account")
    password: SecretStr = Field(description="its password")


class DatabaseTlsSettings(Section):
    """The authorities that verify a MySQL or MariaDB server; without them, TLS is not used."""

    ca: OptionalFilePath = Field(None, description="the path of a file with certificates, in PEM")


class DatabaseSettings(Section):
    """Where the readings are stored, and the accounts that read and write them."""

    location: DatabaseUrl = Field(alias="url", description=DATABASE_URL_EXPECTED)
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

    keys: Mapping[KeyName, Annotated[SigningKeySettings, BeforeValidator(parse_signing_key)]] = (
        Field({}, description="a mapping of the names of keys to secrets")
    )
    sign_with: str | None = Field(None, description="the name of one of auth.keys")
    secret: SigningSecret = Field(None, description=f"text of at least {MIN_SECRET_BYTES} bytes")
    secret_store: FilePath = Field(
        Path("var/auth-secret"), validate_default=True, description="the path of a file"
    )
    token_lifetime: float = Field(
        3600, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )
    attempts: int = Field(10, ge=1, description="a whole number, 1 or more")
    attempts_window: float = Field(
        300, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )
    own_password: bool | None = Field(None, description="true or false")
    basic: bool = Field(default=False, description="true or false")

    @field_validator("sign_with")
    @classmethod
    def _require_known_key(cls, name: str, info: ValidationInfo) -> str:
        known = info.data.get("keys", {})
        if name not in known:
            raise ValueError(f"expected one of auth.keys: {', '.join(known) or 'there is none'}")
        if any(key.begins or key.ends for key in known.values()):
            raise ValueError("expected none where auth.keys have from or until, which decide")
        return name


class CacheSettings(Section):
    """Where responses are cached, for how long and how many bytes."""

    ttl: float = Field(600, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    url: CacheUrl = Field(SecretStr("memory://"), description=CACHE_URL_EXPECTED)
    max_bytes: ByteSize = Field(
        ByteSize(256 * 1024**2), ge=1, description="a number of bytes such as 268435456 or 256MiB"
    )


class MeterSettings(Section):
    """Which meter reports and requests mean, and the properties of new meters."""

    timezone: ZoneInfo = Field(
        ZoneInfo("Europe/Madrid"), description="an IANA time zone such as Europe/Madrid"
    )
    default: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the public id of a meter: at most 64 letters, digits, dots, _ and -",
    )
    file_name: str | None = Field(
        None,
        pattern=r"^[^{}/]*\{meter\}[^{}/]*$",
        description="a pattern with {meter} once, such as {meter}_*.csv",
    )


class QualitySettings(Section):
    """Limits above which the energy of a reading is implausible for its maximeter."""

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
    """What is logged to standard error, and how."""

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
    api_users: Mapping[UserName, Annotated[SecretStr, Field(min_length=1)]] = Field(
        {}, description="a mapping of users to passwords"
    )
    formats: Annotated[
        Mapping[FormatName, FormatSettings], BeforeValidator(read_shipped_formats)
    ] = Field({}, description="a mapping of names to formats, see docs/reference/formats.md")

    @property
    def has_own_passwords(self) -> bool:
        """Return whether users may change their passwords.

        Unless it is set, not with MySQL or MariaDB: their reader would need the right to do so.
        """
        is_own = self.auth.own_password
        return isinstance(self.database.location, SqliteUrl) if is_own is None else is_own

    def demonstration_keys(self) -> tuple[str, ...]:
        """Return the keys in use whose values are published in config.yaml."""
        return tuple(key for key, secret in self._credentials() if is_published(secret))

    def exposures(self) -> tuple[str, ...]:
        """Return what involves other machines; published credentials are refused then."""
        return (*self._server_exposures(), *self._database_exposures())

    def require_safe(self) -> None:
        """Raise SettingsError if published credentials would serve other machines."""
        _refuse(self.demonstration_keys(), self.exposures())

    def require_safe_accounts(self) -> None:
        """Raise SettingsError if the loader would make a published account elsewhere."""
        published = self.demonstration_keys()
        made = [key for key in published if key.startswith(("database.", "api_users."))]
        _refuse(made, self._database_exposures())

    def _server_exposures(self) -> Iterator[str]:
        if not self.server.is_loopback:
            yield f"server.host: {self.server.host} serves other machines"
        if self.server.proxies:
            yield "server.proxies: a proxy passes on the requests of other machines"
        cache = urlsplit(self.cache.url.get_secret_value()).hostname
        if cache is not None and not is_loopback_host(cache):
            yield f"cache.url: {cache} is another machine"

    def _database_exposures(self) -> Iterator[str]:
        location = self.database.location
        if isinstance(location, MysqlUrl) and not location.is_loopback:
            yield f"database.url: {location.host} is another machine"

    def _credentials(self) -> Iterator[tuple[str, str]]:
        if self.auth.secret:
            yield "auth.secret", self.auth.secret.get_secret_value()
        for name, key in self.auth.keys.items():
            yield f"auth.keys.{name}", key.secret.get_secret_value()
        reader = self.database.reader
        if reader and isinstance(self.database.location, MysqlUrl):
            yield "database.reader.password", _credential(reader.user, reader.password)
        for user, password in self.api_users.items():
            yield f"api_users.{user}", _credential(user, password)


def is_demonstration(user: str, password: str) -> bool:
    """Return whether a login is a published one; the user must be spelled as in the database."""
    return is_published(f"{user}:{password}")


def _refuse(published: Sequence[str], exposures: Iterable[str]) -> None:
    """Raise SettingsError if there are any of both."""
    found = "; ".join(exposures)
    if published and found:
        raise SettingsError(
            f"{found}: the demonstration's published credentials are for this machine only,"
            f" replace them: {'; '.join(map(_remedy, published))}"
        )


def _credential(user: str, password: SecretStr) -> str:
    return f"{user}:{password.get_secret_value()}"


def is_published(credential: str) -> bool:
    """Return whether a signing secret, or a user and password, is published in config.yaml."""
    return hashlib.sha256(credential.encode()).hexdigest() in _PUBLISHED


def _remedy(key: str) -> str:
    """Return a key and how to replace its value."""
    if key == "auth.secret":
        return (
            f"{key} (point {PREFIX}AUTH__SECRET_FILE to the output of {KEY_GENERATOR},"
            f" or have one made with an empty {PREFIX}AUTH__SECRET)"
        )
    if key.startswith("auth.keys."):
        return f"{key} (set another, the output of {KEY_GENERATOR})"
    if key == "database.reader.password":
        return f"{key} (point {PREFIX}DATABASE__READER__PASSWORD_FILE to one of your own)"
    users = """'{"name": "password"}'"""
    return f"{key} (replace all users with {PREFIX}API_USERS={users}, or drop them with '{{}}')"
