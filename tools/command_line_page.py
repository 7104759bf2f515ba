"""Write docs/reference/command-line.md from the commands' help; `make reference-pages` runs it."""

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from elecdata import main

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "command-line.md"
HEAD = """\
# Command line

Generated from the commands' `--help` by `make reference-pages`.

Activate the environment first: `. .venv/bin/activate` in the project's folder. Every command also
takes `-h` and `--help`. The commands can be run as modules too: `python -m server` for
`elecdata serve`, `python -m loader` for `elecdata load`, and `python -m loader.meters`,
`python -m loader.users`, `python -m loader.backup` and `python -m loader.sample`.
"""


def page() -> str:
    """Return the text of the page."""
    return HEAD + "".join(_section(context) for context in _contexts(main, "elecdata"))


def _contexts(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Yield the context of a command and those of the commands within it."""
    context = click.Context(command, parent, info_name=name, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for inner_name in command.list_commands(context):
            inner = command.get_command(context, inner_name)
            assert inner is not None
            yield from _contexts(inner, inner_name, context)


def _section(context: click.Context) -> str:
    """Return what a command does, its usage, its options and its examples."""
    text, _, end = cleandoc(context.command.help or "").replace("\b\n", "").partition("Example")
    examples, _, status = end.partition("Status: ")
    parts = [
        f"\n## {context.command_path}\n\n{text.strip()}\n\n",
        f"```text\n{context.get_usage().removeprefix('Usage: ')}\n```\n",
    ]
    rows = [
        f"| {', '.join(f'`{name}`' for name in _names(param, context))} | {_meaning(param)} |\n"
        for param in context.command.params
        if isinstance(param, click.Option) and not param.hidden
    ]
    if rows:
        parts.append("\n| option | meaning |\n|---|---|\n" + "".join(rows))
    lines = re.findall(r"(?m)^ +(\S.*)$", examples)
    parts.append("\nExamples:\n\n```text\n" + "".join(f"{line}\n" for line in lines) + "```\n")
    if status:
        parts.append(f"\nExit status: {status.strip()}\n")
    return "".join(parts)


def _names(option: click.Option, context: click.Context) -> list[str]:
    """Return an option's names, with the placeholder of its value."""
    if option.is_flag or option.name == "version":
        return list(option.opts)
    return [f"{name} {option.make_metavar(context)}" for name in option.opts]


def _meaning(option: click.Option) -> str:
    """Return an option's help, with its default where it shows one."""
    shown = f" Default: `{option.default}`." if option.show_default else ""
    return f"{option.help}{shown}"


if __name__ == "__main__":
    PAGE.write_text(page())
