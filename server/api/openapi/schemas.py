"""OpenAPI schemas of responses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from marshmallow import Schema, fields

from domain.quantities import DECIMALS, QUANTITIES, RECORD_KEYS
from domain.record_layout import FLAGS_COLUMN
from storage.figures.result import Field, FieldType

_COMMENTS = {column.name: column.comment for column in QUANTITIES}
_FIELDS = {
    "id": Field("id", FieldType.COUNT, "Id of the reading, in the order of import"),
    "date": Field("date", FieldType.INSTANT, "Start of the interval, in local time"),
    FLAGS_COLUMN: Field(FLAGS_COLUMN, FieldType.TEXT, "Quality flags; only if requested"),
    **{
        column.name: Field(column.name, FieldType.QUANTITY, column.comment, column.result_unit)
        for column in QUANTITIES
    },
}
_TEXTS = {FieldType.COUNT: "^[0-9]+$", FieldType.QUANTITY: rf"^-?[0-9]+\.[0-9]{{{DECIMALS}}}$"}


def _value(field: Field, **options: Any) -> fields.Field[Any]:
    """Return the schema of a value, of any type if values=number turns texts into numbers."""
    described = {"description": field.means}
    if field.unit is not None:
        described["x-unit"] = field.unit
    if field.kind not in _TEXTS:
        return fields.String(metadata=described, **options)
    return fields.Raw(metadata=described | {"pattern": _TEXTS[field.kind]}, **options)


RecordSchema = Schema.from_dict(
    {
        key: _value(_FIELDS[key], allow_none=key in _COMMENTS)
        for key in (*RECORD_KEYS, FLAGS_COLUMN)
    },
    name="RecordSchema",
)


class LeftOutSchema(Schema):
    """Implausible readings, their number and their energy."""

    readings = _value(Field("readings", FieldType.COUNT, "Number of readings"), required=True)
    energy = _value(
        Field("energy", FieldType.QUANTITY, "Their energy in kWh", "kWh"), required=True
    )


class ValuesSchema(Schema):
    """The readings found."""

    numrecs = fields.Integer(required=True, metadata={"description": "Number of records"})
    next = fields.String(metadata={"description": "The value of `after` for the next page"})
    left_out = fields.Nested(LeftOutSchema, metadata={"description": "With quality=clean"})
    records = fields.List(fields.Nested(RecordSchema), required=True)


class EnvelopeSchema(Schema):
    """A success."""

    message = fields.String(required=True, metadata={"description": "Empty, or No data found"})
    status = fields.String(required=True, metadata={"description": "OK"})
    statusCode = fields.Integer(required=True)  # noqa: N815 - the contract's spelling
    values = fields.Nested(ValuesSchema, required=True)


QUALITY_MEMBERS: Mapping[str, fields.Field[Any]] = {
    "quality": fields.String(
        metadata={"description": "raw or clean: whether implausible readings are included"}
    ),
    "implausible": fields.Nested(
        LeftOutSchema,
        metadata={
            "description": "The implausible readings of the period: raw includes them, clean "
            "leaves them out, so that energy differs by theirs"
        },
    ),
}


INTERVAL_MEMBERS: Mapping[str, fields.Field[Any]] = {
    "interval_unknown": fields.String(
        metadata={"description": "Why what needs the interval is null, if it is not known"}
    ),
}


def table_schema(
    name: str,
    kinds: Sequence[Sequence[Field]],
    metadata: Mapping[str, fields.Field[Any]],
) -> type[Schema]:
    """Return the schema of a success whose records are of some kinds, each with its fields."""
    known = {field.name: field for kind in reversed(kinds) for field in kind}
    for kind in kinds:
        for field in kind:
            if field.unit != known[field.name].unit:
                known[field.name] = replace(known[field.name], unit=None)
    common = set.intersection(*({field.name for field in kind} for kind in kinds))
    record = Schema.from_dict(
        {
            field.name: _value(field, required=field.name in common, allow_none=True)
            for field in known.values()
        },
        name=f"{name}Record",
    )
    values = Schema.from_dict(
        {
            "numrecs": fields.Integer(required=True),
            **metadata,
            "units": fields.Dict(
                fields.String(),
                fields.String(),
                metadata={"description": "The unit of each field that has one, 1 of a ratio"},
            ),
            "left_out": fields.Nested(
                LeftOutSchema, metadata={"description": "With quality=clean"}
            ),
            "records": fields.List(fields.Nested(record), required=True),
        },
        name=f"{name}Values",
    )
    answer: type[Schema] = type(
        f"{name}Answer", (EnvelopeSchema,), {"values": fields.Nested(values, required=True)}
    )
    return answer


class ErrorSchema(Schema):
    """An error."""

    message = fields.String(metadata={"description": "What was wrong and what was expected"})
    status = fields.String(required=True)
    statusCode = fields.String(required=True)  # noqa: N815 - the contract's spelling


class TokenSchema(Schema):
    """A login's success."""

    Authorization_type = fields.String(required=True)
    In = fields.String(required=True)
    Key = fields.String(required=True, metadata={"description": "Name of the header"})
    value_token = fields.String(required=True, metadata={"description": "Value of that header"})


