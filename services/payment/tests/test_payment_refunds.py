"""Refund by policy and by an organiser, by cancelling and by refunding.

A lost answer is escalated and never sent twice.
"""

import grpc
import pytest
from payment_under_test import PRICE, World, state_of
from service_under_test import OWNER, after, token
from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap.registration.v1 import registration_pb2

SETTLED_OR_WAITING = (
    "SELECT 1 FROM refunds WHERE state = 'DONE' UNION ALL SELECT 1 FROM escalations WHERE resolved_at IS NULL"
)


async def captured(here: World, number: int = 1, **fields: object) -> pb.Payment:
    hold = await here.hold(number, **fields)
    settled = await here.paid(hold)
    assert state_of(settled.result) == "CAPTURED"
    return await here.payment(settled.result.id)


async def test_a_cancelled_registration_gets_everything_back(here: World) -> None:
    """Until the deadline. The waitlist gets the seat at once, and the books agree."""
    hold = await here.hold()
    settled = await here.paid(hold)
    await here.registration.cancel(hold)
    payment = await here.state_becomes(settled.result.id, "REFUNDED")
    assert payment.refunded_agorot == PRICE
    assert [pb.RefundReason.Name(refund.reason) for refund in payment.refunds] == ["REFUND_REASON_CANCELLED"]
    await here.books_agree()


@pytest.mark.parametrize(("refund", "back"), [(None, PRICE), (1000, 1000), (0, 0)])
async def test_after_the_deadline_an_organiser_decides(here: World, refund: int | None, back: int) -> None:
    """The deadline binds the holder: called off by the school, everything goes back, or what the school says."""
    await here.registration.event(
        slug="soon", price_agorot=PRICE, starts_at=after(hours=10), cancellation_deadline_hours=24
    )
    hold = await here.hold(event="soon")
    settled = await here.paid(hold)
    with pytest.raises(grpc.aio.AioRpcError, match="could be cancelled until"):
        await here.registration.cancel(hold)
    cancel = registration_pb2.CancelRegistrationRequest(id=hold.id, refund_agorot=refund)
    await here.registration.stub.CancelRegistration(cancel, metadata=OWNER)
    # A change may be read twice, and gives back once.
    for _ in range(2):
        await here.until(here.feed_is_read, what="the cancellation was read")
        here.read_changes_again()
    await here.until(here.feed_is_read, what="it was read again")
    await here.until(
        lambda: _rows(here, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE done_at IS NULL)"), what="sent"
    )
    payment = await here.payment(settled.result.id)
    assert payment.refunded_agorot == back
    assert state_of(payment) == ("REFUNDED" if back == PRICE else "CAPTURED")
    assert (await here.simulator.book(payment.order))["net_agorot"] == PRICE - back


async def _nothing_is_open(here: World) -> bool:
    return not here.rows("SELECT 1 FROM outbox WHERE done_at IS NULL")


async def test_the_holder_does_not_choose_what_goes_back(here: World) -> None:
    """Refused with 403, and nothing is cancelled; in time, all of it goes back."""
    hold = await here.hold()
    settled = await here.paid(hold)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.registration.cancel(hold, refund_agorot=PRICE)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert await here.status(hold) == "CONFIRMED"
    too_much = registration_pb2.CancelRegistrationRequest(id=hold.id, refund_agorot=PRICE + 1)
    with pytest.raises(grpc.aio.AioRpcError, match=str(PRICE)):
        await here.registration.stub.CancelRegistration(too_much, metadata=OWNER)
    assert await here.status(hold) == "CONFIRMED"
    await here.registration.cancel(hold)
    await here.state_becomes(settled.result.id, "REFUNDED")


