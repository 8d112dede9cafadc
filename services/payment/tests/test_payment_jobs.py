"""Run the jobs: requeue stuck work, escalate unpaid seats, report the backlog."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import StatusCode
from payment_under_test import World, state_of
from service_under_test import SERVICE
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.registration.v1 import registration_pb2
from ticketcap_chassis.database.errors import StoreUnavailable
from ticketcap_chassis.rpc.server import GrpcServer
from ticketcap_observability import Telemetry
from ticketcap_payment.domain.payment import PaymentKey
from ticketcap_payment.jobs.registration_changes import RegistrationChanges
from ticketcap_payment.main import drain
from ticketcap_payment.saga.deliveries import Deliveries
from ticketcap_payment.saga.delivery import DeliveryResult
from ticketcap_payment.steps import Step
from ticketcap_payment.store.outbox import Delivery, DueWork, Outbox, Topic
from ticketcap_payment.telemetry import PaymentTelemetry


def lose_deliveries(here: World) -> None:
    """A fault that no rule foresees: the open rows of the outbox are gone."""
    here.change("DELETE FROM outbox WHERE done_at IS NULL")


@pytest.mark.parametrize(
    ("step", "topic"),
    [
        (Step.RETURN_STORED, "return.verify"),
        (Step.PAYMENT_AUTHORISED, "payment.capture"),
        (Step.CAPTURE_INTENDED, "payment.capture"),
        (Step.PAYMENT_CAPTURED, "seat.confirm"),
    ],
)
async def test_what_hangs_with_nobody_at_it_is_found(here: World, step: Step, topic: str) -> None:
    """Its delivery is lost at that step; the reconciler writes it again, and the payment ends as it should."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]

    async def lose() -> None:
        lose_deliveries(here)
        raise LookupError(step)

    here.steps.once(step, lose)
    try:
        await here.settle(redirect, seconds=5)
    except Exception:  # noqa: BLE001 - however the request fails, what follows must not depend on it
        lose_deliveries(here)
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _has(here, "SELECT 1 FROM payments WHERE seat = 'CONFIRMED'"), what="the seat")
    found = [span for span in here.telemetry.spans if span.name == "payment.reconcile"]
    assert topic in {(span.attributes or {})["outbox.topic"] for span in found}
    await here.books_agree()


async def test_a_refund_that_hangs_is_found(here: World) -> None:
    """Owed and not sent, its delivery lost: sent once."""
    payment_id = (await here.paid(await here.hold())).result.id

    async def lose() -> None:
        lose_deliveries(here)

    here.steps.once(Step.REFUND_STORED, lose)
    await here.refund(payment_id)
    await here.state_becomes(payment_id, "REFUNDED")
    assert len(await here.simulator.requests("CancelTrans")) == 1
    await here.books_agree()


async def test_a_seat_that_nobody_paid_is_told(here: World) -> None:
    """Confirmed past the payment service: escalated and counted."""
    hold = await here.hold()
    confirm = registration_pb2.ConfirmHoldRequest(registration_id=hold.id)
    await here.registration.stub.ConfirmHold(confirm, metadata=SERVICE)
    await here.until(lambda: _has(here, "SELECT 1 FROM escalations WHERE kind = 'seat'"), what="escalated")
    (waiting,) = here.rows("SELECT subject_id::text, why FROM escalations")
    assert (waiting["subject_id"], waiting["why"]) == (hold.id, "seat_without_payment")
    await here.resolve("seat", hold.id, moved=False)
    assert here.rows("SELECT 1 FROM escalations WHERE resolved_at IS NULL") == []


async def test_a_paid_seat_is_no_news(here: World) -> None:
    """The feed brings every confirmed seat; those that are paid raise nothing."""
    hold = await here.hold()
    await here.paid(hold)
    await here.until(here.feed_is_read, what="the feed was read")
    assert here.rows("SELECT 1 FROM escalations") == []


async def test_the_backlog_is_shown(here: World) -> None:
    """The backlog by kind and age, the escalations by kind, also when there are none, and the oldest row's age."""
    await here.simulator.fault("VERIFY", "html", times=100)
    opened = await here.create(await here.hold())
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.settle(redirect, seconds=5)

    async def counts_the_return() -> bool:
        points = here.telemetry.points("payment.unsettled")
        return any(point.attributes["kind"] == "return_unverified" and point.value for point in points)

    await here.until(counts_the_return, what="the gauge counts the return")
    assert here.telemetry.points("outbox.lag")[0].value > 0
    kinds = {point.attributes["kind"]: point.value for point in here.telemetry.points("payment.escalated")}
    assert kinds == {"payment": 0, "refund": 0, "return": 0, "seat": 0}


