"""From the domain's objects to messages and back."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.rpc.timestamps import timestamp

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.store.books import BookEntry
from ticketcap_payment.store.escalations import Escalation

_PAYMENT_STATE: Final = "PAYMENT_STATE_"
_SEAT_STATE: Final = "SEAT_STATE_"
_REFUND_STATE: Final = "REFUND_STATE_"
_REFUND_REASON: Final = "REFUND_REASON_"
_LANGUAGES: Final = {"HEB": pb.LANGUAGE_HEBREW, "ENG": pb.LANGUAGE_ENGLISH}


def language(of: pb.Language) -> str:
    """Return what YaadPay calls a language; Hebrew when none was named."""
    return "ENG" if of == pb.LANGUAGE_ENGLISH else "HEB"


def day(spelled: str) -> date:
    """Return the day that YYYY-MM-DD names; raise InvalidInput when there is none."""
    try:
        return date.fromisoformat(spelled)
    except ValueError:
        raise InvalidInput.of("day", "must be a day that exists, like 2026-12-31") from None


def payment(of: Payment, refunds: Sequence[Refund]) -> pb.Payment:
    """Return the message of a payment with its refunds."""
    return pb.Payment(
        id=str(of.id),
        registration_id=str(of.registration_id),
        event_id=str(of.event_id),
        school=of.school,
        state=_PAYMENT_STATE + of.state,
        seat=_SEAT_STATE + of.seat,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        refunded_agorot=of.refunded_agorot,
        refund_pending_agorot=of.refund_pending_agorot,
        order=of.order,
        yaadpay_id=of.yaadpay_id,
        ccode=of.ccode,
        failure=of.failure,
        created_at=timestamp(of.created_at),
        captured_at=timestamp(of.captured_at),
        refunds=[refund(one) for one in refunds],
    )


def refund(of: Refund) -> pb.Refund:
    """Return the message of a refund."""
    return pb.Refund(
        id=str(of.id),
        payment_id=str(of.payment_id),
        state=_REFUND_STATE + of.state,
        reason=_REFUND_REASON + of.reason,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        yaadpay_id=of.yaadpay_id,
        created_at=timestamp(of.created_at),
        done_at=timestamp(of.done_at),
    )


def result(of: Payment) -> pb.GetPaymentResultResponse:
    """Return how a payment stands, without whose it is."""
    return pb.GetPaymentResultResponse(
        id=str(of.id),
        state=_PAYMENT_STATE + of.state,
        seat=_SEAT_STATE + of.seat,
        failure=of.failure,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        refunded_agorot=of.refunded_agorot,
        language=_LANGUAGES[of.language],
    )


def book_entry(of: BookEntry) -> pb.BookEntry:
    """Return the message of a line of the books."""
    return pb.BookEntry(
        kind=of.kind,
        id=str(of.id),
        payment_id=str(of.payment_id),
        registration_id=str(of.registration_id),
        event_id=str(of.event_id),
        order=of.order,
        yaadpay_id=of.yaadpay_id,
        state=of.state,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        at=timestamp(of.at),
    )


def escalation(of: Escalation) -> pb.Escalation:
    """Return the message of what waits for a person."""
    return pb.Escalation(
        kind=of.kind,
        id=str(of.subject_id),
        payment_id=str(of.payment_id or ""),
        school=of.school,
        order=of.order,
        yaadpay_id=of.yaadpay_id,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        why=of.why,
        since=timestamp(of.since),
    )
