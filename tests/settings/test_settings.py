"""Settings: what is read from where, and what is said about a wrong one."""

import json
import os
import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from zoneinfo import ZoneInfo

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from settings import (
    MysqlUrl,
    Settings,
    SettingsError,
    SqliteUrl,
    is_demonstration,
    load_settings,
    signing_secret,
)
from tests.support.paths import ROOT

SAMPLE = ROOT / "config.yaml"
URL = "database: {url: sqlite:///x.db}\n"
SECRET = "a signing secret of more than 32 bytes"


class Configuration:
    """A config.yaml in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.yaml"

    def load(self, text: str | bytes = URL, /, **environ: str) -> Settings:
        """The settings that a text and an environment give."""
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_settings(self.file, environ)

    def error(self, text: str | bytes = URL, /, **environ: str) -> str:
        """The one line that refuses them, without the folder."""
        with pytest.raises(SettingsError) as caught:
            self.load(text, **environ)
        (line,) = str(caught.value).splitlines()
        return line.replace(f"{self.file.parent}/", "")


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path)


def revealed(secret: SecretStr | None) -> str:
    assert secret is not None
    return secret.get_secret_value()


def passwords(settings: Settings) -> dict[str, str]:
    return {user: revealed(password) for user, password in settings.api_users.items()}


# config.yaml and the defaults


def test_shipped_file_is_a_demonstration_that_works() -> None:
    """The project's own file is the default: SQLite, this machine only, rick/morty."""
    settings = load_settings(environ={})
    assert settings == load_settings(SAMPLE, {})
    assert settings.server.is_loopback
    assert settings.database.location == SqliteUrl(SAMPLE.parent / "var/elecprod.db")
    assert passwords(settings) == {"rick": "morty"}
    settings.require_safe()


def test_shipped_file_has_every_key() -> None:
    """No key is known that config.yaml does not show."""

    def keys(tree: object) -> object:
        return {k: keys(v) for k, v in tree.items()} if isinstance(tree, dict) else None

    shown = yaml.safe_load(SAMPLE.read_text())
    shown["database"]["location"] = shown["database"].pop("url")
    dumped = load_settings(environ={}).model_dump()
    dumped["database"]["location"] = None
    assert keys(shown) == keys(dumped)


def test_shipped_values_other_than_credentials_are_the_defaults(config: Configuration) -> None:
    """Only the demonstration's credentials differ from a file that holds the URL alone."""
    bare, shipped = config.load(), load_settings(environ={})
    assert bare.server == shipped.server
    assert bare.cache == shipped.cache
    assert bare.meter == shipped.meter
    assert bare.quality == shipped.quality
    assert bare.auth.token_lifetime == shipped.auth.token_lifetime == 3600
    for name in ("wait", "statement_timeout", "connections"):
        assert getattr(bare.database, name) == getattr(shipped.database, name)


def test_url_alone_is_enough_and_holds_no_credentials(config: Configuration) -> None:
    settings = config.load()
    assert settings.database.reader is None
    assert settings.database.admin is None
    assert settings.auth.secret is None
    assert settings.api_users == {}
    assert settings.demonstration_keys() == ()
    assert settings.meter.timezone == ZoneInfo("Europe/Madrid")
    assert settings.cache.max_bytes == 268_435_456


def test_key_with_nothing_behind_it_counts_as_left_out(config: Configuration) -> None:
    settings = config.load(URL + "server:\n  port:\nauth:\n  secret: ''\ncache: ~\napi_users:\n")
    assert settings == config.load()


def test_unquoted_passwords_stay_text(config: Configuration) -> None:
    settings = config.load(URL + "api_users: {a: 0123, b: no, c: 2024-02-31, 7: 1e3}")
    assert passwords(settings) == {"a": "0123", "b": "no", "c": "2024-02-31", "7": "1e3"}


