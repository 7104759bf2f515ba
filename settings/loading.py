"""What a deployment may change: config.yaml and the environment as one frozen object.

The environment wins over config.yaml, and config.yaml over the defaults below. A variable is named
after its key, ELECDATA_SERVER__PORT for server.port; a secret can also come from the file that
ELECDATA_AUTH__SECRET_FILE names. Values are read as text and their key decides what they mean, so
that a password such as 0123 or `no` needs no quotes.
"""

import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ByteSize, ValidationError
from pydantic_core import ErrorDetails

from settings import key_paths
from settings.key_paths import Key, dotted, variable_of
from settings.model import PREFIX, Settings
from settings.section import SettingsError
from settings.yaml_document import Document, parse_yaml, read_text

# Types whose wrong values may be shown; text that is wrong may be a secret gone astray.
_HARMLESS = (int, float, Decimal, ByteSize, ZoneInfo)
# What pydantic calls a key that no section has.
_UNKNOWN = ("extra_forbidden", "invalid_key")


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file, by default the config.yaml of the project, and the environment."""
    file = _file(config)
    document = parse_yaml(read_text(file), str(file))
    overrides = _overrides(environ)
    sections: object = document.keys
    for key in sorted(overrides):
        sections = _with(sections, key, overrides[key].value)
    try:
        return Settings.model_validate(sections, context=file.absolute().parent)
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # Raised out here, so that the values inside the ValidationError stay out of its traceback.
    raise _fault(faults, document, overrides)


def sources(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where each key that is set was set: a line of the file, or a variable."""
    file = _file(config)
    document = parse_yaml(read_text(file), str(file))
    found = {key: document.place(key) for key in key_paths.placed() if document.has(key)}
    found.update({key: override.variable for key, override in _overrides(environ).items()})
    return {dotted(key): found[key] for key in sorted(found)}


def _file(config: Path | None) -> Path:
    return Path(__file__).parents[1] / "config.yaml" if config is None else config


@dataclass(frozen=True)
class _Override:
    variable: str
    value: object


def _overrides(environ: Mapping[str, str]) -> dict[Key, _Override]:
    """What the environment sets."""
    overrides: dict[Key, _Override] = {}
    for variable in sorted(environ):
        if not variable.upper().startswith(PREFIX):
            continue
        key, from_file = _target(variable)
        if key in overrides:
            raise SettingsError(
                f"{variable}: {dotted(key)}: also set by {overrides[key].variable}, expected one"
            )
        if not _is_utf8(environ[variable]):
            raise SettingsError(f"{variable}: {dotted(key)}: expected UTF-8")
        overrides[key] = _Override(variable, _value(variable, environ[variable], key, from_file))
    return overrides


def _is_utf8(text: str) -> bool:
    """Whether a variable's bytes could be decoded; the system marks those that could not."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _target(variable: str) -> tuple[Key, bool]:
    """The key that a variable sets, and whether it does so by naming a file."""
    name = variable[len(PREFIX) :].lower()
    key, filed = tuple(name.split("__")), tuple(name.removesuffix("_file").split("__"))
    if filed != key and key_paths.is_secret(filed):
        return filed, True
    if key_paths.is_variable(key):
        return key, False
    meant = key_paths.meant_variable(filed)
    if meant is None:
        hint = (
            f"expected {PREFIX} and a key of config.yaml, as in {variable_of(('server', 'port'))}"
        )
    else:
        ending = "_FILE" if filed != key and key_paths.is_secret(meant) else ""
        hint = f"did you mean {variable_of(meant)}{ending}?"
    raise SettingsError(f"{variable}: {dotted(key)}: no such key; {hint}")


def _value(variable: str, text: str, key: Key, from_file: bool) -> object:
    if from_file:
        return _secret(Path(text), f"{variable}: {dotted(key)}: ")
    return parse_yaml(text, variable).keys if key_paths.is_mapping(key) else text


def _secret(file: Path, prefix: str) -> str:
    """What a secret's file holds, but for the newline that editors and echo put behind it."""
    secret = re.sub(r"\r?\n\Z", "", read_text(file, prefix))
    if not secret:
        raise SettingsError(f"{prefix}{file} is empty, expected the secret")
    return secret


def _with(section: object, key: Key, value: object) -> object:
    """A section with one key set; what is no section stays, for validation to refuse."""
    if not key:
        return value
    held = {} if section is None else section
    if not isinstance(held, dict):
        return held
    return held | {key[0]: _with(held.get(key[0]), key[1:], value)}


def _fault(
    faults: list[ErrorDetails], document: Document, overrides: Mapping[Key, _Override]
) -> SettingsError:
    """The fault to mend first: a misspelt key, since others may follow from it."""
    fault = min(faults, key=lambda fault: fault["type"] not in _UNKNOWN)
    key = tuple(str(name) for name in fault["loc"])
    source = _source(key, document, overrides)
    # What is refused as a user's name may be "user:password", so it is left to its line.
    shown = key[:-2] if key[-1] == "[key]" else key
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return SettingsError(f"{source}: {dotted(shown)}: {_explained(fault, shown)}{more}")


def _source(key: Key, document: Document, overrides: Mapping[Key, _Override]) -> str:
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
    field = key_paths.field_of(key)
    if field and field.annotation in _HARMLESS and isinstance(fault["input"], str):
        return f"{expected}, got {reprlib.repr(fault['input'])}"
    return expected


def _unknown(key: Key) -> str:
    if meant := key_paths.meant(key):
        return f"no such key; did you mean {dotted(meant)}?"
    return f"no such key; expected {key_paths.siblings(key[:-1])}"


def _expected(key: Key) -> str:
    if key_paths.is_named_secret(key):
        return key_paths.NAMED_SECRETS[key[:-1]]
    field = key_paths.field_of(key)
    if field is None:
        # Only what stands in a list has a key that is not known by itself.
        return _expected(key[:-1])
    return field.description or f"a section with {key_paths.siblings(key)}"
