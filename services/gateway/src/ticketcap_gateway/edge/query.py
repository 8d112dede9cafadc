"""Reads what stands after the question mark of a URL."""

from typing import TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from ticketcap_chassis.errors import FieldViolation, InvalidInput

from ticketcap_gateway.edge.json_body import invalid_input
from ticketcap_gateway.schemas import Query

_Query = TypeVar("_Query", bound=Query)


def read_query(request: Request, model: type[_Query]) -> _Query:
    """Return the query as ``model``, or raise InvalidInput that names every wrong parameter."""
    known = {name: request.query_params.getlist(name) for name in model.model_fields}
    repeated = [name for name, values in known.items() if len(values) > 1]
    if repeated:
        raise InvalidInput(
            f"given more than once: {', '.join(repeated)}",
            fields=[FieldViolation(name, "must be given once") for name in repeated],
        )
    try:
        return model.model_validate({name: values[0] for name, values in known.items() if values})
    except ValidationError as error:
        raise invalid_input(error.errors(include_url=False, include_input=False)) from None
