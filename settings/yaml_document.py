"""Parsing YAML into a mapping that knows the location of each key."""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from files.regular import open_regular
from settings.section import SettingsError

_NUMBER = re.compile("[0-9]+")


class PlainNumber(str):
    """A whole number that is not quoted: text, and the place of a column where one is named."""

    __slots__ = ()


def plain_text(text: str) -> str:
    """Return text that is not quoted."""
    return PlainNumber(text) if _NUMBER.fullmatch(text) else text


class _Loader(yaml.SafeLoader):
    """Loads YAML whose scalars are text or null, and whose keys are unique."""

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
                raise SettingsError(
                    f"{_location(name.start_mark)}: the key {name.value} stands twice"
                )
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        # JSON escapes an emoji as two surrogates, which YAML leaves apart.
        text: str = super().construct_scalar(node)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        is_plain = isinstance(node, yaml.ScalarNode) and not node.style
        return plain_text(text) if is_plain else text


@dataclass(frozen=True)
class YamlDocument:
    """A mapping, and the location of each of its keys."""

    source: str
    node: yaml.Node | None
    keys: dict[str, object]

    def has(self, key: Sequence[str]) -> bool:
        """Return whether a key has a value."""
        node: object = self.keys
        for name in key:
            node = node.get(name) if isinstance(node, dict) else None
        return node is not None

    def location(self, key: Sequence[str]) -> str:
        """Return `file:line` of a key, or of the nearest section around it."""
        location, node = self.source, self.node
        for name in key:
            pair = next((pair for pair in _pairs(node) if pair[0].value == name), None)
            if pair is None:
                break
            location, node = _location(pair[0].start_mark), pair[1]
        return location


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _location(mark: yaml.Mark) -> str:
    return f"{mark.name}:{mark.line + 1}"


def read_text(file: Path, prefix: str = "") -> str:
    """Return the text of a file; `prefix` begins the message of the SettingsError if it fails."""
    try:
        with open_regular(file) as opened:
            return opened.read().decode()
    except OSError as error:
        raise SettingsError(f"{prefix}{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
    raise SettingsError(f"{prefix}{file}:{line}: expected UTF-8")


def parse_yaml(text: str, source: str) -> YamlDocument:
    """Parse YAML from a source that error messages name; raise SettingsError."""
    try:
        loader = _Loader(text)
        loader.name = source
        node = loader.get_single_node()
        keys = {} if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        location = source if mark is None else _location(mark)
    except RecursionError:
        raise SettingsError(f"{source}: sections are nested too deeply") from None
    else:
        if isinstance(keys, dict):
            return YamlDocument(source, node, keys)
        raise SettingsError(f"{source}: expected a mapping of keys to values")
    # Without the parser's own words, which quote the text and thus perhaps a secret.
    raise SettingsError(
        f"{location}: not valid YAML; check the indentation, and quote text with special characters"
    )
