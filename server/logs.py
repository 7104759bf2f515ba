"""The log as configured: lines for people, or a JSON object a line for machines."""

import json
import logging
import sys
from datetime import UTC, datetime

from settings import Log

_TEXT = "%(asctime)s %(levelname)s %(message)s"


class JsonFormatter(logging.Formatter):
    """A record as a JSON object; what was given as `extra={"fields": ...}` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(log: Log) -> None:
    """Lets the log be as configured from now on."""
    logging.basicConfig(stream=sys.stderr)
    # None of these is in the lines, and each costs every one of them.
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    logging._srcfile = None  # as logging's documentation advises
    root = logging.getLogger()
    root.setLevel(log.level.upper())
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if log.format == "json" else logging.Formatter(_TEXT))


def is_json() -> bool:
    """Whether lines are JSON objects."""
    handlers = logging.getLogger().handlers
    return bool(handlers) and isinstance(handlers[0].formatter, JsonFormatter)
