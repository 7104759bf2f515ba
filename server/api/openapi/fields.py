"""OpenAPI descriptions of request parameters."""

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema, fields

from domain.parameters import Integer, Parameter


def parameters_schema(parameters: Iterable[Parameter]) -> type[Schema]:
    """Return the schema of the parameters of a route."""
    return Schema.from_dict({each.name: _field(each) for each in parameters})


def _field(parameter: Parameter) -> fields.Field[Any]:
    metadata = {"description": parameter.description, **parameter.schema}
    if parameter.example is not None:
        metadata["x-example"] = parameter.example
    if parameter.is_required:
        metadata["default"] = parameter.example
    if not isinstance(parameter, Integer):
        return fields.String(required=parameter.is_required, metadata=metadata)
    bounds = f"From {parameter.minimum} to {parameter.maximum}"
    default = "" if parameter.default is None else f"; by default {parameter.default}"
    metadata["description"] = f"{parameter.description} {bounds}{default}."
    return fields.Integer(required=parameter.is_required, metadata=metadata)
