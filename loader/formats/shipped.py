"""The formats of portals and programs that are known without any configuration."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from settings import FormatSettings, load_formats

SHIPPED_FILE = Path(__file__).with_name("shipped.yaml")


@cache
def shipped_settings() -> Mapping[str, FormatSettings]:
    """Return the settings of the shipped formats, by name; the file is read once."""
    return load_formats(SHIPPED_FILE)
