"""What a deployment may change: config.yaml and the environment as one frozen object.

The environment wins over config.yaml, and config.yaml over the defaults below. A variable is named
after its key, ELECDATA_SERVER__PORT for server.port; a secret can also come from the file that
ELECDATA_AUTH__SECRET_FILE names. Values are read as text and their key decides what they mean, so
that a password such as 0123 or `no` needs no quotes.
"""

import difflib
import hashlib
import ipaddress
import os
import re
import reprlib
import secrets
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Key: TypeAlias = tuple[str, ...]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = "ELECDATA_"
_MIN_SECRET_BYTES = 32
_GENERATOR = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'

_USERS = ("api_users",)
# Types whose wrong values may be shown; text that is wrong may be a secret gone astray.
_HARMLESS = (int, float, ByteSize, ZoneInfo)
# What pydantic calls a key that no section has.
_UNKNOWN = ("extra_forbidden", "invalid_key")

# SHA-256 of what config.yaml publishes: the API user, the reader, the signing secret.
_PUBLISHED = {
    "2098f67d2113e4f92ab601389400cd946c2850e7bc01c304ebf88b2a680613f7",
    "ca68da407821938e7f629a82648d68a5d12dc889c278a7695fd325fe6a596a1f",
    "d2414b9df1bdcd5912d10f3a3d15d72ad091ad4f28aa0fb752185e77bff04e2f",
}

_LOOPBACK: tuple[Network, ...] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1"),
)
_DATABASE_URL = "sqlite:///file.db or mysql://host:3306/name"
_CACHE_URL = "memory:// or redis://host:6379/0 or rediss://host:6379/0"
_NETWORKS = "addresses or networks such as 10.1.2.3, 10.0.0.0/8, ::1"
_HOST = r"(?P<host>[^\s/:@\[\]?#]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_SQLITE = re.compile(r"sqlite:///(?P<path>.+)")
_MYSQL = re.compile(rf"(?:mysql|mariadb)://{_HOST}/(?P<name>[A-Za-z0-9_]+)")
_CACHE = re.compile(rf"memory://|rediss?://(?:[^\s/@]*@)?{_HOST}(?:/[0-9]*)?(?:\?\S*)?")


class SettingsError(Exception):
    """One line that says which setting is wrong, where it stands and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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
    if len(secret.get_secret_value().encode()) < _MIN_SECRET_BYTES:
        raise ValueError(f"expected at least {_MIN_SECRET_BYTES} bytes, as from {_GENERATOR}")
    return secret


def _networks(given: object) -> tuple[Network, ...]:
    """Networks from a list, or from a text with commas."""
    texts = given if isinstance(given, list | tuple) else str(given).split(",")
    try:
        return tuple(ipaddress.ip_network(str(text).strip()) for text in texts if text)
    except ValueError:
        raise ValueError(f"expected {_NETWORKS}") from None


def _user_name(name: str) -> str:
    """A name that HTTP Basic can carry."""
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise ValueError("expected user names of 1 to 64 printable characters other than ':'")
    return name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, keys: object) -> object:
        """A key with nothing behind it counts as left out, a section left out as an empty one."""
        if not isinstance(keys, dict):
            return keys
        fields = cls.model_fields
        filled: dict[object, object] = {
            name: {} for name, field in fields.items() if field.is_required() and _inner(field)
        }
        filled.update((k, v) for k, v in keys.items() if v is not None or k not in fields)
        return filled


def _inner(field: FieldInfo) -> type[_Section] | None:
    """The section that a field holds, if it holds one."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, _Section):
            return kind
    return None


class Tls(_Section):
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


class Server(_Section):
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
    tls: Tls

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


class Account(_Section):
    """A login of the database server."""

    user: str = Field(min_length=1, description="the name of a database account")
    password: SecretStr = Field(description="its password")


