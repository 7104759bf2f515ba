"""The keys of config.yaml, and their names in messages and in environment variables."""

import difflib
from collections.abc import Iterable, Iterator
from typing import TypeAlias, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from settings.model import PREFIX, Settings
from settings.section import Section, inner_section, is_named_sections
from settings.values import MIN_SECRET_BYTES

Key: TypeAlias = tuple[str, ...]

FORMATS_SECTION = ("formats",)
NAMED_SECRETS = {
    ("api_users",): "a password that is not empty",
    ("auth", "keys"): f"at least {MIN_SECRET_BYTES} bytes",
}
"""Sections of secrets whose names are free, and what is expected of each secret."""
_ANY = "NAME"
"""Placeholder for the name of a format, which is free."""


def dotted(key: Key) -> str:
    """Return the name of a key in messages."""
    return ".".join(key)


def variable_of(key: Key) -> str:
    """Return the environment variable that sets a key."""
    return PREFIX + "__".join(key).upper()


def field_of(key: Key) -> FieldInfo | None:
    """Return the field that a key sets."""
    return _FIELDS.get(_generalize(key))


def is_mapping(key: Key) -> bool:
    """Return whether a section's own keys are free names."""
    return key == FORMATS_SECTION or key in NAMED_SECRETS


def is_named_secret(key: Key) -> bool:
    """Return whether a key is that of a secret with a free name."""
    return key[:-1] in NAMED_SECRETS


def is_secret(key: Key) -> bool:
    """Return whether a file can hold the key's value."""
    return _generalize(key) in _SECRETS or is_named_secret(key)


def is_variable(key: Key) -> bool:
    """Return whether an environment variable can set a key."""
    return is_mapping(key) or _generalize(key) in _LEAVES or is_named_secret(key)


def locatable_keys() -> list[Key]:
    """Return the keys whose location can be reported; of free names, the section's."""
    return [*(key for key in _LEAVES if _ANY not in key), FORMATS_SECTION]


def siblings(section: Key) -> str:
    """Return the names of the keys of a section, for messages."""
    return ", ".join(key[-1] for key in _FIELDS if key[:-1] == _generalize(section))


def suggest_key(key: Key) -> Key | None:
    """Return the key that resembles an unknown one, or has its name in another section."""
    general = _generalize(key)
    return _closest(key, (other for other in _FIELDS if other != general[: len(other)]))


def suggest_variable_key(key: Key) -> Key | None:
    """Do the same among the keys that an environment variable can set."""
    return _closest(key, _LEAVES)


def _closest(key: Key, known: Iterable[Key]) -> Key | None:
    general = _generalize(key)
    names = {dotted(other): other for other in known}
    similar = difflib.get_close_matches(_lowercase(general), names, n=1, cutoff=0.8)
    found = [names[name] for name in similar]
    found += [other for other in names.values() if other[-1] == key[-1]]
    if not found:
        return None
    is_named = general != key and found[0][:2] == general[:2]
    return (*key[:2], *found[0][2:]) if is_named else found[0]


def _lowercase(key: Key) -> str:
    return dotted(tuple(name if name == _ANY else name.lower() for name in key))


def _generalize(key: Key) -> Key:
    """Return the key with the name of a format replaced by the placeholder."""
    return (
        (*FORMATS_SECTION, _ANY, *key[2:]) if key[:1] == FORMATS_SECTION and len(key) > 1 else key
    )


def _fields(section: type[Section], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Yield every key of a section, sections included."""
    for name, field in section.model_fields.items():
        key = (*above, field.alias or name)
        yield key, field
        if inner := inner_section(field):
            if is_named_sections(field):
                key = (*key, _ANY)
                yield key, FieldInfo(annotation=inner)
            yield from _fields(inner, key)


_FIELDS = dict(_fields(Settings))
_LEAVES = [key for key, field in _FIELDS.items() if not inner_section(field)]
_SECRETS = [
    key
    for key, field in _FIELDS.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
]
