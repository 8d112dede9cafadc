"""Play every way of a payment, end to end.

At the end of each, the seats and both books agree.
"""

import asyncio
import contextlib

import grpc
import pytest
from payment_under_test import (
    PRICE,
    REFUSED_AT_COMMIT,
    REFUSED_CARD,
    World,
    seat_of,
    state_of,
)
from ticketcap.registration.v1 import registration_pb2 as pb
from ticketcap_payment.saga import creation
from ticketcap_payment.yaadpay.client import YaadPayClient
from ticketcap_payment.yaadpay.response import Outcome, YaadPayResponse


async def test_a_parent_pays_and_has_the_seat(here: World) -> None:
    """Two phases: nothing is charged before the return is verified and the seat is sure."""
    hold = await here.hold(spots=2)
    opened = await here.create(hold)
    assert opened.amount_agorot == 2 * PRICE
    came = await here.simulator.customer(opened.redirect_url)
    assert (await here.simulator.book((await here.payment(opened.payment_id)).order))["net_agorot"] == 0
    settled = await here.settle(came["redirects"][0])
    assert (state_of(settled.result), seat_of(settled.result)) == ("CAPTURED", "CONFIRMED")
    assert await here.status(hold) == "CONFIRMED"
    await here.books_agree()


async def test_a_card_refused_on_the_page_then_another(here: World) -> None:
    """Without a failure address the page keeps the customer, and only the success comes back."""
    hold = await here.hold()
    opened = await here.create(hold)
    refused = await here.simulator.customer(opened.redirect_url, REFUSED_CARD)
    assert refused["redirects"] == []
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert state_of(settled.result) == "CAPTURED"
    await here.books_agree()


async def test_a_card_refused_and_brought_back_leaves_the_hold(here: World) -> None:
    """The decline is genuine and no sale; the same page, or a new payment, can still be paid."""
    await here.simulator.set(failure_url="http://127.0.0.1:1/failed")
    hold = await here.hold()
    opened = await here.create(hold)
    refused = await here.settle((await here.simulator.customer(opened.redirect_url, REFUSED_CARD))["redirects"][0])
    assert (state_of(refused.result), refused.result.failure) == ("FAILED", "declined")
    assert await here.status(hold) == "PENDING_PAYMENT"
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert state_of(settled.result) == "CAPTURED"
    assert await here.status(hold) == "CONFIRMED"
    await here.books_agree()


async def test_a_card_refused_at_the_charge_leaves_the_hold(here: World) -> None:
    """A postponed card can still be refused; the customer may open another payment until the hold ends."""
    hold = await here.hold()
    refused = await here.paid(hold, REFUSED_AT_COMMIT)
    assert (state_of(refused.result), refused.result.failure) == ("FAILED", "declined")
    assert await here.status(hold) == "PENDING_PAYMENT"
    await here.books_agree()
    assert state_of((await here.paid(hold)).result) == "CAPTURED"
    await here.books_agree()


