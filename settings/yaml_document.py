"""YAML, and where each of its keys stands."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from settings.section import SettingsError


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
class Document:
    """A mapping, and where each of its keys stands."""

    source: str
    node: yaml.Node | None
    keys: dict[str, object]

    def has(self, key: Sequence[str]) -> bool:
        """Whether there is something behind a key."""
        node: object = self.keys
        for name in key:
            node = node.get(name) if isinstance(node, dict) else None
        return node is not None

    def place(self, key: Sequence[str]) -> str:
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


def read_text(file: Path, prefix: str = "") -> str:
    """The text of a file; the prefix begins what is said where it can't be read."""
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise SettingsError(f"{prefix}{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
    raise SettingsError(f"{prefix}{file}:{line}: expected UTF-8")


def parse_yaml(text: str, source: str) -> Document:
    """The keys of a text, which came from a source that messages name."""
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
            return Document(source, node, keys)
        raise SettingsError(f"{source}: expected a mapping of keys to values")
    # Without the parser's own words, which quote the text and thus perhaps a secret.
    raise SettingsError(
        f"{place}: not valid YAML; check the indentation, and quote text with special characters"
    )