def test_relative_paths_start_from_the_folder_of_the_file(
    config: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config.load().auth.secret_store == tmp_path / "var/auth-secret"
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("config.yaml"), {"ELECDATA_AUTH__SECRET_STORE": "kept"})
    assert settings.database.location == SqliteUrl(tmp_path / "x.db")
    assert settings.auth.secret_store == tmp_path / "kept"


def test_settings_are_frozen_and_can_be_sent_to_a_worker(config: Configuration) -> None:
    settings = config.load()
    with pytest.raises(ValidationError):
        settings.server.port = 1
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - made right here


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("sqlite:////data/x.db", SqliteUrl(Path("/data/x.db"))),
        ("mysql://db:3307/elecprod", MysqlUrl("db", 3307, "elecprod")),
        ("mysql://db/elecprod", MysqlUrl("db", 3306, "elecprod")),
        ("mariadb://10.0.0.7/e_2", MysqlUrl("10.0.0.7", 3306, "e_2")),
        ("mysql://[::1]:3306/elecprod", MysqlUrl("::1", 3306, "elecprod")),
    ],
)
def test_database_url_is_taken_apart(
    config: Configuration, url: str, location: SqliteUrl | MysqlUrl
) -> None:
    assert config.load(f"database: {{url: '{url}'}}").database.location == location


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("256MiB", 268_435_456), ("1 GB", 10**9)]
)
def test_cache_size_is_a_number_or_has_a_unit(config: Configuration, text: str, size: int) -> None:
    assert config.load(URL + f"cache: {{max_bytes: {text}}}").cache.max_bytes == size


@pytest.mark.parametrize(
    "url",
    ["memory://", "redis://cache", "redis://:p%40ss@cache:6379/0", "rediss://u:p@[::1]/1?x=y"],
)
def test_cache_url_may_hold_a_password(config: Configuration, url: str) -> None:
    assert revealed(config.load(ELECDATA_CACHE__URL=url).cache.url) == url


# The environment


def test_variable_wins_over_the_file_in_any_case(config: Configuration) -> None:
    text = URL + "server: {port: 1}"
    assert config.load(text, ELECDATA_SERVER__PORT="8080").server.port == 8080
    assert config.load(text, elecdata_Server__Port="8080").server.port == 8080


def test_variables_of_others_are_left_alone(config: Configuration) -> None:
    assert config.load(PATH="/bin", ELECTRIC="1") == config.load()


def test_environment_alone_is_enough(config: Configuration) -> None:
    settings = config.load(
        "",
        ELECDATA_DATABASE__URL="mysql://db/elecprod",
        ELECDATA_DATABASE__READER__USER="reader",
        ELECDATA_DATABASE__READER__PASSWORD="0123",
    )
    assert settings.database.reader is not None
    assert revealed(settings.database.reader.password) == "0123"


def test_variable_sets_one_user_beside_those_of_the_file(config: Configuration) -> None:
    settings = config.load(URL + "api_users: {rick: a, beth: b}", ELECDATA_API_USERS__RICK="c")
    assert passwords(settings) == {"rick": "c", "beth": "b"}


def test_variable_of_all_users_replaces_those_of_the_file(config: Configuration) -> None:
    text = URL + "api_users: {rick: a}"
    assert config.load(text, ELECDATA_API_USERS="{}").api_users == {}
    settings = config.load(text, ELECDATA_API_USERS='{"Beth":"b"}', ELECDATA_API_USERS__JERRY="c")
    assert passwords(settings) == {"Beth": "b", "jerry": "c"}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("AUTH__SECRET", lambda s: s.auth.secret),
        ("DATABASE__READER__PASSWORD", lambda s: s.database.reader.password),
        ("DATABASE__ADMIN__PASSWORD", lambda s: s.database.admin.password),
        ("API_USERS__RICK", lambda s: s.api_users["rick"]),
        ("CACHE__URL", lambda s: s.cache.url),
    ],
)
@pytest.mark.parametrize("newline", ["", "\n", "\r\n"])
def test_every_secret_can_come_from_a_file(
    config: Configuration,
    tmp_path: Path,
    name: str,
    read: Callable[[Settings], SecretStr],
    newline: str,
) -> None:
    secret = "redis://:a-password-that-is-long-enough-to-sign@cache"
    (tmp_path / "secret").write_bytes((secret + newline).encode())
    text = "database: {url: sqlite:///x.db, reader: {user: r}, admin: {user: a}}"
    accounts = {
        "ELECDATA_DATABASE__READER__PASSWORD": "r",
        "ELECDATA_DATABASE__ADMIN__PASSWORD": "a",
    }
    accounts.pop(f"ELECDATA_{name}", None)
    settings = config.load(text, **accounts, **{f"ELECDATA_{name}_FILE": f"{tmp_path}/secret"})
    assert revealed(read(settings)) == secret


