"""Printing: the only place where a command's text reaches a terminal, a pipe or a journal.

Names of files, cells of reports, settings and errors of a database hold whatever somebody wrote.
What is not printable in them is shown as an escape, so that it moves no cursor, changes no colour
and hides or reorders nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping

import click

_JSON_UNPRINTABLE = re.compile("[^\\x20-\\x7e]")


def printable(text: str) -> str:
    """Return the text with control characters, invisible ones and line ends as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable_json(document: object) -> str:
    """Return a document as one line of JSON, unprintable characters as escapes."""
    text = json.dumps(document, ensure_ascii=False)
    return text if text.isprintable() else _JSON_UNPRINTABLE.sub(_escape_json, text)


def print_line(text: str, *, err: bool = False, label: str = "") -> None:
    """Print a line, on standard error if `err`; a label before it may have colours."""
    click.echo(f"{label}{printable(text)}", err=err)


def print_lines(text: str, *, err: bool = False) -> None:
    """Print a text of several lines."""
    for line in text.split("\n"):
        print_line(line, err=err)


def print_json(document: object) -> None:
    """Print a document as one line of JSON, unprintable characters as escapes."""
    click.echo(printable_json(document))


def print_json_with_items(
    document: Mapping[str, object], key: str, items: Iterable[object]
) -> None:
    """Print a document as one line of JSON, with many items under a further key, one by one."""
    click.echo(f"{printable_json(document)[:-1]}, {printable_json(key)}: [", nl=False)
    separator = ""
    for item in items:
        click.echo(f"{separator}{printable_json(item)}", nl=False)
        separator = ", "
    click.echo("]}")


def _escape_json(found: re.Match[str]) -> str:
    letter = found[0]
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]
