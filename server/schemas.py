"""What goes in and out, as the document describes it."""

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


class ValuesSchema(Schema):
    """The readings found."""

    numrecs = fields.Integer(required=True, metadata={"description": "Number of records"})
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


class NoParameters(Schema):
    """Nothing to choose."""


class IdParameters(Schema):
    """Which readings, by number."""

    id = fields.String(
        required=True,
        metadata={
            "description": "One or several ids, separated by commas; unknown ones are left out.",
            "x-example": "5,100",
            "default": "5,100",
        },
    )


class DateParameters(Schema):
    """Which readings, by a pattern."""

    date = fields.String(
        required=True,
        metadata={
            "description": (
                "Pattern for YYYY-MM-DD HH:MM:SS as a whole: % stands for any run of characters, "
                "_ for any one. 2019-09-11% is a day, 2019-09-11_0_:00:00 its whole hours to 9."
            ),
            "x-example": "2019-09-11_0_:00:00",
            "default": "2019-09-11_0_:00:00",
        },
    )


class RangeParameters(Schema):
    """Which readings, by their time."""

    date = fields.String(
        required=True,
        metadata={
            "description": (
                "Begin, included, local time. A part of a date, or one with % or _, stands for "
                "the earliest instant that matches."
            ),
            "x-example": "2019-09-12 10:00:00",
            "default": "2019-09-12 10:00:00",
        },
    )
    end_date = fields.String(
        required=True,
        metadata={
            "description": "End, included, by the same rule.",
            "x-example": "2019-09-12 10:30:00",
            "default": "2019-09-12 10:30:00",
        },
    )