def test_only_one_newline_is_taken_off_a_secret(config: Configuration, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" word \n\n")
    settings = config.load(ELECDATA_API_USERS__RICK_FILE=f"{tmp_path}/secret")
    assert passwords(settings) == {"rick": " word \n"}


def test_secret_set_twice_is_refused(config: Configuration, tmp_path: Path) -> None:
    error = config.error(
        ELECDATA_AUTH__SECRET=SECRET, ELECDATA_AUTH__SECRET_FILE=f"{tmp_path}/secret"
    )
    assert error == (
        "ELECDATA_AUTH__SECRET_FILE: auth.secret: also set by ELECDATA_AUTH__SECRET, expected one"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "secret: cannot be read: No such file or directory"),
        (b"\n", "secret is empty, expected the secret"),
        (b"a\n\xff", "secret:2: expected UTF-8"),
    ],
)
def test_unusable_secret_file_is_refused(
    config: Configuration, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    error = config.error(ELECDATA_AUTH__SECRET_FILE=f"{tmp_path}/secret")
    assert error == f"ELECDATA_AUTH__SECRET_FILE: auth.secret: {said}"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("ELECDATA_SERVER__PROT", "did you mean ELECDATA_SERVER__PORT?"),
        ("ELECDATA_SERVER_PORT", "did you mean ELECDATA_SERVER__PORT?"),
        ("ELECDATA_PORT", "did you mean ELECDATA_SERVER__PORT?"),
        ("ELECDATA_SERVER__PORT_FILE", "did you mean ELECDATA_SERVER__PORT?"),
        ("ELECDATA_AUTH__SECERT_FILE", "did you mean ELECDATA_AUTH__SECRET_FILE?"),
        ("ELECDATA_API_USER", "did you mean ELECDATA_API_USERS?"),
        ("ELECDATA_COLOUR", "expected ELECDATA_ and a key of config.yaml"),
    ],
)
def test_misspelt_variable_names_the_variable_meant(
    config: Configuration, variable: str, hint: str
) -> None:
    error = config.error(**{variable: "hunter2"})
    assert error.startswith(f"{variable}: ")
    assert f"no such key; {hint}" in error


# Faults


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: {prot: 1}", "config.yaml:2: server.prot: no such key; did you mean server.port?"),
        ("sever: {}", "config.yaml:2: sever: no such key; did you mean server?"),
        ("Server: {}", "config.yaml:2: Server: no such key; did you mean server?"),
        ("port: 1", "config.yaml:2: port: no such key; did you mean server.port?"),
        ("api_users:\nserver:\n  x:", "config.yaml:4: server.x: no such key; expected host, port"),
        (
            "~: 1",
            "None: no such key; expected server, database, auth, limits, cache, meter, quality",
        ),
    ],
)
def test_misspelt_key_names_the_key_meant(config: Configuration, text: str, said: str) -> None:
    assert said in config.error(URL + text)


def test_misspelling_comes_before_the_faults_that_follow_from_it(config: Configuration) -> None:
    error = config.error("databse:\n  url: sqlite:///x.db\n")
    assert error == "config.yaml:1: databse: no such key; did you mean database? (and 1 more)"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "database:\n", "server: {port: 1}"])
