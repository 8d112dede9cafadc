"""Tell an expected exception from a fault."""

from typing import Final

import grpc.aio

_DISCONNECT: Final = "starlette.requests.ClientDisconnect"
"""By name: this package does not depend on Starlette."""


def is_expected(error: BaseException) -> bool:
    """Return whether a call may end like this without a fault.

    An error says so itself by ``expected = True`` on its class. Cancellation, exits, a gRPC status that the handler
    chose, and an HTTP client that left are always expected.
    """
    if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
        return True
    if getattr(error, "expected", False):
        return True
    return any(f"{kind.__module__}.{kind.__qualname__}" == _DISCONNECT for kind in type(error).__mro__)