async def test_an_unpaid_payment_ends_with_its_registration(here: World) -> None:
    """Cancelled while the customer is on the page: the later return finds no seat, and no card is charged."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    await here.registration.cancel(hold)
    await here.state_becomes(opened.payment_id, "EXPIRED")
    settled = await here.settle(redirect)
    assert (state_of(settled.result), settled.result.failure) == ("FAILED", "seat_gone")
    await here.books_agree()


async def test_parts_are_given_back_until_nothing_is_left(here: World) -> None:
    """And never a single agora more: 422 with the refundable rest."""
    payment = await captured(here)
    for amount in (1, 990, 999):
        assert state_of((await here.refund(payment.id, amount)).payment) == "CAPTURED"
    left = PRICE - 1990
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.refund(payment.id, left + 1)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(left) in (error.value.details() or "")
    assert state_of((await here.refund(payment.id)).payment) == "REFUNDED"
    assert len(await here.simulator.requests("zikoyAPI")) == 4
    await here.books_agree()


async def test_the_same_request_gives_back_once(here: World) -> None:
    """A repeat gets the first answer; the same key with another amount is refused."""
    payment = await captured(here)
    first = await here.refund(payment.id, 500, idempotency_key="once")
    again = await here.refund(payment.id, 500, idempotency_key="once")
    assert again.replayed
    assert again.refund.id == first.refund.id
    with pytest.raises(grpc.aio.AioRpcError, match="idempotency key"):
        await here.refund(payment.id, 600, idempotency_key="once")
    assert (await here.payment(payment.id)).refunded_agorot == 500
    await here.books_agree()


async def test_only_money_that_was_taken_is_given_back(here: World) -> None:
    """An open payment has nothing to refund."""
    opened = await here.create(await here.hold())
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await here.refund(opened.payment_id)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_another_schools_payment_is_not_there(here: World) -> None:
    """404 and not 403, for every call."""
    payment = await captured(here)
    theirs = token("OWNER", "bialik")
    for call in (
        here.stub.GetPayment(pb.GetPaymentRequest(id=payment.id), metadata=theirs),
        here.stub.RefundPayment(pb.RefundPaymentRequest(payment_id=payment.id, idempotency_key="x"), metadata=theirs),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
    for role in ("MANAGER", "VIEWER"):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await here.refund_as(payment.id, token(role, "herzl"))
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_bad_token_does_not_learn_whether_a_payment_exists(here: World) -> None:
    """UNAUTHENTICATED for a payment that is there and for one that is not."""
    opened = await here.create(await here.hold())
    forged = (("authorization", f"{token('OWNER', 'herzl')[0][1]}x"),)
    for payment in (opened.payment_id, "01999999-0000-7000-8000-000000000000"):
        for metadata in (forged, ()):
            for call in (
                here.stub.GetPayment(pb.GetPaymentRequest(id=payment), metadata=metadata),
                here.refund_as(payment, metadata),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await call
                assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_todays_whole_charge_is_undone_and_a_part_refunded(here: World) -> None:
    """CancelTrans before the cut-off, zikoyAPI for everything else."""
    whole, part = await captured(here, 1), await captured(here, 2)
    await here.refund(whole.id)
    await here.refund(part.id, 100)
    undone = {request["trans_id"] for request in await here.simulator.requests("CancelTrans")}
    refunded = {request["trans_id"] for request in await here.simulator.requests("zikoyAPI")}
    assert undone | refunded == {whole.yaadpay_id, part.yaadpay_id}
    assert part.yaadpay_id in refunded
    await here.books_agree()


async def test_what_is_transmitted_already_is_refunded(here: World) -> None:
    """YaadPay says 920: nothing was undone, so that a refund can't be a second one."""
    payment = await captured(here)
    await here.simulator.fault("CancelTrans", "ccode", ccode=920)
    await here.refund(payment.id)
    await here.state_becomes(payment.id, "REFUNDED")
    await here.books_agree()


async def test_nobody_elses_charge_is_given_back_by_a_wrong_number(here: World) -> None:
    """The charge's number was lost, and the person types that of another parent's: refused, nothing is sent."""
    other = await captured(here, 1)
    await here.simulator.fault("commitTrans", "html_after")
    opened = await here.create(await here.hold(2))
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.refund(opened.payment_id)
    await here.until(lambda: _rows(here, "SELECT 1 FROM escalations WHERE resolved_at IS NULL"), what="escalated")
    (refund,) = (await here.payment(opened.payment_id)).refunds
    with pytest.raises(grpc.aio.AioRpcError, match="another transaction"):
        await here.resolve("refund", refund.id, again=True, yaadpay_id=other.yaadpay_id)
    assert await here.simulator.requests("CancelTrans") == []
    items = (await here.simulator.http.get("/simulator/transactions", params={"order": refund_order(here)})).json()
    charge = next(item for item in items["items"] if item["kind"] == "commit")
    await here.resolve("refund", refund.id, again=True, yaadpay_id=str(charge["id"]))
    await here.state_becomes(opened.payment_id, "REFUNDED")
    await here.books_agree()


async def test_one_lost_number_of_a_charge_serves_both_of_its_refunds(here: World) -> None:
    """Two refunds are escalated for want of the same number. The person types it for each, and both are sent."""
    await here.simulator.fault("commitTrans", "html_after")
    opened = await here.create(await here.hold(1))
    await here.settle((await here.simulator.customer(opened.redirect_url))["redirects"][0])
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.refund(opened.payment_id, 500, key="first")
    await here.refund(opened.payment_id, 700, key="second")
    escalated = "SELECT subject_id FROM escalations WHERE resolved_at IS NULL"
    await here.until(lambda: _rows(here, f"SELECT 1 WHERE (SELECT count(*) FROM ({escalated})) = 2"), what="escalated")
    items = (await here.simulator.http.get("/simulator/transactions", params={"order": refund_order(here)})).json()
    charge = next(item for item in items["items"] if item["kind"] == "commit")
    for row in here.rows(escalated):
        await here.resolve("refund", str(row["subject_id"]), again=True, yaadpay_id=str(charge["id"]))
    done = "SELECT 1 WHERE (SELECT count(*) FROM refunds WHERE state = 'DONE') = 2"
    await here.until(lambda: _rows(here, done), what="both refunds are done")
    await here.books_agree()


