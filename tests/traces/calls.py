"""List every HTTP call with its refusals and unavailable services."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.traces.cases import Case, Phase
from tests.traces.world import NOBODY, Answered, World, key

_SCHOOL: Final = "/api/v1/schools/{school}"
_EVENT: Final = f"{_SCHOOL}/events/{{event}}"
_REGISTRATION: Final = "/api/v1/registrations/{id}"
_PAYMENT: Final = "/api/v1/payments/{id}"
_HOLDER: Final = "HOLDER"
_TOO_LARGE: Final = 70_000


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: ``role`` may make it, ``weak`` may not; ``rpc`` is whom the gateway asks."""

    operation: str
    method: str
    route: str
    role: str = ""
    weak: str = ""
    body: Mapping[str, Any] | None = None
    form: bool = False
    creates: bool = False
    paged: bool = False
    rpc: str = ""
    stream: bool = False

    @property
    def own(self) -> str:
        return " school.slug=herzl" if "{school}" in self.route else ""

    def path(self, *, school: str = "herzl", event: str = "shared") -> str:
        parts = {"school": school, "event": event, "id": NOBODY, "registration": NOBODY, "kind": "seat"}
        return self.route.format(**parts)

    def auth(self, world: World, role: str, school: str = "herzl") -> dict[str, str]:
        if not role:
            return {}
        return {"X-Manage-Token": "x" * 43} if role == _HOLDER else world.token(role, school)

    def sent(self, **changed: Any) -> dict[str, Any]:
        if self.body is None or "content" in changed:
            return changed
        return {"data" if self.form else "json": self.body, **changed}