def test_missing_key_is_named(config: Configuration, text: str) -> None:
    assert "database.url: missing, expected sqlite:///file.db or mysql" in config.error(text)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("server.host", "", "expected an address or a host name"),
        ("server.port", "65536", "expected a whole number from 0 to 65535, got '65536'"),
        ("server.port", "-1", "expected a whole number from 0 to 65535, got '-1'"),
        ("server.port", "true", "expected a whole number from 0 to 65535, got 'true'"),
        ("database.wait", "-1", "expected seconds, 0 or more, got '-1'"),
        ("database.statement_timeout", "0", "expected seconds, more than 0, got '0'"),
        ("database.connections", "1", "expected a whole number, 2 or more, got '1'"),
        ("database.url", "postgres://db/x", "expected sqlite:///file.db or mysql://host:3306/name"),
        ("database.url", "sqlite:///", "expected sqlite:///file.db or"),
        ("database.url", "mysql://db", "expected sqlite:///file.db or"),
        ("database.url", "mysql://db:0/elecprod", "expected sqlite:///file.db or"),
        ("database.url", "mysql://db:65536/elecprod", "expected sqlite:///file.db or"),
        ("database.url", "mysql://db/x;drop", "the name in letters, digits and _"),
        ("database.url", "mysql://u:p@db/x", "set database.reader and .admin"),
        ("auth.secret", "x" * 31, "expected at least 32 bytes, as from python -c"),
        ("auth.token_lifetime", "nan", "expected seconds, more than 0, got 'nan'"),
        ("cache.ttl", "10min", "expected seconds, 0 or more, got '10min'"),
        ("cache.url", "memcached://x", "expected memory:// or redis://host:6379/0 or"),
        ("cache.max_bytes", "0", "expected a number of bytes such as 268435456 or 256MiB, got '0'"),
        ("cache.max_bytes", "1 elephant", "expected a number of bytes such as"),
        ("meter.timezone", "Europe", "expected an IANA time zone such as Europe/Madrid"),
        ("quality.maximeter_tolerance", "0.99", "expected 1 to 100, at most two decimals"),
        ("quality.maximeter_tolerance", "1.005", "at most two decimals, got '1.005'"),
        ("quality.maximeter_allowance", "-1", "expected kW, 0 to 1000000, at most two"),
        ("quality.maximeter_allowance", "nan", "expected kW, 0 to 1000000, at most two"),
        ("api_users.rick", "", "expected a password that is not empty"),
    ],
)
def test_wrong_value_names_source_key_and_what_was_expected(
    config: Configuration, key: str, value: str, expected: str
) -> None:
    """The same is said of the file, by its line, and of the environment, by its variable."""
    section, _, name = key.partition(".")
    others = "" if key == "database.url" else "  url: sqlite:///x.db\n"
    text = f"database:\n{others}{section}:\n" if section != "database" else f"database:\n{others}"
    error = config.error(text + f"  {name}: {json.dumps(value)}")
    assert error.startswith(f"config.yaml:{text.count(chr(10)) + 1}: {key}: ")
    assert expected in error

    variable = f"ELECDATA_{key.replace('.', '__').upper()}"
    error = config.error(**{variable: value})
    assert error.startswith(f"{variable}: {key}: ")
    assert expected in error


@pytest.mark.parametrize(
    "key",
    [
        *("database.wait", "database.statement_timeout", "cache.ttl"),
        *("auth.token_lifetime", "auth.attempts_window"),
        *("limits.request_time", "limits.requests_window", "limits.slow_after"),
    ],
)
def test_seconds_without_end_are_refused(config: Configuration, key: str) -> None:
    error = config.error(**{f"ELECDATA_{key.replace('.', '__').upper()}": "inf"})
    assert f"{key}: expected seconds, " in error