def refund_order(here: World) -> str:
    """Return the Order of the one payment that has refunds."""
    (row,) = here.rows('SELECT DISTINCT "order" FROM payments JOIN refunds ON payment_id = payments.id')
    return str(row["order"])


@pytest.mark.parametrize("ccode", [777, 998])
async def test_what_may_be_undone_already_is_never_refunded_beside_it(here: World, ccode: int) -> None:
    """To proceed (777) and to be cancelled (998) are no refusals: a refund could be a second one."""
    payment = await captured(here)
    await here.simulator.fault("CancelTrans", "ccode", ccode=ccode)
    await here.refund(payment.id)
    await here.until(lambda: _rows(here, SETTLED_OR_WAITING), what="undone, or with a person")
    assert await here.simulator.requests("zikoyAPI") == []


@pytest.mark.ground(payment={"refund_by_cancelling": False})
@pytest.mark.parametrize("kind", ["timeout_after", "html_after", "empty_after", "cut_after", "http_500_after"])
async def test_a_refund_whose_answer_was_lost_is_never_sent_twice(here: World, kind: str) -> None:
    """It goes to a person; what the person found in YaadPay's portal settles it."""
    payment = await captured(here)
    await here.simulator.fault("zikoyAPI", kind, **({"seconds": 1} if "timeout" in kind else {}))
    await here.refund(payment.id)
    await here.until(lambda: _rows(here, "SELECT 1 FROM escalations WHERE kind = 'refund'"), what="escalated")
    assert len(await here.simulator.requests("zikoyAPI")) == 1
    refund = (await here.payment(payment.id)).refunds[0]
    assert pb.RefundState.Name(refund.state) == "REFUND_STATE_UNKNOWN"
    settled = await here.resolve("refund", refund.id, moved=True, yaadpay_id="12345678")
    assert state_of(settled) == "REFUNDED"
    assert len(await here.simulator.requests("zikoyAPI")) == 1
    await here.books_agree()


@pytest.mark.ground(payment={"refund_by_cancelling": False})
@pytest.mark.parametrize("kind", ["timeout_before", "html", "http_500"])
async def test_a_refund_that_a_person_found_not_done_is_sent_again(here: World, kind: str) -> None:
    """The answer was lost and the portal shows no refund: once more, by the person's word."""
    payment = await captured(here)
    await here.simulator.fault("zikoyAPI", kind, **({"seconds": 1} if "timeout" in kind else {}))
    await here.refund(payment.id)
    await here.until(lambda: _rows(here, "SELECT 1 FROM escalations WHERE kind = 'refund'"), what="escalated")
    refund = (await here.payment(payment.id)).refunds[0]
    await here.resolve("refund", refund.id, moved=False, again=True)
    await here.state_becomes(payment.id, "REFUNDED")
    await here.books_agree()


@pytest.mark.parametrize("kind", ["timeout_before", "html", "empty", "http_500"])
async def test_an_undoing_without_an_answer_is_asked_for_again(here: World, kind: str) -> None:
    """CancelTrans is harmless twice: when nothing had happened it is done the second time."""
    payment = await captured(here)
    await here.simulator.fault("CancelTrans", kind, **({"seconds": 1} if "timeout" in kind else {}))
    await here.refund(payment.id)
    await here.state_becomes(payment.id, "REFUNDED")
    assert await here.simulator.requests("zikoyAPI") == []
    await here.books_agree()


async def test_the_books_of_a_day(here: World) -> None:
    """Every charge and every refund of the day in Israel, to the agora, in order; nothing of another school."""
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    payment = await captured(here)
    await here.refund(payment.id, 990)
    day = datetime.now(UTC).astimezone(ZoneInfo("Asia/Jerusalem")).date().isoformat()
    request = pb.ExportPaymentsRequest(school="herzl", day=day)
    entries = [
        entry
        async for page in here.stub.ExportPayments(request, metadata=token("OWNER", "herzl"))
        for entry in page.entries
    ]
    assert [(entry.kind, entry.amount_agorot, entry.state) for entry in entries] == [
        ("payment", PRICE, "CAPTURED"),
        ("refund", -990, "DONE"),
    ]
    assert entries[0].yaadpay_id == payment.yaadpay_id
    other = pb.ExportPaymentsRequest(school="bialik", day=day)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await anext(aiter(here.stub.ExportPayments(other, metadata=token("OWNER", "herzl"))))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def _rows(here: World, statement: str) -> bool:
    return bool(here.rows(statement))
