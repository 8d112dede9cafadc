"""Stop the saga at every step, or let another request run there."""

import asyncio
import contextlib

import grpc
import pytest
from payment_under_test import Ground, World, another_payment_service, state_of
from ticketcap_payment.steps import Step

PAYING = [
    Step.RETURN_STORED,
    Step.RETURN_VERIFIED,
    Step.PAYMENT_AUTHORISED,
    Step.SEAT_SECURED,
    Step.CAPTURE_INTENDED,
    Step.CAPTURE_ANSWERED,
    Step.PAYMENT_CAPTURED,
    Step.SEAT_ANSWERED,
    Step.SEAT_RECORDED,
]
GIVING_BACK = [Step.REFUND_STORED, Step.REFUND_INTENDED, Step.REFUND_ANSWERED, Step.REFUND_RECORDED]


async def test_every_step_of_the_good_way_is_passed(here: World) -> None:
    """The names are those that the code reaches, in this order; no name is there for nothing."""
    payment_id = (await here.paid(await here.hold())).result.id
    await here.refund(payment_id)
    reached = [step for step in here.steps.seen if step is not Step.CHANGE_APPLIED]
    assert reached == [Step.PAYMENT_STORED, Step.PAGE_SIGNED, *PAYING, *GIVING_BACK]
    assert set(Step) == {*reached, Step.CHANGE_APPLIED}


@pytest.mark.parametrize("step", PAYING)
async def test_paying_is_taken_up_where_it_stopped(here: World, step: Step) -> None:
    """As if the process had been killed there: the lease ends, another worker continues, one charge is made."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    here.steps.die_at(step)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await here.settle(redirect, seconds=1)
    # On a busy machine the call may end before the step; the delivery that continues without it then dies there.
    await here.until(lambda: _reached(here, step), what=f"{step} is reached")
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.until(lambda: _confirmed(here), what="the seat is confirmed")
    assert (await here.simulator.book((await here.payment(opened.payment_id)).order))["charges"] == 1
    await here.books_agree()


@pytest.mark.parametrize("by_cancelling", [True, False])
@pytest.mark.parametrize("step", GIVING_BACK)
async def test_giving_back_is_taken_up_or_handed_over(here: World, step: Step, by_cancelling: bool) -> None:
    """An undoing is asked for again; a refund that may have been made is never sent twice, a person looks."""
    payment_id = (await here.paid(await here.hold())).result.id
    part = None if by_cancelling else 100
    here.steps.die_at(step)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await here.refund(payment_id, part, seconds=1)
    await here.until(lambda: _no_open_refund(here), what="driven to an end")
    (refund,) = (await here.payment(payment_id)).refunds
    sent = len(await here.simulator.requests("zikoyAPI"))
    if not by_cancelling:
        assert sent <= 1, "never twice"
    if here.rows("SELECT 1 FROM escalations WHERE resolved_at IS NULL"):
        # An answered and then forgotten cancellation looks like one that came too late.
        assert step in {Step.REFUND_INTENDED, Step.REFUND_ANSWERED}
        net = (await here.simulator.book((await here.payment(payment_id)).order))["net_agorot"]
        given_back = net < (await here.payment(payment_id)).amount_agorot
        await here.resolve("refund", refund.id, moved=given_back, again=not given_back)
        await here.until(lambda: _no_open_refund(here), what="the person's word settles it")
    await here.books_agree()


@pytest.mark.parametrize("step", [Step.SEAT_SECURED, Step.CAPTURE_INTENDED, Step.CAPTURE_ANSWERED])
async def test_a_cancellation_that_passes_during_the_capture(here: World, step: Step) -> None:
    """A charge for a seat that was lost meanwhile is refunded."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]

    async def cancel() -> None:
        await here.registration.cancel(hold)

    here.steps.once(step, cancel)
    await here.settle(redirect)
    await here.state_becomes(opened.payment_id, "REFUNDED")
    assert await here.status(hold) == "CANCELLED"
    await here.books_agree()


