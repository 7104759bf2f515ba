"""The base class of the sections of config.yaml."""

from collections.abc import Mapping
from typing import get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo


class SettingsError(Exception):
    """A setting is wrong; the message is one line: where, which key, and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Section(BaseModel):
    """A section whose keys are all known, checked and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, keys: object) -> object:
        """Treat a key without a value as omitted, and an omitted section as an empty one."""
        if not isinstance(keys, dict):
            return keys
        fields = cls.model_fields
        filled: dict[object, object] = {
            name: {}
            for name, field in fields.items()
            if field.is_required() and inner_section(field)
        }
        filled.update((k, v) for k, v in keys.items() if v is not None or k not in fields)
        return filled


def inner_section(field: FieldInfo) -> type[Section] | None:
    """Return the section that a field contains, if any."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None


def is_named_sections(field: FieldInfo) -> bool:
    """Return whether a field contains sections under free names."""
    return get_origin(field.annotation) is Mapping
