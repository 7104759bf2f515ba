"""The rows of a report in the project's own format."""

from domain.quantities import QUANTITIES
from loader.formats.monitoring import MONITORING_HEADER

HEADER_LINE = f"{','.join(MONITORING_HEADER)}\n"
ROW = "%s" + len(QUANTITIES) * ",%.3f" + "\n"  # faster than an f-string
EMPTY_VALUES = "," * len(QUANTITIES) + "\n"
"""What follows the time in a row without values."""
