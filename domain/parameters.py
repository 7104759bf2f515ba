"""Request parameters, each declared once: its object parses it, and documentation is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from domain.readings_query import QueryError

Params = Mapping[str, str]
"""The parameters of a request, by name."""

T = TypeVar("T")
D = TypeVar("D", int, None)
E = TypeVar("E", bound=Enum)

DATE_PATTERN = "^[0-9:. TtZz%_+-]{1,64}$"
"""The regular expression of a date pattern or a bound of a range, with a UTC offset or without."""


def csv_pattern(item: str) -> str:
    """Return the regular expression of one or several items, separated by commas."""
    return f"^ *({item}) *(, *({item}) *)*$"


@dataclass(frozen=True)
class Parameter:
    """A text, parsed by the query that it belongs to."""

    name: str
    description: str
    example: str | int | None = None
    pattern: str | None = None
    is_required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema keywords of the value."""
        return {"pattern": self.pattern} if self.pattern else {}


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter, Generic[T]):
    """One of some texts, by default the first, each of which stands for a value."""

    choices: Mapping[str, T]
    expected: str = ""
    """The choices in words, in an error message."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema keywords of the value."""
        names = list(self.choices)
        return {"enum": names, "default": names[0]}

    def parse(self, params: Params) -> T:
        """Return the value chosen; raise QueryError."""
        text = params.get(self.name, next(iter(self.choices)))
        if text not in self.choices:
            expected = self.expected or f"any of {', '.join(self.choices)}"
            raise QueryError(self.name, f"expected {expected}, got {text[:40]!a}")
        return self.choices[text]


def enum_choice(name: str, description: str, choices: type[E]) -> Choice[E]:
    """Return a choice of the members of an enumeration, by their values."""
    return Choice(name, description, choices={member.value: member for member in choices})


def either(name: str, description: str, choices: Sequence[str]) -> Choice[str]:
    """Return a choice of a few texts."""
    return Choice(
        name,
        description,
        choices={choice: choice for choice in choices},
        expected=" or ".join(choices),
    )


@dataclass(frozen=True, kw_only=True)
class Integer(Parameter, Generic[D]):
    """A whole number within bounds."""

    minimum: int
    maximum: int
    default: D
    kind: str = "whole number"
    """The kind of number, in an error message."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema keywords of the value."""
        return {"minimum": self.minimum, "maximum": self.maximum}

    def parse(self, params: Params) -> int | D:
        """Return the number, or the default; raise QueryError."""
        text = params.get(self.name)
        if text is None:
            return self.default
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(self.maximum))
        if not is_number or not self.minimum <= int(text) <= self.maximum:
            raise QueryError(
                self.name,
                f"expected a {self.kind} from {self.minimum} to {self.maximum}, got {text[:40]!a}",
            )
        return int(text)