@pytest.mark.parametrize("name", ["", "a" * 65, "tab\t", "rick:morty"])
def test_user_name_that_http_basic_cannot_carry_is_refused(
    config: Configuration, name: str
) -> None:
    """The name itself is not shown: it may be a password on the wrong side of the colon."""
    error = config.error(URL + f"api_users:\n  {json.dumps(name)}: x")
    assert error == (
        "config.yaml:3: api_users: expected user names of 1 to 64 printable characters other than"
        " ':'"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "config.yaml: expected a mapping of keys to values"),
        (
            "server: 5",
            "config.yaml:1: server: expected a section with host, port, workers",
        ),
        (URL + "api_users: rick", "config.yaml:2: api_users: expected a mapping of users"),
        (URL + "api_users: {~: x}", "config.yaml:2: api_users: expected a mapping of users"),
        ("server:\n  port: 1\n  port: 2", "config.yaml:3: the key port stands twice"),
        ("a: b\nc: [", "config.yaml:2: not valid YAML"),
        ("a: \x01", "config.yaml: not valid YAML"),
        ("? [a]\n: 1", "config.yaml:1: not valid YAML"),
        ("a: 1\n---\nb: 1", "config.yaml:2: not valid YAML"),
        ("a: !!int b", "config.yaml: not valid YAML"),
        ("a: " + "[" * 5000 + "]" * 5000, "config.yaml: sections are nested too deeply"),
        ("\n".join(f"{' ' * n}a:" for n in range(5000)), "config.yaml: sections are nested too"),
        (b"a: b\nc: \xff", "config.yaml:2: expected UTF-8"),
    ],
)
def test_file_that_is_no_mapping_names_the_line(
    config: Configuration, text: str | bytes, said: str
) -> None:
    assert config.error(text).startswith(said)


def test_emoji_escaped_as_json_does_is_one_letter(config: Configuration) -> None:
    users = {"rick": "\N{SMILING FACE WITH SUNGLASSES}"}
    assert passwords(config.load(ELECDATA_API_USERS=json.dumps(users))) == users


def test_variable_that_is_not_utf8_is_refused(config: Configuration) -> None:
    error = config.error(ELECDATA_API_USERS__RICK=os.fsdecode(b"caf\xe9"))
    assert error == "ELECDATA_API_USERS__RICK: api_users.rick: expected UTF-8"


def test_variable_that_is_no_mapping_of_users_is_refused(config: Configuration) -> None:
    assert config.error(ELECDATA_API_USERS="rick") == (
        "ELECDATA_API_USERS: expected a mapping of keys to values"
    )


def test_section_that_is_no_mapping_is_the_fault_of_the_file(config: Configuration) -> None:
    error = config.error(URL + "server: 5", ELECDATA_SERVER__PORT="1")
    assert error.startswith("config.yaml:2: server: expected a section with host, port, workers")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml", {})
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {})


# Secrets stay secret

SECRETS = [
    ("database", "reader", "password"),
    ("database", "admin", "password"),
    ("auth", "secret"),
    ("auth", "keys", "a"),
    ("cache", "url"),
    ("api_users", "rick"),
]
# Letters that no message holds, and those that YAML and URLs trip over.
hidden = st.text("ЖЩ*&!%@:/#{}[]'\"\\|>,? -0", max_size=48).map(lambda text: f"{text}ЖЩЖ")


@hypothesis.settings(deadline=None)
@given(hidden, st.sampled_from(SECRETS), st.booleans(), st.booleans())
def test_no_secret_shows_in_a_repr_or_an_error(
    tmp_path_factory: pytest.TempPathFactory,
    secret: str,
    key: tuple[str, ...],
    quoted: bool,
    misplaced: bool,
) -> None:
    """Be it right, malformed, unquoted, a level too high in the file, or in the wrong variable."""
    config = Configuration(tmp_path_factory.getbasetemp())
    (file := config.file.with_name("secret")).write_text(secret)
    *sections, name = key[:-1] if misplaced else key
    lines = [f"{' ' * depth}{section}:" for depth, section in enumerate(sections)]
    lines.append(f"{' ' * len(sections)}{name}: {json.dumps(secret) if quoted else secret}")
    variable = f"ELECDATA_{'__'.join(key).upper()}"
    for text, environ in [
        ("\n".join(lines), {"ELECDATA_DATABASE__URL": "sqlite:///x.db"}),
        (URL, {variable: secret}),
        (URL, {f"{variable}_FILE": str(file)}),
        (URL, {f"{variable}_FILE": str(file), variable: secret}),
        (URL, {"ELECDATA_DATABASE__URL": f"mysql://root:{secret}@db/x"}),
        (URL, {"ELECDATA_API_USERS": secret}),
        (URL, {"ELECDATA_AUTH__KEYS": secret}),
        (URL, {"ELECDATA_SECERT": secret}),
    ]:
        try:
            settings = config.load(text, **environ)
            shown = f"{settings!r}{settings}{settings.model_dump()}{settings.model_dump_json()}"
        except SettingsError as error:
            shown = "".join(traceback.format_exception(error))
        assert secret not in shown


