"""Translate the domain's objects to messages and back."""

import enum
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

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
    names = (
        *("id", "registration_id", "event_id", "amount_agorot", "currency", "refunded_agorot"),
        *("refund_pending_agorot", "order", "yaadpay_id", "ccode", "failure", "created_at", "captured_at"),
    )
    return pb.Payment(
        school=of.school_slug,
        state=_PAYMENT_STATE + of.state,
        seat=_SEAT_STATE + of.seat,
        refunds=[refund(one) for one in snapshot.refunds],
        **_fields(of, *names),
    )


def refund(of: Refund) -> pb.Refund:
    """Return the message of a refund."""
    names = ("id", "payment_id", "amount_agorot", "currency", "yaadpay_id", "created_at", "done_at")
    return pb.Refund(state="REFUND_STATE_" + of.state, reason="REFUND_REASON_" + of.reason, **_fields(of, *names))


def result(of: Payment) -> pb.GetPaymentResultResponse:
    """Return the public message of a payment, without its holder."""
    return pb.GetPaymentResultResponse(
        state=_PAYMENT_STATE + of.state,
        seat=_SEAT_STATE + of.seat,
        language=_LANGUAGES[of.language],
        **_fields(of, "id", "failure", "amount_agorot", "currency", "refunded_agorot"),
    )


def export_entry(of: ExportEntry) -> pb.BookEntry:
    """Return the message of a charge or refund in the export."""
    return pb.BookEntry(**_fields(of, *ExportEntry.__slots__))


def escalation(of: Escalation) -> pb.Escalation:
    """Return the message of an open escalation."""
    names = ("kind", "order", "yaadpay_id", "amount_agorot", "currency", "why", "since")
    return pb.Escalation(
        id=str(of.subject_id), payment_id=str(of.payment_id or ""), school=of.school_slug, **_fields(of, *names)
    )


def _fields(of: object, *names: str) -> dict[str, Any]:
    """Return fields in the form of a message: ids as text, times as timestamps."""
    return {name: _value(getattr(of, name)) for name in names}


def _value(value: Any) -> Any:
    if isinstance(value, UUID | enum.Enum):
        return str(value)
    return timestamp(value) if isinstance(value, datetime) else value
