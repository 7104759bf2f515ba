"""Turn unexpected exceptions into one line and exit status 1."""

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cli.printing import print_line, print_lines


@contextmanager
def report_unexpected(*, debug: bool) -> Iterator[None]:
    """Exit with one line on standard error and status 1; with `debug`, print a traceback."""
    try:
        yield
        sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        is_left = isinstance(error, OSError) and error.errno == errno.EPIPE
        if is_left:  # click exits quietly if the reader has gone
            raise
        _give_up_output()
        if debug:
            print_lines(traceback.format_exc().rstrip("\n"), err=True)
        else:
            print_line(f"ERROR - {_told(error)}", err=True)
        sys.exit(1)


def _give_up_output() -> None:
    """Discard output that cannot be written; Python would try again at exit, and fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        what = f"{place}{error.strerror}"
    else:
        what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    return f"{what} (use --debug for a traceback)"
