"""Assemble the HTTP API: routes inside the boundary inside the telemetry."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.routing import Router
from starlette.types import ASGIApp
from ticketcap_observability import HttpTelemetry, Telemetry

from ticketcap_gateway.access.callers import SECURITY_SCHEMES
from ticketcap_gateway.access.paths import PATH_PARAMETERS
from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.boundary import Boundary
from ticketcap_gateway.edge.docs import Docs
from ticketcap_gateway.edge.openapi import ApiInfo
from ticketcap_gateway.edge.operation import Endpoints, not_found, operations_of, routes
from ticketcap_gateway.edge.problems import Problems
from ticketcap_gateway.payments.escalations import KIND_PARAMETER
from ticketcap_gateway.payments.problems import RULES
from ticketcap_gateway.payments.schemas import Problem

PROBLEMS: Final = Problems(realm="ticketcap", rules=RULES)


def build(
    endpoints: Sequence[Endpoints],
    admission: Admission,
    *,
    telemetry: Telemetry,
    seconds: Mapping[str, float],
    version: str,
) -> ASGIApp:
    """Return an ASGI application of ``endpoints`` and their documentation; ``seconds`` are by the names of deadlines.

    Routes are tried in the order of the endpoints.
    """
    operations = [operation for each in endpoints for operation in operations_of(each)]
    info = ApiInfo(
        title="TicketCap",
        version=version,
        description="Events of limited capacity, for schools and clubs: every request for spots gets its final answer "
        "at once.",
        path_parameters={**PATH_PARAMETERS, "kind": KIND_PARAMETER},
        security_schemes=SECURITY_SCHEMES,
        problem=Problem,
    )
    docs = Docs(operations, info)
    router = Router(
        routes([*operations, *operations_of(docs)], admission, seconds),
        redirect_slashes=False,
        default=not_found,
    )
    calls = [(operation.method, operation.path) for operation in operations]
    return HttpTelemetry(Boundary(router, PROBLEMS), telemetry, edge=True, calls=calls)
