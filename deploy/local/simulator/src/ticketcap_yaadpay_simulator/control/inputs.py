"""Read and check requests to the control plane."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ticketcap_yaadpay_simulator.checks import WrongInput
from ticketcap_yaadpay_simulator.limits import TooLarge, body_of

Endpoint = Callable[[Request], Awaitable[Response]]

_MAX_BODY: Final = 128 * 1024


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body; raise WrongInput when it is no JSON object, TooLarge when it is too large."""
    try:
        content = json.loads(await body_of(request, _MAX_BODY))
    except (ValueError, RecursionError) as error:
        if isinstance(error, TooLarge):
            raise
        raise WrongInput("body: must be JSON") from None
    if not isinstance(content, dict):
        raise WrongInput("body: must be a JSON object")
    return content


def query_number(request: Request, name: str, default: int, most: int) -> int:
    """Return a whole number of the query; raise WrongInput."""
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdecimal() and len(value) < 18 and int(value) <= most):  # noqa: PLR2004 - fits
        raise WrongInput(f"{name}: must be a whole number up to {most}")
    return int(value)


def guarded(endpoint: Endpoint) -> Endpoint:
    """Turn what is wrong with the input into an answer that says it."""

    async def guard(request: Request) -> Response:
        try:
            return await endpoint(request)
        except WrongInput as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        except TooLarge as error:
            return JSONResponse({"error": str(error)}, status_code=413)

    return guard