@pytest.mark.ground(payment={"give_up_seconds": 1})
async def test_what_stays_unverified_goes_to_a_person(here: World) -> None:
    """A return is escalated after its bound. A person's order to verify again settles it."""
    await here.simulator.fault("VERIFY", "html", times=100)
    opened = await here.create(await here.hold())
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.settle(redirect, seconds=5)
    await here.until(lambda: _has(here, "SELECT 1 FROM escalations WHERE kind = 'return'"), what="escalated")
    waiting = await here.stub.ListEscalations(pb.ListEscalationsRequest(), metadata=_super_admin())
    (escalation,) = waiting.escalations
    assert (escalation.kind, escalation.payment_id, escalation.amount_agorot) == ("return", opened.payment_id, 4990)
    await here.simulator.http.delete("/simulator/faults")
    assert state_of(await here.resolve("return", escalation.id, again=True)) == "CAPTURED"
    await here.books_agree()


def _super_admin() -> tuple[tuple[str, str], ...]:
    from service_under_test import SUPER_ADMIN

    return SUPER_ADMIN


async def _has(here: World, statement: str) -> bool:
    return bool(here.rows(statement))


async def test_a_fault_of_ours_is_an_error_of_its_delivery(here: World) -> None:
    """The span has its type and never its message; the delivery is retried and the payment continues."""
    opened = await here.create(await here.hold())

    async def fail() -> None:
        raise LookupError("what somebody typed")

    here.steps.once(Step.SEAT_SECURED, fail)
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    await here.state_becomes(opened.payment_id, "CAPTURED")
    failed = [span for span in here.telemetry.spans if span.status.status_code is StatusCode.ERROR]
    (delivery,) = [span for span in failed if span.name == "outbox.deliver"]
    assert (delivery.attributes or {})["error.type"] == "LookupError"
    assert "typed" not in f"{dict(delivery.attributes or {})} {delivery.events} {delivery.status.description}"
    await here.books_agree()


async def test_what_is_drained_shares_one_bound() -> None:
    """Deliveries have what the calls have left of it: the platform kills who takes twice as long."""
    bounds: list[float] = []

    class Server:
        async def drain(self, seconds: float) -> None:
            bounds.append(seconds)
            await asyncio.sleep(0.02)

    class Waiting:
        async def close(self, seconds: float) -> None:
            bounds.append(seconds)

    await drain(cast("GrpcServer", Server()), cast("Deliveries", Waiting()), 5.0)
    await drain(cast("GrpcServer", Server()), cast("Deliveries", Waiting()), 0.01)
    assert bounds[0] == 5.0
    assert bounds[1] <= 4.98
    assert bounds[2:] == [0.01, 0.0]


class OneRow:
    """An outbox with one row, due whenever it is asked for."""

    def __init__(self) -> None:
        self.postponed = asyncio.Event()
        self.leased = 0

    async def lease(self, school_id: UUID, registration_id: UUID) -> Delivery:
        self.leased += 1
        return Delivery(
            id=1,
            key=PaymentKey(uuid4(), registration_id, "herzl", school_id),
            topic=Topic.CONFIRM_SEAT,
            subject_id=uuid4(),
            traceparent="",
            tries=1,
            waiting_seconds=0.0,
        )

    async def postpone(self, _delivery: Delivery, _seconds: float) -> None:
        self.postponed.set()


async def test_a_hung_delivery_is_ended_and_its_row_given_back() -> None:
    """It waits for something that never comes: its row goes back, and the registration's next turn is its own."""
    row = OneRow()

    async def hang(_delivery: Delivery) -> DeliveryResult:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    deliveries = Deliveries(
        cast("Outbox", row), PaymentTelemetry(Telemetry.in_memory()), {Topic.CONFIRM_SEAT: hang}, seconds=0.1
    )
    work = DueWork(uuid4(), uuid4(), uuid4())
    for turn in range(1, 3):
        row.postponed.clear()
        await asyncio.wait_for(deliveries.start(work), 20)
        assert row.postponed.is_set()
        assert row.leased == turn


async def test_a_round_that_failed_is_no_complete_read() -> None:
    """The turns after the failure finish the round; only a whole round without one makes the feed's age small."""
    change = SimpleNamespace(id="1", registration_id=UUID(int=1), school_id=UUID(int=2))
    reads: list[str] = []
    lost = [StoreUnavailable()]

    async def changes(cursor: str, _limit: int) -> tuple[list[Any], str]:
        return ([], "") if cursor else ([change], "1")

    async def acknowledge(_ids: list[str]) -> None:
        if lost:
            raise lost.pop()

    async def with_payments(_keys: object) -> set[UUID]:
        return set()

    registration = SimpleNamespace(changes=changes, acknowledge=acknowledge)
    saga = SimpleNamespace(registration=registration, telemetry=SimpleNamespace(feed_read=lambda: reads.append("read")))
    job = RegistrationChanges(cast("Any", saga), cast("Any", SimpleNamespace(with_payments=with_payments)))
    job._apply = AsyncMock()  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await job.follow()
    await job.follow()
    assert reads == []
    await job.follow()
    assert reads == ["read"]
