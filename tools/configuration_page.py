"""Write docs/reference/configuration.md from the settings and the comments of config.yaml."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from settings import Settings
from settings.key_paths import Key, dotted, is_secret, variable_of
from settings.section import inner_section, is_named_sections

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "configuration.md"
HEAD = """\
# Configuration

Generated from the settings by `make reference-pages`.

Keys are set in `config.yaml`, or in the file that `--config` names. An environment variable
overrides its key. For a secret, append `_FILE` to the variable's name and set it to the path of a
file that holds the secret. Durations are in seconds; relative paths start from the folder of the
configuration file. Unknown keys and invalid values are errors: the program prints the key, its
source and what was expected, and exits.
"""
KEY = re.compile(r"( *)([a-z_]+):")


def page() -> str:
    """Return the text of the page."""
    meanings = meant((ROOT / "config.yaml").read_text())
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts.append(f"\n## {name}\n")
        parts += [entry(key, known, meanings) for key, known in keys((name,), field)]
    return "".join(parts)


def keys(key: Key, field: FieldInfo) -> Iterator[tuple[Key, FieldInfo]]:
    """Yield a key, or the keys of its section."""
    section = inner_section(field)
    if section is None or is_named_sections(field):
        yield key, field
    else:
        for name, known in section.model_fields.items():
            yield from keys((*key, known.alias or name), known)


def entry(key: Key, field: FieldInfo, meanings: Mapping[Key, str]) -> str:
    """Return the entry of a key."""
    meaning = meanings.get(key) or meanings.get(key[:-1], "")
    file = ", also with `_FILE`" if is_secret(key) else ""
    kept = "required" if field.is_required() else f"default: {default(field)}"
    return (
        f"\n**`{dotted(key)}`** {meaning}".rstrip()
        + f"\n\n- expected: {field.description}\n- {kept}\n- variable: `{variable_of(key)}`{file}\n"
    )


def default(field: FieldInfo) -> str:
    """Return the default as it would be written in config.yaml."""
    value = field.get_default()
    if value is None or value == {}:
        return "none"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, ByteSize):
        value = value.human_readable(separator="")
    elif isinstance(value, tuple):
        value = yaml.safe_dump([str(each) for each in value], default_flow_style=True).strip()
    return f"`{value}`"


def meant(text: str) -> dict[Key, str]:
    """Return the comments above the keys of config.yaml."""
    found: dict[Key, str] = {}
    above: Key = ()
    lines: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            lines.append(line.strip(" #"))
            continue
        if stands := KEY.match(line):
            indent, name = stands.groups()
            above = (*above[: len(indent) // 2], name)
            if lines:
                found[above] = " ".join(lines)
        lines = []
    return found


if __name__ == "__main__":
    PAGE.write_text(page())