async def test_the_same_return_again_is_the_same_success(here: World) -> None:
    """Refreshed, brought twice at once, or days later: one charge, one seat, one answer."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    at_once = await asyncio.gather(*(here.settle(redirect) for _ in range(8)))
    assert {state_of(settled.result) for settled in at_once} == {"CAPTURED"}
    again = await here.settle(redirect)
    assert again.replayed
    assert state_of(again.result) == "CAPTURED"
    assert len(await here.simulator.requests("commitTrans")) == 1
    await here.books_agree()


async def test_two_who_open_at_once_have_one_payment(here: World) -> None:
    """Two tabs, or a button pressed twice: one page is made; the other request must retry, then gets that page."""
    hold = await here.hold()
    asked = await asyncio.gather(
        *(here.create(hold, idempotency_key=key) for key in ("one", "one", "other")), return_exceptions=True
    )
    assert len(here.rows("SELECT 1 FROM payments")) == 1
    errors = [error for error in asked if isinstance(error, grpc.aio.AioRpcError)]
    assert {error.code() for error in errors} <= {grpc.StatusCode.ABORTED, grpc.StatusCode.ALREADY_EXISTS}
    opened = [answer for answer in asked if not isinstance(answer, BaseException)]
    assert opened
    assert len({answer.redirect_url for answer in opened}) == 1
    with pytest.raises(grpc.aio.AioRpcError) as running:
        await here.create(hold)
    assert running.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_paying_one_page_twice_charges_once(here: World) -> None:
    """A second number for the same Order is recorded as surplus; a postponed one costs nothing."""
    hold = await here.hold()
    opened = await here.create(hold)
    first, second = [(await here.simulator.customer(opened.redirect_url))["redirects"][0] for _ in range(2)]
    assert state_of((await here.settle(first)).result) == "CAPTURED"
    assert state_of((await here.settle(second)).result) == "CAPTURED"
    roles = {row["role"] for row in here.rows("SELECT role FROM transactions")}
    assert roles == {"AUTHORISATION", "CHARGE", "SURPLUS"}
    await here.books_agree()


async def test_an_older_page_that_is_paid_first_wins(here: World) -> None:
    """The newer payment ends; what is paid on it afterwards is surplus."""
    await here.simulator.set(failure_url="http://127.0.0.1:1/failed")
    hold = await here.hold()
    older = await here.create(hold)
    await here.settle((await here.simulator.customer(older.redirect_url, REFUSED_CARD))["redirects"][0])
    newer = await here.create(hold)
    assert newer.payment_id != older.payment_id
    assert state_of(
        (await here.settle((await here.simulator.customer(older.redirect_url))["redirects"][0])).result
    ) == ("CAPTURED")
    assert (await here.payment(newer.payment_id)).failure == "superseded"
    late = await here.settle((await here.simulator.customer(newer.redirect_url))["redirects"][0])
    assert state_of(late.result) == "EXPIRED"
    await here.books_agree()


@pytest.mark.ground(payment={"reconcile_seconds": 0.2})
async def test_a_lost_return_charges_nobody(here: World) -> None:
    """The customer pays and closes the tab: nothing is charged, the payment expires, the hold ends by itself."""
    hold = await here.hold()
    opened = await here.create(hold)
    await here.simulator.customer(opened.redirect_url)
    here.end_pages()
    await here.state_becomes(opened.payment_id, "EXPIRED")
    await here.books_agree()


@pytest.mark.ground(payment={"reconcile_seconds": 0.2})
async def test_a_return_after_the_hold_claims_the_seat_again(here: World) -> None:
    """Late, but the spots are still there: the seat is claimed again and only then charged."""
    await here.registration.event(slug="short", price_agorot=PRICE)
    hold = await here.hold(event="short")
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    here.end_pages()
    await here.state_becomes(opened.payment_id, "EXPIRED")
    await here.registration.end_hold(hold)
    assert state_of((await here.settle(redirect)).result) == "CAPTURED"
    assert await here.status(hold) == "CONFIRMED"
    await here.books_agree()


async def test_a_return_after_the_seat_went_to_somebody_else_charges_nobody(here: World) -> None:
    """The hold ends and another person takes the seat: the card is not charged, and the page says so."""
    await here.registration.event(slug="short", price_agorot=PRICE, capacity=1)
    hold = await here.hold(1, event="short")
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.registration.end_hold(hold)
    await here.hold(2, event="short")
    settled = await here.settle(redirect)
    assert (state_of(settled.result), settled.result.failure) == ("FAILED", "seat_gone")
    assert (await here.simulator.book((await here.payment(opened.payment_id)).order))["charges"] == 0
    await here.books_agree()


@pytest.mark.ground(payment={"payment_mode": "immediate"})
async def test_charged_at_once_and_the_seat_is_gone(here: World) -> None:
    """In immediate mode the money is there before we know: it goes back by itself, all of it."""
    await here.registration.event(slug="short", price_agorot=PRICE, capacity=1)
    hold = await here.hold(1, event="short")
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.registration.end_hold(hold)
    await here.hold(2, event="short")
    await here.settle(redirect)
    await here.state_becomes(opened.payment_id, "REFUNDED")
    await here.books_agree()


@pytest.mark.ground(payment={"payment_mode": "immediate"})
async def test_charged_at_once_and_confirmed(here: World) -> None:
    """Immediate mode, the good case."""
    hold = await here.hold()
    settled = await here.paid(hold)
    assert (state_of(settled.result), seat_of(settled.result)) == ("CAPTURED", "CONFIRMED")
    assert await here.simulator.requests("commitTrans") == []
    await here.books_agree()


@pytest.mark.ground(payment={"payment_mode": "immediate"})
async def test_charged_twice_is_given_back_once(here: World) -> None:
    """Two charges on one page: the second one is surplus, and goes back."""
    hold = await here.hold()
    opened = await here.create(hold)
    first, second = [(await here.simulator.customer(opened.redirect_url))["redirects"][0] for _ in range(2)]
    await here.settle(first)
    await here.settle(second)
    await here.until(
        lambda: _rows(here, "SELECT 1 FROM refunds WHERE reason = 'SURPLUS' AND state = 'DONE'"), what="given back"
    )
    assert state_of(await here.payment(opened.payment_id)) == "CAPTURED"
    await here.books_agree()


@pytest.mark.parametrize("kind", ["timeout_before", "html", "empty", "http_500", "reset_before"])
async def test_a_charge_that_was_not_made_is_asked_for_again(here: World, kind: str) -> None:
    """No answer, and nothing had happened: UNKNOWN, then charged once."""
    hold = await here.hold()
    await here.simulator.fault("commitTrans", kind, **({"seconds": 1} if "timeout" in kind else {}))
    opened = await here.create(hold)
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _is(here, hold, "CONFIRMED"), what="the seat is confirmed")
    assert len(await here.simulator.requests("commitTrans")) >= 2
    await here.books_agree()


@pytest.mark.parametrize("kind", ["timeout_after", "html_after", "empty_after", "cut_after", "http_500_after"])
async def test_a_charge_whose_answer_was_lost_is_not_made_twice(here: World, kind: str) -> None:
    """Asked again, YaadPay says that it is committed (250): that is the charge we asked for."""
    hold = await here.hold()
    await here.simulator.fault("commitTrans", kind, **({"seconds": 1} if "timeout" in kind else {}))
    opened = await here.create(hold)
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    payment = await here.state_becomes(opened.payment_id, "CAPTURED")
    assert payment.yaadpay_id == "", "its number was in the lost answer"
    await here.until(lambda: _is(here, hold, "CONFIRMED"), what="the seat is confirmed")
    assert (await here.simulator.book(payment.order))["charges"] == 1
    await here.books_agree()


@pytest.mark.parametrize("ccode", [902, 425])
async def test_a_refusal_that_says_nothing_of_the_first_try_is_no_failure(here: World, ccode: int) -> None:
    """YaadPay charges, loses the answer, then refuses the retry: the charge may stand, so it is never FAILED."""
    hold = await here.hold()
    await here.simulator.fault("commitTrans", "html_after", times=1)
    await here.simulator.fault("commitTrans", "ccode", ccode=ccode, times=1)
    opened = await here.create(hold)
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    payment = await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _is(here, hold, "CONFIRMED"), what="the seat is confirmed")
    assert (await here.simulator.book(payment.order))["charges"] == 1
    await here.books_agree()


async def test_committed_after_a_try_that_never_left_is_nobodys_charge(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try did not reach YaadPay, so the 250 of the second one proves no charge by this service."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    send, unreached = YaadPayClient.commit, [YaadPayResponse(outcome=Outcome.NOT_SENT)]

    async def commit(client: YaadPayClient, transaction: str) -> YaadPayResponse:
        return unreached.pop() if unreached else await send(client, transaction)

    monkeypatch.setattr(YaadPayClient, "commit", commit)
    await here.simulator.fault("commitTrans", "ccode", ccode=250)
    await here.settle(redirect)
    await here.until(lambda: _rows(here, "SELECT 1 FROM escalations WHERE kind = 'payment'"), what="escalated")
    assert here.rows("SELECT why FROM escalations") == [{"why": "committed_by_another"}]
    assert state_of(await here.payment(opened.payment_id)) == "UNKNOWN"


@pytest.mark.ground(payment={"money_tries": 2})
async def test_a_charge_that_stays_unknown_goes_to_a_person(here: World) -> None:
    """Tried a bounded number of times; the person's word, with YaadPay's number, then settles it."""
    hold = await here.hold()
    await here.simulator.fault("commitTrans", "html_after", times=1)
    await here.simulator.fault("commitTrans", "html", times=50)
    opened = await here.create(hold)
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    await here.until(lambda: _rows(here, "SELECT 1 FROM escalations WHERE kind = 'payment'"), what="escalated")
    payment = await here.payment(opened.payment_id)
    assert state_of(payment) == "UNKNOWN"
    charge = next(
        item
        for item in (await here.simulator.http.get("/simulator/transactions", params={"order": payment.order})).json()[
            "items"
        ]
        if item["kind"] == "commit"
    )
    await here.resolve("payment", opened.payment_id, moved=True, yaadpay_id=str(charge["id"]))
    settled = await here.payment(opened.payment_id)
    assert (state_of(settled), seat_of(settled)) == ("CAPTURED", "CONFIRMED")
    await here.books_agree()


@pytest.mark.parametrize("kind", ["timeout_before", "html", "empty", "http_500"])
async def test_a_return_that_can_not_be_verified_waits(here: World, kind: str) -> None:
    """The return is never believed and never lost: it is stored, and verified again."""
    hold = await here.hold()
    await here.simulator.fault("VERIFY", kind, times=3, **({"seconds": 1} if "timeout" in kind else {}))
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    query = redirect.partition("?")[2].encode()
    from ticketcap.payment.v1 import payment_pb2 as pb

    first = None
    with contextlib.suppress(grpc.aio.AioRpcError):  # a busy machine may have no time for the answer
        first = await here.stub.SettleReturn(pb.SettleReturnRequest(query=query), timeout=1)
    assert first is None or state_of(first.result) == "REDIRECTED"
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _is(here, hold, "CONFIRMED"), what="the seat is confirmed")
    await here.books_agree()


async def test_hebrew_in_windows_1255_is_verified_as_it_came(here: World) -> None:
    """YaadPay answers in windows-1255 although UTF-8 is requested: the bytes count."""
    hold = await here.hold()
    await here.simulator.fault("pay", "windows_1255")
    settled = await here.paid(hold)
    assert state_of(settled.result) == "CAPTURED"
    await here.books_agree()


@pytest.mark.parametrize("kind", ["timeout_before", "html", "ccode", "empty"])
async def test_a_page_that_does_not_open_can_be_asked_for_again(here: World, kind: str) -> None:
    """503, nothing charged; the same key opens it when YaadPay is back."""
    hold = await here.hold()
    more = {"timeout_before": {"seconds": 1}, "ccode": {"ccode": 902}}.get(kind, {})
    await here.simulator.fault("SIGN", kind, times=2, **more)
    with pytest.raises(grpc.aio.AioRpcError) as away:
        await here.create(hold, idempotency_key="one")
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    await here.simulator.http.delete("/simulator/faults")
    opened = await here.create(hold, idempotency_key="one")
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert state_of(settled.result) == "CAPTURED"
    await here.books_agree()


async def test_tries_whose_page_never_opened_are_no_attempts(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While YaadPay is unavailable tries fail up to the limit; afterwards the holder pays. Their number is bounded."""
    monkeypatch.setattr(creation, "_ATTEMPTS", 2)
    monkeypatch.setattr(creation, "_FAILED_ATTEMPTS", 4)
    hold, other = await here.hold(), await here.hold(2)
    await here.simulator.fault("SIGN", "empty", times=100)
    for number in range(3):
        assert await _refused(here, hold, f"away {number}") is grpc.StatusCode.UNAVAILABLE
    for number in range(4):
        assert await _refused(here, other, f"away {number}") is grpc.StatusCode.UNAVAILABLE
    assert await _refused(here, other, "one too many") is grpc.StatusCode.RESOURCE_EXHAUSTED
    await here.simulator.http.delete("/simulator/faults")
    opened = await here.create(hold, idempotency_key="back")
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert state_of(settled.result) == "CAPTURED"
    await here.books_agree()


