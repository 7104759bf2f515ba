"""The keys that config.yaml may have, and how messages and variables name them."""

import difflib
from collections.abc import Iterable, Iterator
from typing import TypeAlias, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from settings.model import MIN_SECRET_BYTES, PREFIX, Settings
from settings.section import Section, inner_section, is_named_sections

Key: TypeAlias = tuple[str, ...]

FORMATS = ("formats",)
NAMED_SECRETS = {
    ("api_users",): "a password that is not empty",
    ("auth", "keys"): f"at least {MIN_SECRET_BYTES} bytes",
}
"""Sections whose keys are names of the user's own choosing, and what each secret has to be."""
_ANY = "NAME"
"""Stands for the name of a format, which anybody may choose."""


def dotted(key: Key) -> str:
    """A key as messages name it."""
    return ".".join(key)


def variable_of(key: Key) -> str:
    """The variable that sets a key."""
    return PREFIX + "__".join(key).upper()


def field_of(key: Key) -> FieldInfo | None:
    """What is known of a key."""
    return _FIELDS.get(_general(key))


def is_mapping(key: Key) -> bool:
    """Whether its own keys are names that anybody may choose."""
    return key == FORMATS or key in NAMED_SECRETS


def is_named_secret(key: Key) -> bool:
    """Whether it is the key of a secret with a name that anybody may choose."""
    return key[:-1] in NAMED_SECRETS


def is_secret(key: Key) -> bool:
    """Whether a file may hold its value."""
    return _general(key) in _SECRETS or is_named_secret(key)


def is_variable(key: Key) -> bool:
    """Whether a variable may set it."""
    return is_mapping(key) or _general(key) in _LEAVES or is_named_secret(key)


def placed() -> list[Key]:
    """The keys whose place messages can give: of names that anybody may choose, what is above."""
    return [*(key for key in _LEAVES if _ANY not in key), FORMATS]


def siblings(section: Key) -> str:
    """The keys of a section."""
    return ", ".join(key[-1] for key in _FIELDS if key[:-1] == _general(section))


def meant(key: Key) -> Key | None:
    """The key that a misspelt one resembles, or that bears its name in another section."""
    general = _general(key)
    return _meant(key, (other for other in _FIELDS if other != general[: len(other)]))


def meant_variable(key: Key) -> Key | None:
    """The same, of keys that a variable may set."""
    return _meant(key, _LEAVES)


def _meant(key: Key, known: Iterable[Key]) -> Key | None:
    general = _general(key)
    names = {dotted(other): other for other in known}
    near = difflib.get_close_matches(_folded(general), names, n=1, cutoff=0.8)
    found = [names[name] for name in near]
    found += [other for other in names.values() if other[-1] == key[-1]]
    if not found:
        return None
    is_named = general != key and found[0][:2] == general[:2]
    return (*key[:2], *found[0][2:]) if is_named else found[0]


def _folded(key: Key) -> str:
    return dotted(tuple(name if name == _ANY else name.lower() for name in key))


def _general(key: Key) -> Key:
    """The key with a format's name replaced by what stands for any."""
    return (*FORMATS, _ANY, *key[2:]) if key[:1] == FORMATS and len(key) > 1 else key


def _fields(section: type[Section], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key under a section, sections included."""
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
