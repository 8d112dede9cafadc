"""Trace the consequences of a request that was answered or killed."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from httpx import Response

from tests.stack_under_test import EVENTS
from tests.traces.world import World, holder, trace_id_of, until

RUSH = 80


Spans = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Followed:
    """A trace that is linked to a request's."""

    trace_id: str
    spans: Spans

    @property
    def root(self) -> Mapping[str, Any]:
        [root] = [span for span in self.spans if not span["parent_id"]]
        return root

    @property
    def names(self) -> set[str]:
        return {span["name"] for span in self.spans}


@dataclass
class Afterwards:
    """The ids of the traces of the requests, and what followed them."""

    claims: list[str] = field(default_factory=list)
    unverified: str = ""
    killed: str = ""
    delivered_later: Followed | None = None
    delivered_by_the_next: Followed | None = None
    changed: Followed | None = None
    refunded: Followed | None = None

    def begin(self, world: World) -> None:
        """Make the requests. The payment service is killed in the middle of one, and runs again afterwards."""
        self.killed = _come_back_and_be_killed(world)
        self.claims = _rush(world)
        cancelled = _cancel_what_is_paid(world)
        self.unverified = _come_back_while_yaadpay_is_broken(world)
        self.changed = _followed(world, "registration.changed", cancelled, **{"registration.status": "CANCELLED"})
        self.refunded = _followed(world, "outbox.deliver", self.changed.trace_id, **{"outbox.topic": "refund.send"})
        verify = {"outbox.topic": "return.verify"}
        self.delivered_later = _followed(world, "outbox.deliver", self.unverified, **verify)
        self.delivered_by_the_next = _followed(world, "outbox.deliver", self.killed, **verify)


def _followed(world: World, name: str, trace_id: str, **attributes: str) -> Followed:
    """Return the trace that begins with such a span and is linked to a request's trace; wait for it."""
    found: list[Followed] = []

    def has_come() -> bool:
        for followed in (Followed(trace["trace_id"], trace["spans"]) for trace in world.newest(name)):
            roots = [span for span in followed.spans if not span["parent_id"]]
            for root in roots:
                linked = [link["trace_id"] for link in root["links"]]
                if root["name"] == name and linked == [trace_id] and attributes.items() <= root["attributes"].items():
                    found.append(followed)
        return bool(found)

    until(has_come)
    return found[-1]


def _rush(world: World) -> list[str]:
    event = world.event(capacity=RUSH // 2)
    numbers = range(RUSH)

    def claim(number: int) -> str:
        body = {"name": "דנה כהן", "phone": f"054-{number:07d}", "spots": 1}
        answer = world.post(f"{EVENTS}/{event}/registrations", json=body)
        assert answer.status_code == 201, answer.text
        return trace_id_of(answer)

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(claim, numbers))


def _cancel_what_is_paid(world: World) -> str:
    registration, _ = world.paid()
    answer = world.post(f"/api/v1/registrations/{registration['id']}/cancel", headers=holder(registration))
    assert answer.status_code == 200, answer.text
    return trace_id_of(answer)


def _come_back_while_yaadpay_is_broken(world: World) -> str:
    back = world.way_back(world.opened(world.hold()))
    world.fault("VERIFY", "http_500", times=2, order=_order_of(back))
    return trace_id_of(world.get(back))


def _order_of(back: str) -> str:
    return parse_qs(back.partition("?")[2])["Order"][0]


def _come_back_and_be_killed(world: World) -> str:
    """Kill the service after it has stored the return, while it asks YaadPay about it."""
    back = world.way_back(world.opened(world.hold()))
    before = world.struck()
    world.fault("VERIFY", "timeout_before", seconds=2, order=_order_of(back))
    with ThreadPoolExecutor(1) as threads:
        answer: Future[Response] = threads.submit(world.get, back)
        until(lambda: world.struck() > before)
        time.sleep(0.1)
        world.stack.payment.kill()
        trace_id = trace_id_of(answer.result())
    world.stack.payment.start()
    world.is_reached("payment")
    return trace_id
