"""Serve the addresses under /simulator/."""

from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ticketcap_yaadpay_simulator.checks import WrongInput
from ticketcap_yaadpay_simulator.control import customer, views
from ticketcap_yaadpay_simulator.control.inputs import guarded, json_object, query_number
from ticketcap_yaadpay_simulator.knobs import KNOB_CHECKS
from ticketcap_yaadpay_simulator.simulator import Simulator
from ticketcap_yaadpay_simulator.terminal import TERMINAL_CHECKS

_MOST_ITEMS: Final = 10_000
_DEFAULT_ITEMS: Final = 1000
_YEAR_SECONDS: Final = 366 * 86_400.0


class _Control:
    """The endpoints, over one simulator."""

    def __init__(self, sim: Simulator, paths: tuple[str, ...]) -> None:
        self._sim = sim
        self._paths = paths

    async def overview(self, _: Request) -> Response:
        return HTMLResponse(views.overview(self._sim))

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def transactions(self, request: Request) -> Response:
        sim, query = self._sim, request.query_params
        if "id" in query:
            one = sim.book.get(query["id"])
            found = [one] if one and query.get("order", one.order) == one.order else []
        else:
            after = query_number(request, "after", 0, 10**17)
            limit = query_number(request, "limit", _DEFAULT_ITEMS, _MOST_ITEMS)
            found = sim.book.transactions(order=query.get("order"), after=after, limit=limit)
        return JSONResponse({"items": [views.as_json(sim, one) for one in found]})

    async def book(self, request: Request) -> Response:
        return JSONResponse({"orders": self._sim.book.totals(request.query_params.get("order"))})

    async def customer(self, request: Request) -> Response:
        return JSONResponse(customer.pay(self._sim, await json_object(request), self._paths))

    async def faults(self, request: Request) -> Response:
        faults = self._sim.faults
        if request.method == "DELETE":
            faults.clear()
        if request.method == "POST":
            return JSONResponse(faults.add(await json_object(request)).as_json(), status_code=201)
        queued = [fault.as_json() for fault in faults.queued()]
        return JSONResponse({"faults": queued, "struck": dict(faults.struck)})

    async def terminal(self, request: Request) -> Response:
        if request.method == "PATCH":
            self._patch(await json_object(request))
        return JSONResponse({**self._sim.terminal.as_json(), **self._sim.knobs.as_json()})

    def _patch(self, values: dict[str, Any]) -> None:
        unknown = [name for name in values if name not in {*KNOB_CHECKS, *TERMINAL_CHECKS}]
        if unknown:
            raise WrongInput(f"{unknown[0][:60]}: no such knob or terminal field")
        knobs = self._sim.knobs.patched({name: value for name, value in values.items() if name in KNOB_CHECKS})
        terminal = self._sim.terminal.patched({n: value for n, value in values.items() if n in TERMINAL_CHECKS})
        self._sim.knobs, self._sim.terminal = knobs, terminal

    async def clock(self, request: Request) -> Response:
        clock = self._sim.clock
        if request.method == "DELETE":
            clock.reset()
        if request.method == "POST":
            self._move_clock(await json_object(request))
        return JSONResponse({"now": clock.now().isoformat(), "offset_seconds": clock.offset_seconds})

    def _move_clock(self, values: dict[str, Any]) -> None:
        if set(values) == {"advance_seconds"}:
            seconds = values["advance_seconds"]
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not abs(seconds) <= _YEAR_SECONDS:
                raise WrongInput("advance_seconds: must be a number of seconds, a year at most")
            self._sim.clock.advance(seconds)
        elif set(values) == {"now"}:
            self._sim.clock.set(_moment(values["now"]))
        else:
            raise WrongInput("body: must hold advance_seconds or now")

    async def requests(self, request: Request) -> Response:
        found = self._sim.requests.items(request.query_params.get("action"))
        return JSONResponse({"items": [seen.as_json() for seen in found]})

    async def report(self, _: Request) -> Response:
        content = views.report(self._sim.book.transactions(limit=_MOST_ITEMS))
        return Response(content, media_type="text/csv; charset=utf-8")

    async def state(self, _: Request) -> Response:
        self._sim.forget()
        return Response(status_code=204)


def control_routes(sim: Simulator, paths: tuple[str, ...]) -> list[Route]:
    """Return the routes below /simulator; ``paths`` are the protocol's addresses."""
    control = _Control(sim, paths)
    table = [
        ("/", control.overview, ["GET"]),
        ("/health", control.health, ["GET"]),
        ("/transactions", control.transactions, ["GET"]),
        ("/book", control.book, ["GET"]),
        ("/customer", control.customer, ["POST"]),
        ("/faults", control.faults, ["GET", "POST", "DELETE"]),
        ("/terminal", control.terminal, ["GET", "PATCH"]),
        ("/clock", control.clock, ["GET", "POST", "DELETE"]),
        ("/requests", control.requests, ["GET"]),
        ("/report", control.report, ["GET"]),
        ("/state", control.state, ["DELETE"]),
    ]
    return [Route(path, guarded(endpoint), methods=methods) for path, endpoint, methods in table]


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 2000 <= moment.year <= 2100:  # noqa: PLR2004 - this century
        raise WrongInput("now: must be a moment of this century with its zone, like 2026-01-01T20:00:00Z")
    return moment
