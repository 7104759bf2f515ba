"""The log as configured: lines for people, or a JSON object a line for machines."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from server.observability.access_log import AccessRecords
from settings import LogSettings


class LineFormatter(logging.Formatter):
    """Begins every line of a message with its time and level."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The lines of a record."""
        text = super().formatMessage(record)
        return text.replace("\n", "\n" + text[: len(text) - len(record.message)])


class JsonFormatter(logging.Formatter):
    """A record as a JSON object; what was given as `extra={"fields": ...}` becomes members.

    One that tells of several requests is an object for each, a line apart.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The text of the lines."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if isinstance(record.msg, AccessRecords):
            line["message"] = "request"
            return "\n".join(_dumped({**line, **fields}) for fields in record.msg.each())
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _dumped({**line, **getattr(record, "fields", {})})


def _dumped(line: Mapping[str, object]) -> str:
    return json.dumps(line, ensure_ascii=False)


def set_up_logging(log: LogSettings) -> None:
    """Lets the log be as configured from now on."""
    logging.basicConfig(stream=sys.stderr)
    root = logging.getLogger()
    root.setLevel(log.level.upper())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if log.format == "json" else LineFormatter())
