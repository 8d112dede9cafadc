"""Translate payments, refunds and escalations between JSON and protobuf."""

from typing import Final

from ticketcap.payment.v1 import payment_pb2 as pb

from ticketcap_gateway.edge.messages import to_model
from ticketcap_gateway.payments.schemas import Escalation, Language, Payment, PaymentResult, Refund

_LANGUAGES: Final[dict[Language, pb.Language]] = {"he": pb.LANGUAGE_HEBREW, "en": pb.LANGUAGE_ENGLISH}


def language(name: Language) -> pb.Language:
    """Return the proto's value of a language."""
    return _LANGUAGES[name]


def payment(message: pb.Payment) -> Payment:
    """Return a payment with its refunds as JSON."""
    return to_model(Payment, message, refunds=[refund(one) for one in message.refunds])


def refund(message: pb.Refund) -> Refund:
    """Return a refund as JSON."""
    return to_model(Refund, message)


def payment_result(message: pb.GetPaymentResultResponse) -> PaymentResult:
    """Return the state of a payment as JSON; its language is Hebrew unless it is set."""
    english = message.language == pb.LANGUAGE_ENGLISH
    return to_model(PaymentResult, message, language="en" if english else "he")


def escalation(message: pb.Escalation) -> Escalation:
    """Return an escalation as JSON; without a payment it has no amount."""
    return to_model(Escalation, message)
