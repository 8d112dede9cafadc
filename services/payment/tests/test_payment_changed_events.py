"""Change events while a payment runs.

Each registration is charged and refunded under its own terms.
"""

from datetime import datetime
from typing import Any

import grpc
import pytest
from live_changes import CHANGES, START
from payment_under_test import PRICE, World, seat_of, state_of
from service_under_test import after
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.registration.v1 import registration_pb2 as registration_pb
from ticketcap_payment.steps import Step

RAISED = 9990


async def test_a_hold_pays_the_price_that_it_was_made_under(here: World) -> None:
    """Registered at 49.90, opened and paid when the event costs 99.90 in another currency: 49.90 in shekels."""
    hold = await here.hold()
    await here.registration.change(price_agorot=RAISED, currency="EUR")
    opened = await here.create(hold)
    assert (opened.amount_agorot, opened.currency) == (PRICE, "ILS")
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert (state_of(settled.result), seat_of(settled.result)) == ("CAPTURED", "CONFIRMED")
    later = await here.create(await here.hold(2))
    assert (later.amount_agorot, later.currency) == (RAISED, "EUR")
    await here.registration.change(price_agorot=0)
    assert state_of(await here.payment(opened.payment_id)) == "CAPTURED", "what was paid before was owed"
    await here.books_agree()


async def test_an_offer_is_made_at_the_price_of_its_day(here: World) -> None:
    """A registration that waited through a rise is offered a seat at the new price, and may decline it."""
    await here.registration.event(slug="one", price_agorot=PRICE, capacity=1)
    first, second = await here.hold(1, event="one"), await here.hold(2, event="one")
    await here.registration.change("one", price_agorot=RAISED)
    await here.registration.cancel(first)
    assert (await here.create(second)).amount_agorot == RAISED


async def freed(here: World, number: int, step: Step | None) -> tuple[pb.Payment, registration_pb.RegisterResponse]:
    """Pay for a seat of an own event that becomes free at ``step``, or while the page is open."""
    slug = f"freed-{number}"
    await here.registration.event(slug=slug, price_agorot=PRICE, capacity=1)
    hold = await here.hold(number, event=slug)
    opened = await here.create(hold)

    async def free() -> None:
        await here.registration.change(slug, price_agorot=0)

    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    if step is None:
        await free()
        await here.state_becomes(opened.payment_id, "EXPIRED")
    else:
        here.steps.once(step, free)
    settled = await here.settle(redirect)
    assert await here.status(hold) == "CONFIRMED"
    return await here.payment(settled.result.id), hold


async def test_who_is_about_to_pay_for_a_free_event_has_the_seat_and_is_not_charged(here: World) -> None:
    """On the page, come back, authorised: the card is left alone, and the page says that the seat is confirmed."""
    for number, step in enumerate((None, Step.RETURN_STORED, Step.PAYMENT_AUTHORISED)):
        payment, hold = await freed(here, number, step)
        assert (state_of(payment), payment.failure, seat_of(payment)) == ("FAILED", "free", "CONFIRMED"), step
        assert (await here.simulator.book(payment.order))["charges"] == 0
        with pytest.raises(grpc.aio.AioRpcError, match="costs nothing"):
            await here.create(hold)
    await here.books_agree()


async def test_a_charge_that_a_free_event_overtakes_goes_back_and_the_seat_stays(here: World) -> None:
    """Asked for already when the price fell to 0: all of it is given back, once."""
    for number, step in enumerate((Step.SEAT_SECURED, Step.CAPTURE_INTENDED, Step.PAYMENT_CAPTURED)):
        payment, _ = await freed(here, number, step)
        payment = await here.state_becomes(payment.id, "REFUNDED")
        assert seat_of(payment) == "CONFIRMED"
        assert [pb.RefundReason.Name(refund.reason) for refund in payment.refunds] == ["REFUND_REASON_FREE"], step
    await here.books_agree()


async def test_a_charge_that_is_not_known_when_the_event_becomes_free_goes_back(here: World) -> None:
    """Only asking again tells whether it was made; then it is given back."""
    await here.simulator.fault("commitTrans", "html_after")
    payment, _ = await freed(here, 1, Step.CAPTURE_ANSWERED)
    payment = await here.state_becomes(payment.id, "REFUND_PENDING")
    assert [refund.amount_agorot for refund in payment.refunds] == [PRICE]