async def _refused(here: World, hold: pb.RegisterResponse, key: str) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.create(hold, idempotency_key=key)
    return refused.value.code()


async def test_a_hold_at_yaadpay_instead_of_a_charge_is_no_sale(here: World) -> None:
    """A terminal that answers 700 has charged no card, and the service does not take it for money."""
    hold = await here.hold()
    opened = await here.create(hold)
    page = opened.redirect_url.replace("Postpone=True", "J5=True")
    assert "html_error" in await here.simulator.customer(page), "a page that was tampered with does not open"
    await here.books_agree()


async def test_a_promoted_registration_pays_through_its_pay_token(here: World) -> None:
    """The offer has its own window and a token that only pays; cancelling gave the first one's money back."""
    await here.registration.event(slug="one", price_agorot=PRICE, capacity=1)
    first, second = await here.hold(1, event="one"), await here.hold(2, event="one")
    await here.paid(first)
    await here.registration.cancel(first)
    offer = await here.registration.get(second)
    assert offer.HasField("hold_expires_at")
    opened = await here.create(second, manage_token="", pay_token=offer.pay_token)
    settled = await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    assert state_of(settled.result) == "CAPTURED"
    await here.until(
        lambda: _rows(here, "SELECT 1 FROM payments WHERE state = 'REFUNDED'"), what="the first one has it back"
    )
    await here.books_agree()