CALLS: Final = (
    Call(
        operation="createRegistration",
        method="POST",
        route=f"{_EVENT}/registrations",
        body={"name": "דנה כהן", "phone": "050-1234567", "spots": 1},
        creates=True,
        rpc="registration RegisterBatch",
    ),
    Call(
        operation="listRegistrations",
        method="GET",
        route=f"{_EVENT}/registrations",
        role="VIEWER",
        weak="SERVICE",
        paged=True,
        rpc="registration ListRegistrations",
    ),
    Call(
        operation="getRegistration",
        method="GET",
        route=_REGISTRATION,
        role=_HOLDER,
        weak="SERVICE",
        rpc="registration GetRegistration",
    ),
    Call(
        operation="cancelRegistration",
        method="POST",
        route=f"{_REGISTRATION}/cancel",
        role=_HOLDER,
        weak="VIEWER",
        body={"reason": "ill", "refund_agorot": 0},
        rpc="registration CancelRegistration",
    ),
    Call(operation="listEvents", method="GET", route=f"{_SCHOOL}/events", paged=True, rpc="registration ListEvents"),
    Call(
        operation="createEvent",
        method="POST",
        route=f"{_SCHOOL}/events",
        role="OWNER",
        weak="MANAGER",
        body={"title": "x", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1},
        creates=True,
        rpc="registration CreateEvent",
    ),
    Call(operation="getEvent", method="GET", route=_EVENT, rpc="registration GetEvent"),
    Call(
        operation="updateEvent",
        method="PATCH",
        route=_EVENT,
        role="ADMIN",
        weak="MANAGER",
        body={"title": "x"},
        rpc="registration UpdateEvent",
    ),
    Call(
        operation="deleteEvent",
        method="DELETE",
        route=_EVENT,
        role="OWNER",
        weak="MANAGER",
        rpc="registration DeleteEvent",
    ),
    # All watchers share one stream of the service, so it is no child of a request.
    Call(operation="watchEvent", method="GET", route=f"{_EVENT}/stream", stream=True),
    Call(
        operation="exportRegistrations",
        method="GET",
        route=f"{_EVENT}/registrations.csv",
        role="VIEWER",
        weak="SERVICE",
        rpc="registration ExportRegistrations",
    ),
    Call(
        operation="checkIn",
        method="POST",
        route=f"{_EVENT}/check-ins",
        role="MANAGER",
        weak="VIEWER",
        body={"confirmation_code": "ABCD2345"},
        rpc="registration CheckIn",
    ),
    Call(
        operation="undoCheckIn",
        method="DELETE",
        route=f"{_EVENT}/check-ins/{{id}}",
        role="MANAGER",
        weak="VIEWER",
        rpc="registration UndoCheckIn",
    ),
    Call(
        operation="createSchool",
        method="POST",
        route="/api/v1/schools",
        role="SUPER_ADMIN",
        weak="OWNER",
        body={"slug": "ulpan", "name": "x"},
        creates=True,
        rpc="registration CreateSchool",
    ),
    Call(
        operation="getSchoolStats",
        method="GET",
        route=f"{_SCHOOL}/stats",
        role="VIEWER",
        weak="SERVICE",
        rpc="registration GetSchoolStats",
    ),
    Call(
        operation="createPayment",
        method="POST",
        route=f"{_REGISTRATION}/payments",
        role=_HOLDER,
        weak="OWNER",
        body={"language": "en"},
        creates=True,
        rpc="payment CreatePayment",
    ),
    Call(
        operation="getPayment",
        method="GET",
        route=_PAYMENT,
        role=_HOLDER,
        weak="MANAGER",
        rpc="payment GetPayment",
    ),
    Call(
        operation="createRefund",
        method="POST",
        route=f"{_PAYMENT}/refunds",
        role="OWNER",
        weak="MANAGER",
        body={"amount_agorot": 1},
        creates=True,
        rpc="payment RefundPayment",
    ),
    Call(
        operation="settleReturn",
        method="GET",
        route="/api/v1/payments/yaadpay/return",
        rpc="payment SettleReturn",
    ),
    Call(
        operation="exportPayments",
        method="GET",
        route=f"{_SCHOOL}/payments.csv",
        role="OWNER",
        weak="MANAGER",
        rpc="payment ExportPayments",
    ),
    Call(
        operation="listEscalations",
        method="GET",
        route="/api/v1/escalations",
        role="SUPER_ADMIN",
        weak="OWNER",
        paged=True,
        rpc="payment ListEscalations",
    ),
    Call(
        operation="resolveEscalation",
        method="POST",
        route="/api/v1/escalations/{kind}/{id}/resolve",
        role="SUPER_ADMIN",
        weak="OWNER",
        body={"moved": False},
        rpc="payment ResolveEscalation",
    ),
    Call(operation="getPayPage", method="GET", route="/pay/{registration}"),
    Call(
        operation="payFromPage",
        method="POST",
        route="/pay/{registration}",
        body={"token": "x" * 43, "key": "y" * 32, "lang": "he"},
        form=True,
        rpc="payment CreatePayment",
    ),
    Call(operation="getResultPage", method="GET", route="/payments/{id}", rpc="payment GetPaymentResult"),
    Call(operation="testError", method="GET", route="/api/test-error", role="SUPER_ADMIN", weak="OWNER"),
)


def refusals() -> Iterator[Case]:
    """Yield what every call of a kind refuses in the same way."""
    for call in CALLS:
        yield from _of_caller(call)
        yield from _of_input(call)
        yield from _of_path(call)
        yield from _of_services(call)


def _refused(call: Call, status: int, what: str, act: Callable[[World], Any], below: str = "", own: str = "") -> Case:
    tree = f"http {call.method} {call.route} {status}{own}\n{below}"
    return Case(operation=call.operation, what=what, status=status, tree=tree, act=lambda world: Answered(act(world)))


