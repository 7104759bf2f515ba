"""What goes out, as the document describes it."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields

from storage.reading import COLUMNS, RECORD_KEYS
from storage.table import Field

_OTHERS = {
    "id": "Number of the reading, in the order of import",
    "date": "Start of the interval, local time",
}
_COMMENTS = {column.name: column.comment for column in COLUMNS}

RecordSchema = Schema.from_dict(
    {
        key: fields.String(
            allow_none=key in _COMMENTS,
            metadata={"description": _COMMENTS.get(key) or _OTHERS[key]},
        )
        for key in RECORD_KEYS
    },
    name="RecordSchema",
)


class LeftOutSchema(Schema):
    """What was left out since it cannot be right."""

    readings = fields.String(required=True, metadata={"description": "Number of readings"})
    energy = fields.String(required=True, metadata={"description": "Their energy in kWh"})


class ValuesSchema(Schema):
    """The readings found."""

    numrecs = fields.Integer(required=True, metadata={"description": "Number of records"})
    next = fields.String(metadata={"description": "What `after` takes for the next part"})
    left_out = fields.Nested(LeftOutSchema, metadata={"description": "With quality=clean"})
    records = fields.List(fields.Nested(RecordSchema), required=True)


class AnswerSchema(Schema):
    """A success."""

    message = fields.String(required=True, metadata={"description": "Empty, or No data found"})
    status = fields.String(required=True, metadata={"description": "OK"})
    statusCode = fields.Integer(required=True)  # noqa: N815 - the contract's spelling
    values = fields.Nested(ValuesSchema, required=True)


_DEMAND_OF = fields.String(required=True, metadata={"description": "What demand is taken from"})
_REMARKS: Mapping[str, Mapping[str, fields.Field[Any]]] = {
    "getProfile": {
        "column": fields.String(required=True, metadata={"description": "What is told of"})
    },
    "getPeaks": {"demand_of": _DEMAND_OF},
    "getSummary": {
        "units": fields.Dict(
            fields.String(),
            fields.String(),
            required=True,
            metadata={"description": "The unit of each quantity"},
        ),
        "demand_of": _DEMAND_OF,
    },
}
"""What routes say beside their records."""


def table_schema(name: str, columns: Sequence[Field]) -> type[Schema]:
    """A success whose records have these fields."""
    record = Schema.from_dict(
        {
            column.name: fields.String(
                required=name != "getAggregate",  # there, `columns` leaves some out
                allow_none=True,
                metadata={"description": column.means},
            )
            for column in columns
        },
        name=f"{name}Record",
    )
    values = Schema.from_dict(
        {
            "numrecs": fields.Integer(required=True),
            **_REMARKS.get(name, {}),
            "left_out": fields.Nested(
                LeftOutSchema, metadata={"description": "With quality=clean"}
            ),
            "records": fields.List(fields.Nested(record), required=True),
        },
        name=f"{name}Values",
    )
    answer: type[Schema] = type(
        f"{name}Answer", (AnswerSchema,), {"values": fields.Nested(values, required=True)}
    )
    return answer


class ErrorSchema(Schema):
    """An error."""

    message = fields.String(metadata={"description": "What was wrong, and what was expected"})
    status = fields.String(required=True)
    statusCode = fields.String(required=True)  # noqa: N815 - the contract's spelling


class TokenSchema(Schema):
    """A login's success."""

    Authorization_type = fields.String(required=True)
    In = fields.String(required=True)
    Key = fields.String(required=True, metadata={"description": "Name of the header to send"})
    value_token = fields.String(required=True, metadata={"description": "What to send in it"})