@pytest.mark.ground(payment={"payment_mode": "immediate"})
@pytest.mark.parametrize("ccode", [999, 9])
async def test_a_return_that_does_not_know_its_outcome_is_no_decline(here: World, ccode: int) -> None:
    """YaadPay itself does not know whether the page charged: escalated, and a person finds that it did not."""
    await here.simulator.set(failure_url="http://127.0.0.1:1/failed")
    hold = await here.hold()
    opened = await here.create(hold)
    came = await here.simulator.customer(opened.redirect_url, button="decline", decline_ccode=ccode)
    settled = await here.settle(came["redirects"][0])
    assert settled.result.failure != "declined"
    assert here.rows("SELECT why FROM escalations WHERE resolved_at IS NULL") == [{"why": "return_does_not_know"}]
    await here.resolve("payment", opened.payment_id, moved=False)
    await here.books_agree()


@pytest.mark.ground(payment={"payment_mode": "immediate", "reconcile_seconds": 0.2})
async def test_money_that_a_person_finds_in_the_portal_counts(here: World) -> None:
    """Charged on the page and the browser never came back: YaadPay's number, typed by a person, confirms the seat."""
    hold = await here.hold()
    opened = await here.create(hold)
    charged = (await here.simulator.customer(opened.redirect_url))["transaction"]
    here.end_pages()
    lost = await here.state_becomes(opened.payment_id, "EXPIRED")
    assert lost.failure == "not_returned", "in this mode nobody can say that nothing was paid"
    found = await here.resolve("payment", opened.payment_id, moved=True, yaadpay_id=str(charged["id"]))
    assert (state_of(found), seat_of(found)) == ("CAPTURED", "CONFIRMED")
    assert await here.status(hold) == "CONFIRMED"
    (escalation,) = here.rows("SELECT why, resolved_by FROM escalations")
    assert escalation == {"why": "found_in_the_portal", "resolved_by": "tester"}
    await here.books_agree()


@pytest.mark.ground(payment={"give_up_seconds": 0.5})
async def test_a_seat_that_is_not_known_for_long_is_told_and_goes_on(here: World) -> None:
    """Nothing was charged: a person knows of it, and when registration is back it ends by itself."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.simulator.fault("commitTrans", "reset_before", times=1)
    await here.settle(redirect)
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _is(here, hold, "CONFIRMED"), what="the seat is confirmed")
    assert here.rows("SELECT 1 FROM escalations WHERE resolved_at IS NULL") == []


async def test_the_key_of_a_paid_payment_leads_to_no_page(here: World) -> None:
    """Going back and pressing again must not lead to paying again."""
    hold = await here.hold()
    opened = await here.create(hold, idempotency_key="once")
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.create(hold, idempotency_key="once")
    assert error.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def _is(here: World, hold: object, status: str) -> bool:
    return await here.status(hold) == status  # type: ignore[arg-type]  # what register answered


async def _rows(here: World, statement: str) -> bool:
    return bool(here.rows(statement))