@pytest.mark.ground(payment={"payment_mode": "immediate"})
async def test_a_charge_on_the_page_of_a_free_event_goes_back(here: World) -> None:
    """In immediate mode the money is there before we know."""
    payment, _ = await freed(here, 1, None)
    payment = await here.state_becomes(payment.id, "REFUNDED")
    assert seat_of(payment) == "CONFIRMED"
    await here.books_agree()


async def _live(here: World) -> dict[str, str]:
    """Have a payment in every state that money can be in; return the payments by it."""
    opened = {number: await here.create(await here.hold(number)) for number in (1, 2, 3, 4)}
    page = opened[1].payment_id
    for number in (2, 3, 4):
        came = (await here.simulator.customer(opened[number].redirect_url))["redirects"][0]
        assert state_of((await here.settle(came)).result) == "CAPTURED"
    await here.refund(opened[4].payment_id)
    await here.state_becomes(opened[4].payment_id, "REFUNDED")
    await here.simulator.fault("CancelTrans", "reset_before", times=10_000)
    await here.refund(opened[3].payment_id, seconds=1)
    return {
        "open page": page,
        "checked in": opened[2].payment_id,
        "refund pending": opened[3].payment_id,
        "refunded": opened[4].payment_id,
    }


def _message(fields: Any) -> dict[str, Any]:
    """Return the fields of a change as the call takes them; times count from the event's own start."""
    sent: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, datetime):
            moved = value - START
            sent[name] = after(days=30 + moved.days, seconds=moved.seconds) if moved.days > -2 else after(hours=-1)
        elif name in {"status", "waitlist_policy"}:
            sent[name] = {"status": "EVENT_STATUS_", "waitlist_policy": "WAITLIST_POLICY_"}[name] + value
        else:
            sent[name] = value
    return sent


async def test_no_other_change_touches_money(here: World) -> None:
    """Every row of the table but price 0, one after another: what is to be paid, paid, owed and given back stays."""
    live = await _live(here)
    hold = await here.hold(5)
    columns = "id, state, seat, amount_agorot, currency, refunded_agorot, refund_pending_agorot, failure"
    before = here.rows(f"SELECT {columns} FROM payments ORDER BY id")
    event = (await here.registration.seats()).id
    original = {"slug": "spring-match", "capacity": 10, "price_agorot": PRICE, "currency": "ILS", "hold_seconds": 900}
    for row, fields in CHANGES.items():
        if fields.get("price_agorot") == 0:
            continue
        if "below" in row:
            with pytest.raises(grpc.aio.AioRpcError):
                await here.registration.change(event, **_message(fields))
        else:
            await here.registration.change(event, **_message(fields))
        assert here.rows(f"SELECT {columns} FROM payments ORDER BY id") == before, row
        back = {**original, "starts_at": START, "status": "OPEN", "max_spots_per_registration": 10}
        await here.registration.change(event, **_message(back))
    await here.registration.change(event, price_agorot=RAISED, currency="USD")
    opened = await here.create(hold)
    assert (opened.amount_agorot, opened.currency) == (PRICE, "ILS")
    await here.simulator.http.delete("/simulator/faults")
    (page,) = here.rows("SELECT redirect_url FROM payments WHERE id = :id", id=live["open page"])
    came = (await here.simulator.customer(page["redirect_url"]))["redirects"][0]
    assert state_of((await here.settle(came)).result) == "CAPTURED"
    refunded = await here.state_becomes(live["refund pending"], "REFUNDED")
    assert refunded.refunded_agorot == PRICE
    await here.books_agree()


@pytest.mark.ground(payment={"feed_poll_seconds": 2.5})
async def test_what_goes_back_is_what_held_when_it_was_cancelled(here: World) -> None:
    """The event is changed before this service hears of the cancellation, and of a free registration."""
    await here.registration.event(slug="free")
    hold = await here.hold()
    settled = await here.paid(hold)
    free = await here.hold(2, event="free")
    await here.registration.cancel(hold)
    await here.registration.change("free", price_agorot=PRICE)
    await here.registration.change(starts_at=after(hours=1), cancellation_deadline_hours=72, price_agorot=0)
    payment = await here.state_becomes(settled.result.id, "REFUNDED")
    assert payment.refunded_agorot == PRICE
    assert await here.status(free) == "CONFIRMED"
    await here.until(here.feed_is_read, what="every change was read")
    assert here.rows("SELECT why FROM escalations") == [], "the free registration owes nothing"