class Database(_Section):
    """Where the readings live, and who reads and writes them."""

    location: Annotated[SqliteUrl | MysqlUrl, BeforeValidator(_database)] = Field(
        alias="url", description=_DATABASE_URL
    )
    reader: Account | None = None
    admin: Account | None = None
    wait: float = Field(30, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    statement_timeout: float = Field(
        30, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )
    connections: int = Field(8, ge=2, description="a whole number, 2 or more")


class Auth(_Section):
    """How tokens are signed and how long they last."""

    secret: Annotated[SecretStr | None, AfterValidator(_signing_key)] = Field(
        None, description=f"text of at least {_MIN_SECRET_BYTES} bytes"
    )
    secret_store: Annotated[Path, AfterValidator(_resolved)] = Field(
        Path("var/auth-secret"), validate_default=True, description="the path of a file"
    )
    token_lifetime: float = Field(
        3600, gt=0, allow_inf_nan=False, description="seconds, more than 0"
    )


class Cache(_Section):
    """How long, where and how many answers are kept."""

    ttl: float = Field(600, ge=0, allow_inf_nan=False, description="seconds, 0 or more")
    url: Annotated[SecretStr, AfterValidator(_cache_url)] = Field(
        SecretStr("memory://"), description=_CACHE_URL
    )
    max_bytes: ByteSize = Field(
        ByteSize(256 * 1024**2), ge=1, description="a number of bytes such as 268435456 or 256MiB"
    )


class Meter(_Section):
    """What a report leaves unsaid."""

    timezone: ZoneInfo = Field(
        ZoneInfo("Europe/Madrid"), description="an IANA time zone such as Europe/Madrid"
    )


class Log(_Section):
    """What is written to standard error, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error"
    )
    format: Literal["text", "json"] = Field("text", description="text or json")


class Settings(_Section):
    """All settings, checked."""

    server: Server
    database: Database
    auth: Auth
    cache: Cache
    meter: Meter
    log: Log
    api_users: Mapping[
        Annotated[str, AfterValidator(_user_name)], Annotated[SecretStr, Field(min_length=1)]
    ] = Field({}, description="a mapping of users to passwords")

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
            f"{key} (point {_PREFIX}AUTH__SECRET_FILE to the output of {_GENERATOR},"
            f" or have one made with an empty {_PREFIX}AUTH__SECRET)"
        )
    if key == "database.reader.password":
        return f"{key} (point {_PREFIX}DATABASE__READER__PASSWORD_FILE to one of your own)"
    users = """'{"name": "password"}'"""
    return f"{key} (replace all users with {_PREFIX}API_USERS={users}, or drop them with '{{}}')"


def signing_secret(settings: Settings) -> str:
    """The secret that signs tokens: the one configured, else one made once and kept."""
    if settings.auth.secret:
        return settings.auth.secret.get_secret_value()
    store = settings.auth.secret_store
    try:
        if not store.exists():
            _make_secret(store)
        return _kept_secret(store)
    except OSError as error:
        raise SettingsError(f"auth.secret_store: {store}: {error.strerror}") from None


def _make_secret(store: Path) -> None:
    """Keep a new secret, unless another process was first."""
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{store.name}.", dir=store.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link does not replace what another process has put there.
        with suppress(FileExistsError):
            store.hardlink_to(draft)
    finally:
        draft.unlink()


def _kept_secret(store: Path) -> str:
    with store.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        secret = file.read().removesuffix(b"\n")
    if mode & 0o077:
        raise SettingsError(f"auth.secret_store: others have access to {store}; chmod 600 it")
    if len(secret) < _MIN_SECRET_BYTES or not secret.isascii():
        raise SettingsError(
            f"auth.secret_store: {store} does not hold {_MIN_SECRET_BYTES} characters of ASCII;"
            " remove it and a new one is made"
        )
    return secret.decode()


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file, by default the config.yaml beside this one, and the environment."""
    file = Path(__file__).with_name("config.yaml") if config is None else config
    document = _parsed(_text(file), str(file))
    overrides = _overrides(environ)
    keys: object = document.keys
    for key in sorted(overrides):
        keys = _with(keys, key, overrides[key].value)
    try:
        return Settings.model_validate(keys, context=file.absolute().parent)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # Raised out here, so that the values inside the ValidationError stay out of its traceback.
    raise _fault(faults, document, overrides)


def sources(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where each key that is set was set: a line of the file, or a variable."""
    file = Path(__file__).with_name("config.yaml") if config is None else config
    document = _parsed(_text(file), str(file))
    overrides = _overrides(environ)
    found = {key: document.place(key) for key in _LEAVES if document.has(key)}
    found.update({key: override.variable for key, override in overrides.items()})
    return {_dotted(key): found[key] for key in sorted(found)}


class _Loader(yaml.SafeLoader):
    """YAML whose scalars are text or nothing, and whose keys stand once."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the class above has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        names = [name.value for name, _ in node.value]
        for position, (name, _) in enumerate(node.value):
            if name.value in names[:position]:
                raise SettingsError(f"{_place(name.start_mark)}: the key {name.value} stands twice")
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        # JSON escapes an emoji as two surrogates, which YAML leaves apart.
        text: str = super().construct_scalar(node)
        return text.encode("utf-16", "surrogatepass").decode("utf-16")


@dataclass(frozen=True)
class _Document:
    """A mapping, and where each of its keys stands."""

    source: str
    node: yaml.Node | None
    keys: dict[str, object]

    def has(self, key: Key) -> bool:
        """Whether there is something behind a key."""
        node: object = self.keys
        for name in key:
            node = node.get(name) if isinstance(node, dict) else None
        return node is not None

    def place(self, key: Key) -> str:
        """The line of a key, or of the nearest section around it."""
        place, node = self.source, self.node
        for name in key:
            found = [pair for pair in _pairs(node) if pair[0].value == name]
            if not found:
                break
            place, node = _place(found[0][0].start_mark), found[0][1]
        return place


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _place(mark: yaml.Mark) -> str:
    return f"{mark.name}:{mark.line + 1}"


def _text(file: Path, prefix: str = "") -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"{prefix}{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
    raise SettingsError(f"{prefix}{file}:{line}: expected UTF-8")


def _parsed(text: str, source: str) -> _Document:
    try:
        loader = _Loader(text)
        loader.name = source
        node = loader.get_single_node()
        keys = {} if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = source if mark is None else _place(mark)
    else:
        if isinstance(keys, dict):
            return _Document(source, node, keys)
        raise SettingsError(f"{source}: expected a mapping of keys to values")
    # Without the parser's own words, which quote the text and thus perhaps a secret.
    raise SettingsError(
        f"{place}: not valid YAML; check the indentation, and quote text with special characters"
    )


@dataclass(frozen=True)
class _Override:
    variable: str
    value: object


def _overrides(environ: Mapping[str, str]) -> dict[Key, _Override]:
    """What the environment sets."""
    overrides: dict[Key, _Override] = {}
    for variable in sorted(environ):
        if not variable.upper().startswith(_PREFIX):
            continue
        key, from_file = _target(variable)
        if key in overrides:
            raise SettingsError(
                f"{variable}: {_dotted(key)}: also set by {overrides[key].variable}, expected one"
            )
        if not _is_utf8(environ[variable]):
            raise SettingsError(f"{variable}: {_dotted(key)}: expected UTF-8")
        overrides[key] = _Override(variable, _value(variable, environ[variable], key, from_file))
    return overrides


def _is_utf8(text: str) -> bool:
    """Whether a variable's bytes could be decoded; the system marks those that could not."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _target(variable: str) -> tuple[Key, bool]:
    """The key that a variable sets, and whether it does so by naming a file."""
    name = variable[len(_PREFIX) :].lower()
    key, filed = _split(name), _split(name.removesuffix("_file"))
    if filed != key and (filed in _SECRETS or _is_user(filed)):
        return filed, True
    if key in _LEAVES or _is_user(key):
        return key, False
    meant = _meant(filed, _LEAVES)
    if meant is None:
        hint = f"expected {_PREFIX} and a key of config.yaml, as in {_variable(('server', 'port'))}"
    else:
        hint = f"did you mean {_variable(meant)}{'_FILE' * (filed != key and meant in _SECRETS)}?"
    raise SettingsError(f"{variable}: {_dotted(key)}: no such key; {hint}")


def _value(variable: str, text: str, key: Key, from_file: bool) -> object:
    if from_file:
        return _secret(Path(text), f"{variable}: {_dotted(key)}: ")
    return _parsed(text, variable).keys if key == _USERS else text


def _secret(file: Path, prefix: str) -> str:
    """What a secret's file holds, but for the newline that editors and echo put behind it."""
    secret = re.sub(r"\r?\n\Z", "", _text(file, prefix))
    if not secret:
        raise SettingsError(f"{prefix}{file} is empty, expected the secret")
    return secret


def _with(section: object, key: Key, value: object) -> object:
    """A section with one key set; what is no section stays, for validation to refuse."""
    if not key:
        return value
    keys = {} if section is None else section
    if not isinstance(keys, dict):
        return keys
    return keys | {key[0]: _with(keys.get(key[0]), key[1:], value)}


def _fault(
    faults: list[ErrorDetails], document: _Document, overrides: Mapping[Key, _Override]
) -> SettingsError:
    """The fault to mend first: a misspelt key, since others may follow from it."""
    fault = min(faults, key=lambda fault: fault["type"] not in _UNKNOWN)
    key = tuple(str(name) for name in fault["loc"])
    source = _source(key, document, overrides)
    # What is refused as a user's name may be "user:password", so it is left to its line.
    shown = _USERS if key[-1] == "[key]" else key
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return SettingsError(f"{source}: {_dotted(shown)}: {_explained(fault, shown)}{more}")


def _source(key: Key, document: _Document, overrides: Mapping[Key, _Override]) -> str:
    """The variable, or the line of the file, that set a key."""
    for length in range(len(key), 0, -1):
        if override := overrides.get(key[:length]):
            return override.variable
    return document.place(key)


def _explained(fault: ErrorDetails, key: Key) -> str:
    """What is wrong with a key; its value only where that can't be a secret."""
    if fault["type"] in _UNKNOWN:
        return _unknown(key)
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    expected = f"expected {_expected(key)}"
    if fault["type"] == "missing":
        return f"missing, {expected}"
    field = _FIELDS.get(key)
    if field and field.annotation in _HARMLESS and isinstance(fault["input"], str):
        return f"{expected}, got {reprlib.repr(fault['input'])}"
    return expected


def _unknown(key: Key) -> str:
    if meant := _meant(key, (other for other in _FIELDS if other != key[: len(other)])):
        return f"no such key; did you mean {_dotted(meant)}?"
    return f"no such key; expected {_siblings(key[:-1])}"


def _expected(key: Key) -> str:
    if _is_user(key):
        return "a password that is not empty"
    return _FIELDS[key].description or f"a section with {_siblings(key)}"


def _siblings(section: Key) -> str:
    return ", ".join(key[-1] for key in _FIELDS if key[:-1] == section)


def _meant(key: Key, known: Iterable[Key]) -> Key | None:
    """The known key that a misspelt one resembles, or that bears its name in another section."""
    names = {_dotted(other): other for other in known}
    for near in difflib.get_close_matches(_dotted(key).lower(), names, n=1, cutoff=0.8):
        return names[near]
    return next((other for other in names.values() if other[-1] == key[-1]), None)


def _split(name: str) -> Key:
    return tuple(name.split("__"))


def _dotted(key: Key) -> str:
    return ".".join(key)


def _variable(key: Key) -> str:
    return _PREFIX + "__".join(key).upper()


def _is_user(key: Key) -> bool:
    return len(key) == 2 and key[:1] == _USERS


def _fields(section: type[_Section], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key under a section, sections included."""
    for name, field in section.model_fields.items():
        key = (*above, field.alias or name)
        yield key, field
        if inner := _inner(field):
            yield from _fields(inner, key)


_FIELDS = dict(_fields(Settings))
_LEAVES = [key for key, field in _FIELDS.items() if not _inner(field)]
_SECRETS = [
    key
    for key, field in _FIELDS.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
]
