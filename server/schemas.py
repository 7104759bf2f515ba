"""What goes out, as the document describes it."""

from marshmallow import Schema, fields

from storage.reading import COLUMNS, RECORD_KEYS

_OTHERS = {
    "id": "Number of the reading, in the order of import",
    "date": "Start of the interval, local time",
}
_COMMENTS = {column.name: column.comment for column in COLUMNS}

RecordSchema = Schema.from_dict(
    {
        key: fields.String(
            required=True,
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