def _text(description: str) -> fields.String:
    return fields.String(required=True, metadata={"description": description})


class SessionSchema(Schema):
    """A session of a user."""

    id = _text("Names the session: the end of its token's jti")
    issued = _text("When the user logged in, in UTC")
    expires = _text("When the token expires, in UTC")
    address = _text("Where the user logged in from")
    agent = _text("What the client called itself then (User-Agent), shortened")
    current = _text("`true` for the session of this request, else `false`")


class SessionValuesSchema(Schema):
    """The sessions of a user."""

    numrecs = fields.Integer(required=True, metadata={"description": "Number of records"})
    records = fields.List(fields.Nested(SessionSchema), required=True)


class SessionsSchema(EnvelopeSchema):
    """The sessions of a user, as a success."""

    values = fields.Nested(SessionValuesSchema, required=True)


MeterSchema = Schema.from_dict(
    {
        field.name: _value(field, required=True, allow_none=is_optional)
        for field, is_optional in (
            (Field("meter", FieldType.TEXT, "Public id: names the meter in requests"), False),
            (Field("name", FieldType.TEXT, "Name of the meter for people"), True),
            (Field("identifier", FieldType.TEXT, "Name of the meter in reports"), True),
            (Field("timezone", FieldType.TEXT, "Time zone of the meter"), False),
            (
                Field(
                    "interval_seconds",
                    FieldType.COUNT,
                    "Seconds between readings; null if unknown, or if there are several",
                ),
                True,
            ),
            (
                Field(
                    "intervals",
                    FieldType.TEXT,
                    "Intervals in seconds, each with its first reading",
                ),
                True,
            ),
            (Field("first_reading", FieldType.INSTANT, "Start of the first reading"), True),
            (Field("last_reading", FieldType.INSTANT, "Start of the last reading"), True),
            (Field("readings", FieldType.COUNT, "Number of readings"), False),
        )
    },
    name="MeterSchema",
)


class MeterValuesSchema(Schema):
    """A page of the meters."""

    numrecs = fields.Integer(required=True, metadata={"description": "Number of records"})
    next = fields.String(metadata={"description": "The value of `after` for the next page"})
    default = fields.String(
        metadata={"description": "The meter of requests that name none, if there is one"}
    )
    records = fields.List(fields.Nested(MeterSchema), required=True)


class MetersSchema(EnvelopeSchema):
    """A page of the meters, as a success."""

    values = fields.Nested(MeterValuesSchema, required=True)


class KeySchema(Schema):
    """A public key (RFC 8037)."""

    kty = _text("OKP")
    crv = _text("Ed25519")
    x = _text("The public key, in base64url")
    kid = _text("The name of the key, as in the header of a token")
    use = _text("sig")
    alg = _text("EdDSA")


class KeySetSchema(Schema):
    """A JSON Web Key Set (RFC 7517)."""

    keys = fields.List(fields.Nested(KeySchema), required=True)