# The demonstration's credentials


def test_demonstration_keys_name_what_is_in_use() -> None:
    assert load_settings(environ={}).demonstration_keys() == ("auth.secret", "api_users.rick")
    mysql = {"ELECDATA_DATABASE__URL": "mysql://db/elecprod"}
    assert "database.reader.password" in load_settings(environ=mysql).demonstration_keys()


def test_demonstration_refuses_to_serve_other_machines() -> None:
    environ = {"ELECDATA_SERVER__HOST": "0.0.0.0", "ELECDATA_DATABASE__URL": "mysql://db/elecprod"}  # noqa: S104 - what is to be refused
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ).require_safe()
    (line,) = str(caught.value).splitlines()
    for part in (
        "server.host: 0.0.0.0",
        "auth.secret (point ELECDATA_AUTH__SECRET_FILE to the output of python -c",
        "database.reader.password (point ELECDATA_DATABASE__READER__PASSWORD_FILE",
        "api_users.rick (replace all users with ELECDATA_API_USERS=",
    ):
        assert part in line


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("SERVER__HOST", "::", "server.host: :: serves other machines"),
        ("SERVER__PROXIES", "127.0.0.1", "server.proxies: a proxy passes on the requests of other"),
        ("DATABASE__URL", "mysql://db/elecprod", "database.url: db is another machine"),
        ("CACHE__URL", "rediss://:x@cache:6380/0", "cache.url: cache is another machine"),
    ],
)
def test_published_credentials_are_refused_wherever_other_machines_take_part(
    config: Configuration, key: str, value: str, reason: str
) -> None:
    published = load_settings(environ={})
    variable = {f"ELECDATA_{key}": value}
    for own in (
        {"ELECDATA_AUTH__SECRET": revealed(published.auth.secret)},
        {"ELECDATA_AUTH__KEYS__A": revealed(published.auth.secret)},
        {"ELECDATA_API_USERS__RICK": "morty"},
    ):
        config.load(**own).require_safe()
        with pytest.raises(SettingsError) as caught:
            config.load(**own, **variable).require_safe()
        assert str(caught.value).startswith(reason)
        assert "replace them: a" in str(caught.value)
    config.load(**variable).require_safe()


def test_published_secret_in_the_store_is_refused(config: Configuration) -> None:
    settings = config.load()
    signing_secret(settings)
    published = load_settings(environ={}).auth.secret
    settings.auth.secret_store.write_text(revealed(published))
    with pytest.raises(SettingsError, match="holds the demonstration's published secret; remove"):
        signing_secret(settings)


def test_own_credentials_may_serve_other_machines() -> None:
    settings = load_settings(
        environ={
            "ELECDATA_SERVER__HOST": "192.0.2.1",
            "ELECDATA_SERVER__PROXIES": "192.0.2.2",
            "ELECDATA_CACHE__URL": "redis://cache/0",
            "ELECDATA_DATABASE__URL": "mysql://db/elecprod",
            "ELECDATA_DATABASE__READER__PASSWORD": "mine",
            "ELECDATA_AUTH__SECRET": "",
            "ELECDATA_API_USERS": "{}",
        }
    )
    assert settings.demonstration_keys() == ()
    settings.require_safe()


