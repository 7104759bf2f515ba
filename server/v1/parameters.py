"""The parameters that several routes of /v1 have."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from domain.flags import FLAGS
from domain.parameters import Choice, Integer, Parameter, Params, csv_pattern, either
from domain.quantities import ALL_QUANTITY_NAMES, EXPORTED_QUANTITIES, QUANTITY_NAMES
from domain.readings_query import QueryError
from domain.record_layout import FLAGS_COLUMN, MAX_LIMIT
from server.errors import ParameterError
from server.v1.formats.base import DIALECTS, RFC_4180, V1Format, WriteOptions
from server.v1.formats.negotiation import V1_FORMAT
from storage.figures.selection import Period

TIME_PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?([Zz]|[+ -][0-9]{2}(:?[0-9]{2})?)?)?$"
)
"""The regular expression of a day, a local time or an instant."""

_TIME = re.compile(TIME_PATTERN)

FROM = Parameter(
    "from",
    "Start, inclusive: a day or a local time of the meter, such as 2019-09-01, or an instant (RFC"
    " 3339) such as 2019-09-01T00:00:00+02:00 or 2019-08-31T22:00:00Z. By default the first"
    " reading.",
    pattern=TIME_PATTERN,
)
TO = Parameter(
    "to",
    "End, exclusive, written as from. By default the last reading, inclusive.",
    pattern=TIME_PATTERN,
)
V1_QUALITY = either(
    "quality",
    "With clean, implausible readings are left out; meta says how many, and their energy.",
    ("raw", "clean"),
)
PERIOD = (FROM, TO)
V1_LIMIT = Integer(
    "limit",
    "Maximum number of records. If there are more, links.next and the header Link have the URL of"
    " the next page.",
    minimum=1,
    maximum=MAX_LIMIT,
    default=None,
)
CURSOR = Parameter(
    "cursor",
    "Continues after a page: part of the URL that links.next or the header Link gave.",
    pattern="^[A-Za-z0-9_=-]{1,200}$",
)
PAGING = (V1_LIMIT, CURSOR)
START = "start"
"""What records call the start of their interval."""

_COLUMN_NAMES = {START: "date"} | {name: name for name in ("id", *ALL_QUANTITY_NAMES, FLAGS_COLUMN)}
_EXPORTED = " and ".join(quantity.name for quantity in EXPORTED_QUANTITIES)
DEFAULT_FIELDS = (START, *QUANTITY_NAMES)
READING_FIELDS = Parameter(
    "fields",
    f"Fields to return, in this order: any of {', '.join(_COLUMN_NAMES)}. The flags of a reading"
    f" are any of {', '.join(flag.name for flag in FLAGS)}, separated by spaces. By default all"
    f" but id, {_EXPORTED} and flags.",
    pattern=csv_pattern("|".join(_COLUMN_NAMES)),
)
MEASURE_FIELDS = Parameter(
    "fields",
    f"Quantities to aggregate: any of {', '.join(ALL_QUANTITY_NAMES)}; by default all but"
    f" {_EXPORTED}. And {FLAGS_COLUMN}: the number of readings with each flag.",
    pattern=csv_pattern("|".join((*ALL_QUANTITY_NAMES, FLAGS_COLUMN))),
)
_DIALECT = Choice(
    "dialect",
    "With format=csv: excel for spreadsheets (byte order mark, local times), excel-es for those"
    " that are set to Spanish, German or the like (semicolons and decimal commas, too).",
    choices=DIALECTS,
)
_LAST_LINE = Choice(
    "summary",
    "With format=ndjson: line adds a last line with meta and links.",
    choices={"none": False, "line": True},
)
WRITING = (V1_FORMAT, _DIALECT, _LAST_LINE)
"""The parameters of how records are written."""


def parse_period(params: Params, *, has_quality: bool = True) -> Period:
    """Return the period that the parameters name; raise QueryError."""
    bounds = {each.name: params[each.name] for each in PERIOD if each.name in params}
    for name, text in bounds.items():
        if not _TIME.fullmatch(text):
            raise QueryError(
                name,
                "expected a day like 2019-09-01, or a time like 2019-09-01T10:45:00 or"
                f" 2019-09-01T10:45:00+02:00, got {text[:40]!a}",
            )
    is_clean = has_quality and V1_QUALITY.parse(params) == "clean"
    written = {name: text.upper() for name, text in bounds.items()}
    return Period.half_open(written, (FROM.name, TO.name), is_clean=is_clean)


def parse_reading_fields(params: Params) -> tuple[str, ...]:
    """Return the columns that the parameter names; raise QueryError."""
    text = params.get(READING_FIELDS.name)
    names = DEFAULT_FIELDS if text is None else tuple(name.strip(" ") for name in text.split(","))
    for index, name in enumerate(names):
        if name not in _COLUMN_NAMES:
            raise QueryError(
                READING_FIELDS.name,
                f"expected any of {', '.join(_COLUMN_NAMES)}, got {name[:40]!a}",
            )
        if name in names[:index]:
            raise QueryError(READING_FIELDS.name, f"expected each at most once, got {name!a} twice")
    return tuple(_COLUMN_NAMES[name] for name in names)


def parse_writing(params: Params, output: V1Format) -> WriteOptions:
    """Return how records are written; raise ParameterError for what the format does not have."""
    dialect, has_last_line = _DIALECT.parse(params), _LAST_LINE.parse(params)
    if dialect != RFC_4180 and output.name != "csv":
        raise ParameterError(f"dialect: expected format=csv with it, got {output.name}")
    if has_last_line and output.name != "ndjson":
        raise ParameterError(f"summary: expected format=ndjson with it, got {output.name}")
    return WriteOptions(dialect, has_last_line)


@contextmanager
def renaming(names: Mapping[str, str]) -> Iterator[None]:
    """Have errors of parameters name those of /v1."""
    try:
        yield
    except QueryError as error:
        name = names.get(error.parameter, error.parameter)
        raise QueryError(name, error.message) from None
