"""Route requests to the protocol and to the control plane."""

import asyncio
import time
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from ticketcap_yaadpay_simulator.control.routes import control_routes
from ticketcap_yaadpay_simulator.handling import serve
from ticketcap_yaadpay_simulator.limits import TooLarge, body_of
from ticketcap_yaadpay_simulator.protocol.parameters import Call, TooManyParameters
from ticketcap_yaadpay_simulator.protocol.replies import Reply
from ticketcap_yaadpay_simulator.requests_log import printable
from ticketcap_yaadpay_simulator.server import drop
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.striking import Pauses

PATHS: Final = ("/p/", "/p3/", "/cgi-bin/yaadpay/yaadpay3ds.pl", "/cgi-bin/yaadpay/yaadpay.pl")
_MAX_QUERY: Final = 16 * 1024
_MAX_BODY: Final = 64 * 1024
_FORM: Final = "application/x-www-form-urlencoded"


class _Dropped(Response):
    """No answer at all: the connection ends."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - its shape
        drop(scope, reset=self._reset)
        await asyncio.sleep(0)  # the server must see that the connection is gone before this returns
        await receive()


def application(sim: Simulator, pauses: Pauses) -> Starlette:
    """Return the whole application."""

    async def protocol(request: Request) -> Response:
        started = time.perf_counter()
        try:
            call = await _call(request)
            sim.requests.add(call, sim.clock.now())
        except (TooLarge, TooManyParameters) as error:
            return Response(f"{error}\n", status_code=413)
        answer = await serve(sim, pauses, call)
        _log(call, answer, time.perf_counter() - started)
        return _response(answer)

    async def to_overview(_: Request) -> Response:
        return RedirectResponse("/simulator/")

    routes: list[BaseRoute] = [Route(path, protocol, methods=["GET", "POST"]) for path in PATHS]
    routes += [Route("/simulator", to_overview), Mount("/simulator", routes=control_routes(sim, PATHS))]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # the gateway does not know /p
    return app


async def _call(request: Request) -> Call:
    query = request.scope["query_string"]
    if len(query) > _MAX_QUERY:
        raise TooLarge(f"a query string has at most {_MAX_QUERY} bytes")
    body = await body_of(request, _MAX_BODY)
    is_form = request.headers.get("content-type", "").split(";")[0].strip().lower() == _FORM
    return Call(
        method=request.method,
        path=request.url.path,
        query=query.decode("latin-1"),
        body=body.decode("latin-1").strip() if is_form else "",
        headers=dict(request.headers),
        client=request.client.host if request.client else "",
    )


def _response(answer: Reply) -> Response:
    if answer.drop:
        return _Dropped(reset=answer.drop == "reset")
    response = Response(answer.body, status_code=answer.status)
    response.headers["content-type"] = answer.content_type
    response.headers["cache-control"] = "no-store"
    if answer.location:
        response.headers["location"] = answer.location
    if answer.refresh:
        response.headers["refresh"] = answer.refresh
    return response


def _log(call: Call, answer: Reply, seconds: float) -> None:
    about = call.parameters.get("TransId") or call.parameters.get("Order")
    outcome = answer.drop or (f"CCode={answer.ccode}" if answer.ccode else f"{len(answer.body)} bytes")
    subject = f"{call.method} {printable(call.name) or '-'} {printable(about) or '-'}"
    print(f"{subject} -> {answer.status} {outcome} {seconds * 1000:.0f} ms", flush=True)
