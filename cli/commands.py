"""Commands whose errors of usage are printed like all other text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from cli.printing import printable


class EscapingCommand(click.Command):
    """A command that escapes what it quotes of its command line."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the command line."""
        with _escaped_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _escaped_errors():
            return super().invoke(ctx)


class EscapingGroup(EscapingCommand, click.Group):
    """A group of commands that does so."""


@contextmanager
def _escaped_errors() -> Iterator[None]:
    try:
        yield
    except (click.exceptions.NoArgsIsHelpError, click.MissingParameter):
        raise  # these quote nothing, in several lines
    except click.UsageError as error:
        raise click.UsageError(printable(error.format_message()), error.ctx) from None
    except click.ClickException as error:
        raise click.ClickException(printable(error.format_message())) from None