def test_demonstration_login_is_known() -> None:
    assert is_demonstration("rick", "morty")
    assert is_demonstration("blue", "blue21")
    assert not is_demonstration("rick", "Morty")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_is_this_machine_only(config: Configuration, host: str, loopback: bool) -> None:
    assert config.load(ELECDATA_SERVER__HOST=host).server.is_loopback is loopback


# The signing secret


def test_configured_secret_signs_and_no_file_is_written(config: Configuration) -> None:
    settings = config.load(ELECDATA_AUTH__SECRET=SECRET)
    assert signing_secret(settings) == SECRET
    assert not settings.auth.secret_store.exists()


def test_secret_is_made_once_for_its_owner_only(config: Configuration) -> None:
    settings = config.load()
    store = settings.auth.secret_store
    secret = signing_secret(settings)
    assert len(secret) == 64
    assert signing_secret(settings) == secret
    assert store.stat().st_mode & 0o777 == 0o600
    assert store.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(store.parent) == [store.name]  # noqa: PTH208 - names are asked for


def test_processes_that_start_at_once_share_one_secret(config: Configuration) -> None:
    settings = config.load()
    barrier = Barrier(8)

    def start() -> str:
        barrier.wait()
        return signing_secret(settings)

    with ThreadPoolExecutor(8) as pool:
        secrets = {future.result() for future in [pool.submit(start) for _ in range(8)]}
    assert len(secrets) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_store_that_others_can_read_is_refused(config: Configuration, mode: int) -> None:
    settings = config.load()
    signing_secret(settings)
    settings.auth.secret_store.chmod(mode)
    with pytest.raises(SettingsError, match=r"^auth.secret_store: others have access to .*600 it$"):
        signing_secret(settings)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40])
def test_store_without_a_usable_secret_is_refused(config: Configuration, content: bytes) -> None:
    settings = config.load(ELECDATA_AUTH__SECRET_STORE="store")
    store = settings.auth.secret_store
    store.write_bytes(content)
    store.chmod(0o600)
    with pytest.raises(SettingsError, match="does not hold 32 characters of ASCII"):
        signing_secret(settings)


def test_store_that_is_no_file_is_refused(config: Configuration) -> None:
    settings = config.load(ELECDATA_AUTH__SECRET_STORE=".")
    with pytest.raises(SettingsError, match=r"^auth.secret_store: /.*: Is a directory$"):
        signing_secret(settings)


# Several signing keys


