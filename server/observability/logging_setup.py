"""Logging as configured: text lines for people, or a JSON object per line for machines."""

import logging
import sys
from datetime import UTC, datetime

from cli.printing import printable, printable_json
from server.observability.access_log import AccessRecords
from settings import LogSettings


class LineFormatter(logging.Formatter):
    """Formats a record as printable text; each line of its message begins with time and level."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record and its traceback."""
        lines = super().format(record)
        if lines.replace("\n", "").isprintable():  # quicker than line by line
            return lines
        return "\n".join(map(printable, lines.split("\n")))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the lines of a record."""
        text = super().formatMessage(record)
        return text.replace("\n", "\n" + text[: len(text) - len(record.message)])


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object; `extra={"fields": ...}` gives it further members.

    Access records become one object, and one line, for each request.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, AccessRecords):
            line["message"] = "request"
            return "\n".join(printable_json({**line, **fields}) for fields in record.msg.each())
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable_json({**line, **getattr(record, "fields", {})})


def set_up_logging(log: LogSettings) -> None:
    """Apply the configuration of the log."""
    logging.basicConfig(stream=sys.stderr)
    root = logging.getLogger()
    root.setLevel(log.level.upper())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if log.format == "json" else LineFormatter())
