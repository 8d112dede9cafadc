"""The application: every call on its route, inside the boundary, inside the telemetry."""

from collections.abc import Sequence

from starlette.routing import Router
from starlette.types import ASGIApp
from ticketcap_observability import HttpTelemetry, Telemetry

from ticketcap_gateway.edge.admission import Admission
from ticketcap_gateway.edge.boundary import Boundary
from ticketcap_gateway.edge.docs import Docs
from ticketcap_gateway.edge.operation import Operation, not_found, routes


def build(
    operations: Sequence[Operation],
    admission: Admission,
    *,
    telemetry: Telemetry,
    request_seconds: float,
    version: str,
) -> ASGIApp:
    """Return an ASGI application that serves ``operations`` and their documentation to whom ``admission`` lets in.

    Routes are tried in the order of the operations.
    """
    docs = Docs(operations, version=version)
    router = Router(
        routes([*operations, *docs.operations()], admission, request_seconds=request_seconds),
        redirect_slashes=False,
        default=not_found,
    )
    calls = [(operation.method, operation.path) for operation in operations]
    return HttpTelemetry(Boundary(router), telemetry, edge=True, calls=calls)
