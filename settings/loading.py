"""Loading config.yaml and the environment into one frozen object.

The environment wins over config.yaml, and config.yaml over the defaults of the model. A variable is
named after its key, ELECDATA_SERVER__PORT for server.port; a secret can also come from the file
that ELECDATA_AUTH__SECRET_FILE names. Values are read as text and their key decides what they mean,
so that a password such as 0123 or `no` needs no quotes.
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

from settings.key_paths import (
    NAMED_SECRETS,
    Key,
    dotted,
    field_of,
    is_mapping,
    is_named_secret,
    is_secret,
    is_variable,
    locatable_keys,
    siblings,
    suggest_key,
    suggest_variable_key,
    variable_of,
)
from settings.model import PREFIX, Settings
from settings.report_formats.format import FormatSettings
from settings.section import Section, SettingsError
from settings.values import FormatName
from settings.yaml_document import YamlDocument, parse_yaml, plain_text, read_text

# Types whose wrong values may be shown; wrong text may be a misplaced secret.
_SHOWABLE_TYPES = (int, float, Decimal, ByteSize, ZoneInfo)
# Pydantic's error types for an unknown key.
_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Load the settings; `config` is the project's config.yaml by default. Raise SettingsError."""
    file = _config_path(config)
    document = parse_yaml(read_text(file), str(file))
    overrides = _overrides(environ)
    sections: object = document.keys
    for key in sorted(overrides):
        sections = _set_key(sections, key, overrides[key].value)
    try:
        return Settings.model_validate(sections, context=file.absolute().parent)
    except ValidationError as error:
        details = error.errors(include_url=False)
    # Raised out here, so that the values inside the ValidationError stay out of its traceback.
    raise _to_settings_error(details, document, overrides)


class _FormatsFile(Section):
    """A file that has formats and nothing else."""

    formats: Mapping[FormatName, FormatSettings]


def load_formats(file: Path) -> Mapping[str, FormatSettings]:
    """Load the section `formats` of a file that has no other. Raise SettingsError."""
    document = parse_yaml(read_text(file), str(file))
    try:
        return _FormatsFile.model_validate(document.keys).formats
    except ValidationError as error:
        details = error.errors(include_url=False)
    raise _to_settings_error(details, document, {})


def sources(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the source of each key that is set: a line of the file, or a variable."""
    file = _config_path(config)
    document = parse_yaml(read_text(file), str(file))
    found = {key: document.location(key) for key in locatable_keys() if document.has(key)}
    found.update({key: override.variable for key, override in _overrides(environ).items()})
    return {dotted(key): found[key] for key in sorted(found)}


def _config_path(config: Path | None) -> Path:
    return Path(__file__).parents[1] / "config.yaml" if config is None else config


@dataclass(frozen=True)
class _Override:
    variable: str
    value: object


def _overrides(environ: Mapping[str, str]) -> dict[Key, _Override]:
    """Return the values that the environment sets."""
    overrides: dict[Key, _Override] = {}
    for variable in sorted(environ):
        if not variable.upper().startswith(PREFIX):
            continue
        key, from_file = _parse_variable(variable)
        if key in overrides:
            raise SettingsError(
                f"{variable}: {dotted(key)}: also set by {overrides[key].variable}, expected one"
            )
        if not _is_utf8(environ[variable]):
            raise SettingsError(f"{variable}: {dotted(key)}: expected UTF-8")
        overrides[key] = _Override(
            variable, _read_value(variable, environ[variable], key, from_file)
        )
    return overrides


def _is_utf8(text: str) -> bool:
    """Return whether a variable could be decoded; Python marks bytes that could not."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _parse_variable(variable: str) -> tuple[Key, bool]:
    """Return the key that a variable sets, and whether it names a file with the value."""
    name = variable[len(PREFIX) :].lower()
    key, file_key = tuple(name.split("__")), tuple(name.removesuffix("_file").split("__"))
    if file_key != key and is_secret(file_key):
        return file_key, True
    if is_variable(key):
        return key, False
    suggestion = suggest_variable_key(file_key)
    if suggestion is None:
        hint = (
            f"expected {PREFIX} and a key of config.yaml, as in {variable_of(('server', 'port'))}"
        )
    else:
        ending = "_FILE" if file_key != key and is_secret(suggestion) else ""
        hint = f"did you mean {variable_of(suggestion)}{ending}?"
    raise SettingsError(f"{variable}: {dotted(key)}: no such key; {hint}")


def _read_value(variable: str, text: str, key: Key, from_file: bool) -> object:
    if from_file:
        return _read_secret(Path(text), f"{variable}: {dotted(key)}: ")
    return parse_yaml(text, variable).keys if is_mapping(key) else plain_text(text)


def _read_secret(file: Path, prefix: str) -> str:
    """Return the secret in a file, without the newline that editors and echo append."""
    secret = re.sub(r"\r?\n\Z", "", read_text(file, prefix))
    if not secret:
        raise SettingsError(f"{prefix}{file} is empty, expected the secret")
    return secret


def _set_key(section: object, key: Key, value: object) -> object:
    """Return a section with one key set; a value that is no section stays, and validation fails."""
    if not key:
        return value
    keys = {} if section is None else section
    if not isinstance(keys, dict):
        return keys
    return keys | {key[0]: _set_key(keys.get(key[0]), key[1:], value)}


def _to_settings_error(
    errors: list[ErrorDetails], document: YamlDocument, overrides: Mapping[Key, _Override]
) -> SettingsError:
    """Return the error to fix first: an unknown key, since others may follow from it."""
    error = min(errors, key=lambda error: error["type"] not in _UNKNOWN_KEY)
    key = tuple(str(name) for name in error["loc"])
    source = _source(key, document, overrides)
    # What is refused as a user's name may be "user:password", so it is left to its line.
    shown = key[:-2] if key[-1] == "[key]" else key
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return SettingsError(f"{source}: {dotted(shown)}: {_explain(error, shown)}{more}")


def _source(key: Key, document: YamlDocument, overrides: Mapping[Key, _Override]) -> str:
    """Return the variable or the line of the file that set a key."""
    for length in range(len(key), 0, -1):
        if override := overrides.get(key[:length]):
            return override.variable
    return document.location(key)


def _explain(error: ErrorDetails, key: Key) -> str:
    """Return what is wrong with a key, with its value only if that can't be a secret."""
    if error["type"] in _UNKNOWN_KEY:
        return _explain_unknown(key)
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    expected = f"expected {_describe(key)}"
    if error["type"] == "missing":
        return f"missing, {expected}"
    field = field_of(key)
    if field and field.annotation in _SHOWABLE_TYPES and isinstance(error["input"], str):
        return f"{expected}, got {reprlib.repr(error['input'])}"
    return expected


def _explain_unknown(key: Key) -> str:
    if suggestion := suggest_key(key):
        return f"no such key; did you mean {dotted(suggestion)}?"
    return f"no such key; expected {siblings(key[:-1])}"


def _describe(key: Key) -> str:
    if is_named_secret(key):
        return NAMED_SECRETS[key[:-1]]
    field = field_of(key)
    if field is None:
        # Only an item of a list has a key without a field.
        return _describe(key[:-1])
    return field.description or f"a section with {siblings(key)}"