def test_keys_come_from_the_file_and_the_environment(config: Configuration, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("2" * 40 + "\n")
    auth = config.load(
        URL + f"auth: {{keys: {{a: {'1' * 40}}}, sign_with: c}}",
        ELECDATA_AUTH__KEYS__B_FILE=str(tmp_path / "key"),
        ELECDATA_AUTH__KEYS__C="3" * 40,
    ).auth
    assert {name: revealed(key.secret) for name, key in auth.keys.items()} == {
        "a": "1" * 40,
        "b": "2" * 40,
        "c": "3" * 40,
    }
    assert config.load(ELECDATA_AUTH__KEYS=f'{{"x.y": "{SECRET}"}}').auth.keys.keys() == {"x.y"}


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("keys: {a: short}", "config.yaml:3: auth.keys.a: expected at least 32 bytes, as from"),
        ("keys: {a: ''}", "config.yaml:3: auth.keys.a: expected at least 32 bytes, as from"),
        ("keys: {a: [x]}", "config.yaml:3: auth.keys.a: expected the key, or either secret or"),
        (f"keys: {{a: {{Secret: {SECRET}}}}}", "config.yaml:3: auth.keys.a: expected the key, or"),
        (f"keys: {{a: {{secret: {SECRET}, file: a}}}}", "config.yaml:3: auth.keys.a: expected the"),
        ("keys: {a: {from: 2027-06-01}}", "config.yaml:3: auth.keys.a: expected the key, or"),
        ("keys: {a: {secret: short}}", "config.yaml:3: auth.keys.a: expected at least 32 bytes"),
        (
            f"keys: {{a: {{secret: {SECRET}, from: June}}}}",
            "config.yaml:3: auth.keys.a: from: expected a time such as 2027-06-01 or",
        ),
        (
            f"keys: {{a: {{secret: {SECRET}, from: 2027-06-01, until: 2027-05-01}}}}",
            "config.yaml:3: auth.keys.a: until: expected a time after from",
        ),
        (
            f"keys: {{a: {{secret: {SECRET}, from: 2027-06-01}}}}\n  sign_with: a",
            "config.yaml:4: auth.sign_with: expected none where auth.keys have from or until",
        ),
        (
            "keys: {a: '-----BEGIN PUBLIC KEY-----'}",
            "config.yaml:3: auth.keys.a: expected a private Ed25519 key in PEM without a password",
        ),
        (
            "secret: '-----BEGIN PRIVATE KEY-----'",
            "config.yaml:3: auth.secret: expected a secret, keys in PEM belong into auth.keys",
        ),
        (f"keys: {{a/b: {SECRET}}}", "config.yaml:3: auth.keys: expected names of keys of 1 to 64"),
        (f"keys: {{'': {SECRET}}}", "config.yaml:3: auth.keys: expected names of keys of 1 to 64"),
        ("keys: a", "config.yaml:3: auth.keys: expected a mapping of the names of keys to secrets"),
        ("sign_with: a", "config.yaml:3: auth.sign_with: expected one of auth.keys: there is none"),
        (
            f"sign_with: a\n  keys: {{b: {SECRET}, c: {SECRET}}}",
            "config.yaml:3: auth.sign_with: expected one of auth.keys: b, c",
        ),
        (
            "attempts: 0",
            "config.yaml:3: auth.attempts: expected a whole number, 1 or more, got '0'",
        ),
    ],
)
def test_wrong_keys_are_named(config: Configuration, auth: str, expected: str) -> None:
    error = config.error(URL + f"auth:\n  {auth}")
    assert error.startswith(expected)


def test_key_with_a_schedule_comes_from_a_file_that_others_cannot_read(
    config: Configuration, tmp_path: Path
) -> None:
    auth = "auth: {keys: {a: {file: key, from: 2027-06-01, until: '2027-09-01T00:00+02:00'}}}"
    assert config.error(URL + auth).endswith("auth.keys.a: key: No such file or directory")
    (tmp_path / "key").write_text(f"{SECRET}\n")
    (tmp_path / "key").chmod(0o640)
    assert config.error(URL + auth).endswith("others have access to key; chmod 600 it")
    (tmp_path / "key").chmod(0o600)
    key = config.load(URL + auth).auth.keys["a"]
    assert revealed(key.secret) == SECRET
    assert (str(key.begins), str(key.ends)) == (
        "2027-06-01 00:00:00+00:00",
        "2027-09-01 00:00:00+02:00",
    )


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (os.mkfifo, "this is a named pipe, expected a regular file"),
        (lambda path, _: path.write_text("x" * 70_000), "expected at most 65536 bytes"),
    ],
    ids=["named pipe", "large"],
)
def test_key_is_read_from_a_regular_file_of_bounded_size_alone(
    config: Configuration, tmp_path: Path, make: Callable[[Path, int], object], fault: str
) -> None:
    key = tmp_path / "key"
    make(key, 0o600)
    key.chmod(0o600)
    error = config.error(URL + "auth: {keys: {a: {file: key}}}")
    assert error.endswith(f"auth.keys.a: key: {fault}")


def test_published_secret_is_no_safer_under_another_name(config: Configuration) -> None:
    published = load_settings(environ={}).auth.secret
    settings = config.load(ELECDATA_AUTH__KEYS__A=revealed(published))
    assert settings.demonstration_keys() == ("auth.keys.a",)
    with pytest.raises(SettingsError, match=r"auth.keys.a \(set another, the output of python"):
        config.load(
            ELECDATA_AUTH__KEYS__A=revealed(published), ELECDATA_SERVER__HOST="192.0.2.1"
        ).require_safe()