async def test_a_payment_that_ends_while_its_page_is_signed(here: World) -> None:
    """The page comes too late: the payment stays ended, and the caller must open another one."""
    hold = await here.hold()

    async def end() -> None:
        here.change("UPDATE payments SET state = 'EXPIRED', failure = 'not_paid'")

    here.steps.once(Step.PAGE_SIGNED, end)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.create(hold)
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert "EXPIRED; open another one" in (refused.value.details() or "")
    assert here.rows("SELECT 1 FROM payments WHERE state = 'EXPIRED' AND redirect_url = ''")
    assert state_of((await here.paid(hold)).result) == "CAPTURED"
    await here.books_agree()


@pytest.mark.parametrize("step", [Step.RETURN_STORED, Step.RETURN_VERIFIED, Step.CAPTURE_INTENDED])
async def test_the_same_return_that_passes_in_between(here: World, step: Step) -> None:
    """A refreshed browser at the worst moment: still one charge."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    other: list[asyncio.Task[object]] = []

    async def again() -> None:
        other.append(asyncio.create_task(here.settle(redirect)))
        await asyncio.sleep(0.3)

    here.steps.once(step, again)
    await here.settle(redirect)
    await asyncio.gather(*other)
    assert state_of(await here.payment(opened.payment_id)) == "CAPTURED"
    assert len(await here.simulator.requests("commitTrans")) == 1
    await here.books_agree()


async def test_a_charge_made_after_another_deliverer_was_refused(here: World, ground: Ground) -> None:
    """One deliverer sleeps past its lease before it asks; the next one is refused, and then the first one charges."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]

    async def sleep_long() -> None:
        await here.simulator.fault("commitTrans", "ccode", ccode=4, times=1)
        await here.state_becomes(opened.payment_id, "FAILED")

    here.steps.once(Step.CAPTURE_INTENDED, sleep_long)
    async with another_payment_service(here, ground):
        await here.settle(redirect)
        await here.state_becomes(opened.payment_id, "CAPTURED")
        await here.until(lambda: _confirmed(here), what="the seat is confirmed")
        await here.books_agree()


async def test_no_transaction_is_open_while_yaadpay_is_asked(here: World) -> None:
    """YaadPay sleeps; the database sees no transaction and no lock of the payment service meanwhile."""
    hold = await here.hold()
    opened = await here.create(hold)
    redirect = (await here.simulator.customer(opened.redirect_url))["redirects"][0]
    seen: list[object] = []
    for action in ("VERIFY", "commitTrans", "CancelTrans"):
        await here.simulator.fault(action, "slow", seconds=0.7)

    async def watch() -> None:
        while True:
            # The watcher's own jobs come and go within milliseconds; what is open longer was left open.
            # In a thread: the service runs in this loop, and its own transactions would wait meanwhile.
            looked = asyncio.to_thread(
                here.rows,
                "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name LIKE 'ticketcap-%' AND xact_start < clock_timestamp() - interval '0.3 s'",
            )
            seen.extend(await looked)
            await asyncio.sleep(0.1)

    watcher = asyncio.create_task(watch())
    await here.settle(redirect)
    await here.state_becomes(opened.payment_id, "CAPTURED")
    await here.refund(opened.payment_id)
    watcher.cancel()
    assert len(await here.simulator.requests("CancelTrans")) == 1
    assert seen == []


async def test_the_watch_on_transactions_would_see_one(here: World) -> None:
    """The negative control: a transaction held open on purpose is seen by the same question."""
    from sqlalchemy import create_engine, text
    from ticketcap_chassis.database.engine import driver_url

    engine = create_engine(driver_url(here.database), connect_args={"application_name": "ticketcap-held"})
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        await asyncio.sleep(0.4)
        seen = here.rows(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'ticketcap-%' AND xact_start < clock_timestamp() - interval '0.3 s'"
        )
    engine.dispose()
    assert seen


async def _reached(here: World, step: Step) -> bool:
    return step in here.steps.seen


async def _confirmed(here: World) -> bool:
    return bool(here.rows("SELECT 1 FROM payments WHERE seat = 'CONFIRMED'"))


async def _no_open_refund(here: World) -> bool:
    return bool(here.rows("SELECT 1 FROM refunds")) and not here.rows(
        "SELECT 1 FROM refunds WHERE state IN ('REQUESTED', 'SENT') UNION ALL"
        " SELECT 1 FROM outbox WHERE done_at IS NULL AND topic = 'refund.send'"
    )