def _of_caller(call: Call) -> Iterator[Case]:
    def without_token(world: World) -> Any:
        return world.request(call.method, call.path(), **call.sent())

    def with_a_false_token(world: World) -> Any:
        role = "OWNER" if call.role == _HOLDER else call.role
        headers = {"Authorization": f"{world.token(role)['Authorization']}x"}
        return world.request(call.method, call.path(), headers=headers, **call.sent())

    def with_too_low_a_role(world: World) -> Any:
        return world.request(call.method, call.path(), headers=call.auth(world, call.weak), **call.sent())

    def of_another_school(world: World) -> Any:
        return world.request(call.method, call.path(), headers=call.auth(world, call.role, "bialik"), **call.sent())

    if call.role:
        yield _refused(call, 401, "without a token", without_token, own=call.own)
        yield _refused(call, 403, "with too low a role", with_too_low_a_role, own=call.own)
        yield _refused(call, 401, "with a false token", with_a_false_token, own=call.own)
    if call.role not in {"", _HOLDER} and call.own:
        yield _refused(call, 404, "by an organiser of another school", of_another_school, own=call.own)


def _of_input(call: Call) -> Iterator[Case]:
    def send(**changed: Any) -> Callable[[World], Any]:
        def act(world: World) -> Any:
            headers = {**call.auth(world, call.role), **changed.get("headers", {})}
            sent = call.sent(**{**changed, "headers": headers})
            return world.request(call.method, call.path(), **sent)

        return act

    media = {"Content-Type": "application/x-www-form-urlencoded" if call.form else "application/json"}
    if call.body is not None:
        yield _refused(call, 400, "with broken text", send(content=b"\xff{", headers=media), own=call.own)
        yield _refused(call, 413, "with too much", send(content=b" " * _TOO_LARGE, headers=media), own=call.own)
        plain = {"Content-Type": "text/plain"}
        yield _refused(call, 415, "with another media type", send(content=b"{}", headers=plain), own=call.own)
        wrong = send(**{"data" if call.form else "json": {"unknown": "x"}})
        yield _refused(call, 422, "with an unknown field", wrong, own=call.own)
    if call.creates:
        empty = send(headers={"Idempotency-Key": ""})
        yield _refused(call, 422, "with a key that is none", empty, own=call.own)
    if call.paged:
        yield _refused(call, 422, "with a limit of nothing", send(params={"limit": "0"}), own=call.own)


def _of_path(call: Call) -> Iterator[Case]:
    def of_no_school(world: World) -> Any:
        return world.request(call.method, call.path(school="No_School"), headers=call.auth(world, call.role))

    def of_no_event(world: World) -> Any:
        headers = call.auth(world, call.role)
        return world.request(call.method, call.path(event="nothing"), headers=headers, **call.sent())

    if "{school}" in call.route:
        yield _refused(call, 404, "of what can be no school", of_no_school)
    if "{event}" in call.route and call.rpc and call.operation != "createRegistration":
        # An organiser's call finds the school before the event; a public call looks for the event by both slugs.
        found = "school.id " if call.role else ""
        below = f"  rpc {call.rpc} NOT_FOUND {found}school.slug=herzl\n    use event"
        yield _refused(call, 404, "of no event", of_no_event, below, own=call.own)


def _of_services(call: Call) -> Iterator[Case]:
    def act(world: World) -> Answered:
        sent = call.sent(headers={**call.auth(world, call.role), "Idempotency-Key": key()})
        return Answered(world.request(call.method, call.path(), **sent))

    def watch(world: World) -> Answered:
        with httpx.stream("GET", world.stack.url + call.path(), timeout=30, trust_env=False) as stream:
            next(stream.iter_bytes())
            return Answered(stream)

    if not (call.rpc or call.stream):
        return
    for phase, status, code in ((Phase.FROZEN, 504, "DEADLINE_EXCEEDED"), (Phase.DOWN, 503, "UNAVAILABLE")):
        # A stream begins anyway: after an error a browser would never come back.
        seen = 200 if call.stream else status
        below = f"  call {call.rpc} {code}" if call.rpc else ""
        tree = f"http {call.method} {call.route} {seen}{call.own}\n{below}"
        what = f"while the service is {phase.name.lower()}"
        how = watch if call.stream else act
        yield Case(operation=call.operation, what=what, status=seen, tree=tree, act=how, phase=phase)
