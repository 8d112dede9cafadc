"""Translate the domain's objects to messages and back."""

from datetime import date
from typing import Final

from ticketcap.payment.v1 import payment_pb2 as pb
from ticketcap_chassis.errors import InvalidInput
from ticketcap_chassis.rpc.timestamps import timestamp

from ticketcap_payment.domain.payment import Payment
from ticketcap_payment.domain.refund import Refund
from ticketcap_payment.store.escalations import Escalation
from ticketcap_payment.store.export import ExportEntry
from ticketcap_payment.store.payments import PaymentSnapshot

_PAYMENT_STATE: Final = "PAYMENT_STATE_"
_SEAT_STATE: Final = "SEAT_STATE_"
_REFUND_STATE: Final = "REFUND_STATE_"
_REFUND_REASON: Final = "REFUND_REASON_"
_LANGUAGES: Final = {"HEB": pb.LANGUAGE_HEBREW, "ENG": pb.LANGUAGE_ENGLISH}


def language(of: pb.Language) -> str:
    """Return YaadPay's name of a language; Hebrew by default."""
    return "ENG" if of == pb.LANGUAGE_ENGLISH else "HEB"


def day(value: str) -> date:
    """Return the day that YYYY-MM-DD names, or raise InvalidInput."""
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidInput.of("day", "must be a day that exists, like 2026-12-31") from None


def payment(snapshot: PaymentSnapshot) -> pb.Payment:
    """Return the message of a payment with its refunds."""
    of = snapshot.payment
    return pb.Payment(
        id=str(of.id),
        registration_id=str(of.registration_id),
        event_id=str(of.event_id),
        school=of.school_slug,
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
        refunds=[refund(one) for one in snapshot.refunds],
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
    """Return the public message of a payment, without its holder."""
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


def export_entry(of: ExportEntry) -> pb.BookEntry:
    """Return the message of a charge or refund in the export."""
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
    """Return the message of an open escalation."""
    return pb.Escalation(
        kind=of.kind,
        id=str(of.subject_id),
        payment_id=str(of.payment_id or ""),
        school=of.school_slug,
        order=of.order,
        yaadpay_id=of.yaadpay_id,
        amount_agorot=of.amount_agorot,
        currency=of.currency,
        why=of.why,
        since=timestamp(of.since),
    )
