"""Check the rules of money by properties over whole histories."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_chassis.tagged_ids import tag_of
from ticketcap_payment.domain.errors import (
    ForbiddenTransition,
    FreeEvent,
    HoldExpired,
    NotAHold,
    NotCaptured,
    RefundTooLarge,
)
from ticketcap_payment.domain.hold import Hold
from ticketcap_payment.domain.order import is_untagged_order, new_order, tag_of_order
from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import ISRAEL, CancelRule, Method, Refund, due_on_cancellation
from ticketcap_payment.domain.states import CHARGED, TRANSITIONS, PaymentState, RefundReason, RefundState

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
NOTHING = UUID(int=0)


def a_payment(amount_agorot: int = 4990) -> Payment:
    return Payment(
        id=UUID(int=1),
        school_slug="herzl",
        school_id=UUID(int=4),
        registration_id=UUID(int=2),
        event_id=UUID(int=3),
        order=new_order(uuid4()),
        masof="0010131918",
        amount_agorot=amount_agorot,
        currency="ILS",
        language="HEB",
        idempotency_key="k",
        fingerprint="f",
        created_at=NOW,
    )


def a_refund(amount_agorot: int = 100) -> Refund:
    return Refund(
        id=NOTHING,
        school_slug="herzl",
        school_id=NOTHING,
        payment_id=NOTHING,
        registration_id=NOTHING,
        charge_id="1",
        amount_agorot=amount_agorot,
        currency="ILS",
        reason=RefundReason.ORGANISER,
        idempotency_key="k",
        fingerprint="",
        created_at=NOW,
    )


MOVES = st.sampled_from(["redirected", "authorised", "captured", "unknown", "failed", "expired", "refund", "done"])


def moved(payment: Payment, move: str, amount: int) -> Payment:
    ways: dict[str, Callable[[], Payment]] = {
        "redirected": lambda: payment.redirected("https://pay.example/p/"),
        "authorised": lambda: payment.authorised("1", 800, NOW),
        "captured": lambda: payment.captured("2", 0, NOW),
        "unknown": lambda: payment.unknown(None),
        "failed": lambda: payment.failed("declined", 4),
        "expired": payment.expired,
        "refund": lambda: payment.refund_requested(amount),
        "done": lambda: payment.refund_done(min(amount, payment.refund_pending_agorot)),
    }
    return ways[move]()


@given(st.lists(st.tuples(MOVES, st.integers(1, 6000)), max_size=30))
def test_whatever_is_tried_money_adds_up(history: list[tuple[str, int]]) -> None:
    """Taken money never becomes untaken, what is given back only grows, and never more than was taken."""
    payment = a_payment()
    for move, amount in history:
        try:
            after = moved(payment, move, amount)
        except (ForbiddenTransition, NotCaptured, RefundTooLarge):
            continue
        assert after.state is payment.state or after.state in TRANSITIONS[payment.state]
        assert payment.state not in CHARGED or after.state in CHARGED
        assert after.refunded_agorot >= payment.refunded_agorot
        assert 0 <= after.refunded_agorot + after.refund_pending_agorot <= after.amount_agorot
        assert after.state in CHARGED or after.refunded_agorot + after.refund_pending_agorot == 0
        assert (after.state is PaymentState.REFUNDED) == (after.refunded_agorot == after.amount_agorot)
        payment = after


def test_unknown_is_never_taken_for_failed() -> None:
    """An outcome that we do not know can only be learnt: charged, or certainly not."""
    assert TRANSITIONS[PaymentState.UNKNOWN] == {PaymentState.CAPTURED, PaymentState.FAILED}
    assert PaymentState.EXPIRED not in TRANSITIONS[PaymentState.AUTHORISED]


@given(st.integers(0, 10_000), st.integers(1, 100), st.sampled_from(["PENDING_PAYMENT", "CONFIRMED", "EXPIRED"]))
def test_what_is_to_be_paid(price: int, spots: int, status: str) -> None:
    """Price times spots for a live hold; else a refusal that says why."""
    hold = Hold(
        registration_id=NOTHING,
        event_id=NOTHING,
        school_slug="herzl",
        school_id=NOTHING,
        status=status,
        spots=spots,
        price_agorot=price,
        currency="ILS",
        hold_expires_at=NOW + timedelta(minutes=1),
        name="דנה",
        title="טיול",
    )
    if price == 0:
        with pytest.raises(FreeEvent):
            hold.amount_to_pay(NOW)
    elif status == "PENDING_PAYMENT":
        assert hold.amount_to_pay(NOW) == price * spots
        with pytest.raises(HoldExpired):
            replace(hold, hold_expires_at=NOW).amount_to_pay(NOW)
    else:
        with pytest.raises(HoldExpired if status == "EXPIRED" else NotAHold):
            hold.amount_to_pay(NOW)


@given(st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
def test_a_cancellation_gives_back_what_was_decided(left: int, refund: int | None) -> None:
    """Everything by default, the organiser's amount otherwise, and never more than the refundable rest."""
    due = due_on_cancellation(refundable_agorot=left, refund_agorot=refund)
    assert due == (left if refund is None or refund > left else refund)


moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@given(moments, st.timedeltas(timedelta(0), timedelta(days=3)), st.integers(1, 4990))
def test_only_todays_whole_charge_is_undone(charged_at: datetime, later: timedelta, amount: int) -> None:
    """Before the cut-off of the charge's own day in Israel, winter and summer; everything else is refunded."""
    rule = CancelRule(cutoff=time(22, 0), preferred=True)
    refund = a_refund(amount)
    now = charged_at + later
    method = rule.method_of(refund, charged_agorot=4990, charged_at=charged_at, now=now)
    here, then = now.astimezone(ISRAEL), charged_at.astimezone(ISRAEL)
    same_day = here.date() == then.date() and here.hour < 22 and then.hour < 22
    assert (method is Method.CANCEL) == (amount == 4990 and same_day)
    never = CancelRule(cutoff=time(22, 0), preferred=False)
    assert never.method_of(refund, charged_agorot=amount, charged_at=NOW, now=NOW) is Method.REFUND


def test_what_never_left_does_not_count_as_tried() -> None:
    """Neither a charge nor a refund: the next try counts as the first one."""
    sent = a_payment().redirected("x").authorised("1", 800, NOW).capture_sent()
    assert (sent.capture_tries, sent.capture_not_sent().capture_tries) == (1, 0)
    refund = a_refund().sent(Method.CANCEL)
    assert (refund.tries, refund.not_sent().tries, refund.not_sent().state) == (1, 0, RefundState.REQUESTED)
    assert refund.not_sent().sent(Method.CANCEL).tries == 1


def test_orders_are_plain_and_never_the_same() -> None:
    """20 letters and digits: YaadPay may drop everything else."""
    school_id = uuid4()
    orders = {new_order(school_id) for _ in range(2000)}
    assert len(orders) == 2000
    assert all(len(order) == 20 and order.isalnum() and order.isascii() for order in orders)


@given(st.uuids())
def test_an_order_tells_its_schools_tag(school_id: UUID) -> None:
    """And is none of a release before tags."""
    order = new_order(school_id)
    assert tag_of_order(order) == tag_of(school_id)
    assert not is_untagged_order(order)


@given(st.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=18, max_size=18))
def test_an_order_of_before_tags_has_none(letters: str) -> None:
    """Earlier releases made TC and 18 letters and digits, without I, O, 0 and 1."""
    assert tag_of_order(f"TC{letters}") is None
    assert is_untagged_order(f"TC{letters}")


@pytest.mark.parametrize("order", ["", "A1001", "TC", "TC0ABCD", "tc0abcd23456789ABCDE", "TCABCDEFGHJKLMNPQRST1"])
def test_other_texts_are_no_order(order: str) -> None:
    """They are not looked up at all."""
    assert tag_of_order(order) is None
    assert not is_untagged_order(order)
