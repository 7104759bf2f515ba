"""The tables, as numbered statements."""

import re
from importlib.resources import files


def statements(engine: str) -> list[str]:
    """The statements that make the tables of an engine, `mysql` or `sqlite`, in order."""
    text = files(__package__).joinpath(engine, "schema.sql").read_text("utf-8")
    parts = (re.sub(r"(?m)^--.*\n?", "", part).strip() for part in text.split(";\n\n"))
    return [part.removesuffix(";") for part in parts if part]
