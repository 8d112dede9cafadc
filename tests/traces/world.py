"""Make events, registrations and payments for contracts over HTTP."""

import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import grpc
import httpx
import jwt
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap.registration.v1 import registration_pb2_grpc as pb_grpc

from tests.stack_under_test import EVENTS, SECRET, Stack
from tests.test_payments_end_to_end import paid_on_the_page

PRICE = 4990
NOBODY = "01999999-0000-7000-8000-000000000000"
"""The id of nothing."""


@dataclass(frozen=True)
class Answered:
    """An answer, and the names that its contract uses."""

    response: httpx.Response
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        return trace_id_of(self.response)


def trace_id_of(response: httpx.Response) -> str:
    return response.headers["traceresponse"].split("-")[1]


class World:
    """A stack and its school ``herzl``; each request comes from an address of its own."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._numbers = itertools.count(1)
        # A connection for each: an unexpected error closes the one that it came over.
        self._client = httpx.Client(timeout=30, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    # Requests

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        number = next(self._numbers)
        headers = {"X-Forwarded-For": f"10.1.{number // 250}.{number % 250}", **(sent.pop("headers", None) or {})}
        return self._client.request(method, self.stack.url + path, headers=headers, **sent)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("POST", path, **sent)

    def token(self, role: str, school: str | None = "herzl") -> dict[str, str]:
        return self.stack.token(role, None if role == "SUPER_ADMIN" else school)

    def is_reached(self, *services: str) -> None:
        """Wait until the gateway's channels are there again after a restart."""
        until(lambda: {self.get("/api/health").json()["checks"][service] for service in services} == {"ok"})

    # Things

    def slug(self) -> str:
        return f"event-{next(self._numbers)}"

    def event(self, **fields: Any) -> str:
        """Open an event and return its slug."""
        slug = self.slug()
        body = {"slug": slug, "title": "טיול", "starts_at": "2030-01-01T10:00:00Z", "capacity": 10, **fields}
        response = self.post(EVENTS, json=body, headers=self.token("OWNER"))
        assert response.status_code == 201, response.text
        return slug

    def registered(self, event: str, **fields: Any) -> dict[str, Any]:
        body = {"name": "דנה כהן", "phone": f"052-{next(self._numbers):07d}", "spots": 1, **fields}
        response = self.post(f"{EVENTS}/{event}/registrations", json=body)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def hold(self, **fields: Any) -> dict[str, Any]:
        """Register for an event of its own that costs something."""
        return self.registered(self.event(price_agorot=PRICE, **fields))

    def expired_hold(self) -> dict[str, Any]:
        """Return a hold whose time is over."""
        hold = self.hold(hold_seconds=1)
        url = f"/api/v1/registrations/{hold['id']}"
        until(lambda: self.get(url, headers=holder(hold)).json()["status"] == "EXPIRED")
        return hold

    def opened(self, hold: Mapping[str, Any]) -> httpx.Response:
        url = f"/api/v1/registrations/{hold['id']}/payments"
        response = self.post(url, headers=holder(hold))
        assert response.status_code == 201, response.text
        return response

    def way_back(self, opened: httpx.Response, card: str | None = None) -> str:
        """Pay at YaadPay's page; return the path that the browser is sent to."""
        parts = urlsplit(paid_on_the_page(self.stack, opened.json()["redirect_url"], card))
        return f"{parts.path}?{parts.query}"

    def paid(self) -> tuple[dict[str, Any], str]:
        """Return a registration that is paid for, and its payment's id."""
        hold = self.hold()
        opened = self.opened(hold)
        assert self.get(self.way_back(opened)).status_code == 303
        payment_id: str = opened.json()["payment_id"]
        return hold, payment_id

    def escalated(self) -> str:
        """Confirm an unpaid seat and return its registration, which is escalated."""
        hold = self.hold()
        claims = {"sub": "test", "role": "SERVICE", "iss": "ticketcap", "exp": time.time() + 600}
        with grpc.insecure_channel(self.stack.registration_address) as channel:
            # grpc's stubs know the asynchronous channel only.
            stub: Any = pb_grpc.RegistrationServiceStub(cast("Any", channel))
            stub.ConfirmHold(
                pb.ConfirmHoldRequest(registration_id=hold["id"]),
                metadata=(("authorization", f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"),),
            )
        registration: str = hold["id"]
        until(lambda: registration in self.get("/api/v1/escalations", headers=self.token("SUPER_ADMIN")).text)
        return registration

    def get_event_directly(self, metadata: Sequence[tuple[str, bytes]]) -> str:
        """Ask the registration service itself for the event ``shared``, and return its slug."""
        with grpc.insecure_channel(self.stack.registration_address) as channel:
            # grpc's stubs know the asynchronous channel only.
            stub: Any = pb_grpc.RegistrationServiceStub(cast("Any", channel))
            answer = stub.GetEvent(pb.GetEventRequest(school="herzl", event="shared"), metadata=metadata, timeout=5)
        slug: str = answer.event.slug
        return slug

    def fault(self, action: str, kind: str, **more: Any) -> None:
        """Let YaadPay go wrong the next time."""
        fault = {"action": action, "kind": kind, **more}
        response = self._client.post(f"{self.stack.simulator_url}/simulator/faults", json=fault)
        assert response.is_success, response.text

    def no_faults(self) -> None:
        self._client.delete(f"{self.stack.simulator_url}/simulator/faults")

    def struck(self) -> int:
        """Return how many faults have struck."""
        url = f"{self.stack.simulator_url}/simulator/faults"
        struck: dict[str, int] = self._client.get(url).json()["struck"]
        return sum(struck.values())

    # Traces

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        found = self._client.get(f"{self.stack.sink_url}/api/traces/{trace_id}").json()
        spans: list[dict[str, Any]] = found.get("spans", [])
        return spans

    def newest(self, name: str, limit: int = 1000) -> list[dict[str, Any]]:
        """Return the newest traces with a span of that name."""
        url = f"{self.stack.sink_url}/api/traces"
        answer = self._client.get(url, params={"limit": limit, "name": name})
        found: list[dict[str, Any]] = answer.json()["traces"]
        return found


def holder(registration: Mapping[str, Any]) -> dict[str, str]:
    return {"X-Manage-Token": registration["manage_token"]}


def key() -> str:
    return secrets.token_hex(8)


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it never became so"
        time.sleep(0.1)
