"""Read a request's query string."""

from typing import TypeVar

from starlette.requests import Request
from ticketcap_chassis.errors import FieldViolation, InvalidInput

from ticketcap_gateway.edge.bodies import validated
from ticketcap_gateway.edge.fields import Query

_Query = TypeVar("_Query", bound=Query)


def read_query(request: Request, model: type[_Query]) -> _Query:
    """Return the query string as ``model``, or raise InvalidInput that names every invalid parameter."""
    values = {name: request.query_params.getlist(name) for name in model.model_fields}
    repeated = [name for name in values if len(values[name]) > 1]
    if repeated:
        raise InvalidInput(
            f"sent more than once: {', '.join(repeated)}",
            fields=[FieldViolation(name, "must be sent once") for name in repeated],
        )
    return validated({name: values[name][0] for name in values if values[name]}, model)
