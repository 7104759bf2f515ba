"""The page of all settings; `make reference-pages` makes it of their model and config.yaml."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from settings import Settings
from settings.key_paths import Key, dotted, is_secret, variable_of
from settings.section import inner_section, is_named_sections

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "configuration.md"
HEAD = """\
# Configuration

Made from the settings themselves by `make reference-pages`. Keys stand in `config.yaml`, or in
the file that `--config` names. A variable overrides its key; that of a secret may instead have
`_FILE` behind its name and name a file that holds it. Durations are seconds, and relative paths
start from the folder of the file. Where a key isn't known or a value isn't possible, both programs
say which, where it stands and what was expected, and do nothing else.
"""
KEY = re.compile(r"( *)([a-z_]+):")


def page() -> str:
    """The text of the page."""
    meanings = meant((ROOT / "config.yaml").read_text())
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts.append(f"\n## {name}\n")
        parts += [entry(key, known, meanings) for key, known in keys((name,), field)]
    return "".join(parts)


def keys(key: Key, field: FieldInfo) -> Iterator[tuple[Key, FieldInfo]]:
    """A key, or those of its section."""
    section = inner_section(field)
    if section is None or is_named_sections(field):
        yield key, field
    else:
        for name, known in section.model_fields.items():
            yield from keys((*key, known.alias or name), known)


def entry(key: Key, field: FieldInfo, meanings: Mapping[Key, str]) -> str:
    """What is known of a key."""
    meaning = meanings.get(key) or meanings.get(key[:-1], "")
    file = ", also with `_FILE`" if is_secret(key) else ""
    return (
        f"\n**`{dotted(key)}`** {meaning}".rstrip()
        + f"\n\n- expected: {field.description}\n- default: {default(field)}\n"
        f"- variable: `{variable_of(key)}`{file}\n"
    )


def default(field: FieldInfo) -> str:
    """What holds where a key is left out."""
    if field.is_required():
        return "none, it has to be there"
    value = field.get_default()
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, ByteSize):
        value = value.human_readable(separator="")
    return "none" if value is None or value == {} else f"`{value}`"


def meant(text: str) -> dict[Key, str]:
    """The comments above the keys of config.yaml."""
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
