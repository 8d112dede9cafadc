"""Assemble the HTTP API: routes inside the boundary inside the telemetry."""

from collections.abc import Sequence
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
from ticketcap_gateway.edge.operation import Operation, not_found, routes
from ticketcap_gateway.edge.problems import Problems
from ticketcap_gateway.payments.escalations import KIND_PARAMETER
from ticketcap_gateway.payments.problems import RULES
from ticketcap_gateway.payments.schemas import Problem

PROBLEMS: Final = Problems(realm="ticketcap", rules=RULES)


def build(
    operations: Sequence[Operation],
    admission: Admission,
    *,
    telemetry: Telemetry,
    request_seconds: float,
    version: str,
) -> ASGIApp:
    """Return an ASGI application of ``operations`` and their documentation.

    Routes are tried in the order of the operations.
    """
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
        routes([*operations, *docs.operations()], admission, request_seconds=request_seconds),
        redirect_slashes=False,
        default=not_found,
    )
    calls = [(operation.method, operation.path) for operation in operations]
    return HttpTelemetry(Boundary(router, PROBLEMS), telemetry, edge=True, calls=calls)
