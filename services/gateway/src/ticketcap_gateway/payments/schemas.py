"""Define the JSON and the forms of payments, refunds and escalations."""

from typing import Annotated, Literal

from pydantic import MISSING, BeforeValidator, Field

from ticketcap_gateway.edge.fields import (
    Count,
    Day,
    Digits,
    Documented,
    Input,
    Limit,
    Output,
    Query,
    Time,
    Visible,
    whole_number,
)
from ticketcap_gateway.edge.problems import ProblemDetails

Language = Literal["he", "en"]
PaymentState = Literal[
    "CREATED",
    "REDIRECTED",
    "AUTHORISED",
    "CAPTURED",
    "REFUND_PENDING",
    "REFUNDED",
    "FAILED",
    "EXPIRED",
    "UNKNOWN",
]
SeatState = Literal["HELD", "SECURED", "CONFIRMED", "GONE"]
RefundState = Literal["REQUESTED", "SENT", "DONE", "REFUSED", "UNKNOWN"]
RefundReason = Literal["CANCELLED", "SEAT_GONE", "ORGANISER", "SURPLUS", "FREE"]
EscalationKind = Literal["payment", "refund", "return", "seat"]
Agorot = Annotated[int, Field(description="minor units: agorot for ILS"), Documented({"minimum": 0})]
RefundAgorot = Annotated[int, Field(ge=1, le=100_000_000_000, description="agorot; absent: everything that is left")]
EscalationReason = Annotated[str, Field(description="set when only a person can settle it")]


class PaymentCreate(Input):
    """The language of YaadPay's page; Hebrew by default."""

    language: Language | MISSING = MISSING


class PaymentCreated(Output):
    """A new payment; redirect_url is YaadPay's page, signed, to be opened exactly as it is."""

    payment_id: str
    redirect_url: str
    amount_agorot: Agorot
    currency: str


class Refund(Output):
    """A refund; yaadpay_id is absent until it is sent, and where a charge was undone instead."""

    id: str
    payment_id: str
    state: RefundState
    reason: RefundReason
    amount_agorot: Agorot
    currency: str
    yaadpay_id: str | MISSING = MISSING
    escalation: EscalationReason | MISSING = MISSING
    created_at: Time
    done_at: Time | MISSING = MISSING


class Payment(Output):
    """One attempt to pay for a registration, with its refunds."""

    id: str
    registration_id: str
    event_id: str
    school: str
    state: PaymentState
    seat: SeatState
    amount_agorot: Agorot
    currency: str
    refunded_agorot: Agorot
    refund_pending_agorot: Agorot
    order: Annotated[str, Field(description="our reference at YaadPay")]
    yaadpay_id: str | MISSING = MISSING
    ccode: Annotated[Count, Field(description="YaadPay's last answer")] | MISSING = MISSING
    failure: str | MISSING = MISSING
    escalation: EscalationReason | MISSING = MISSING
    created_at: Time
    captured_at: Time | MISSING = MISSING
    refunds: list[Refund]


class PaymentResult(Output):
    """The state of a payment, without any personal data."""

    id: str
    state: PaymentState
    seat: SeatState
    failure: str | MISSING = MISSING
    amount_agorot: Agorot
    currency: str
    refunded_agorot: Agorot
    language: Language


class RefundCreate(Input):
    """The amount to refund. null is invalid: as a mistake it would refund everything."""

    amount_agorot: RefundAgorot | MISSING = MISSING


class RefundCreated(Output):
    """The refund, and its payment after it."""

    refund: Refund
    payment: Payment


class DayQuery(Query):
    """A day in Israel, like 2026-12-31; today by default."""

    day: Day | MISSING = MISSING


class EscalationQuery(Query):
    """The number of escalations to list."""

    limit: Limit = 50


class Escalation(Output):
    """A case that only a person can settle. id is that of the payment, the refund, the return or the registration."""

    kind: EscalationKind
    id: str
    payment_id: str | MISSING = MISSING
    school: str
    order: str | MISSING = MISSING
    yaadpay_id: Annotated[str, Field(description="the id to look for in YaadPay's portal")] | MISSING = MISSING
    amount_agorot: Agorot | MISSING = MISSING
    currency: str | MISSING = MISSING
    why: str
    since: Time


class EscalationList(Output):
    """The oldest escalations."""

    items: list[Escalation]


class Resolution(Input):
    """A person's finding in YaadPay's portal; again sends a refund, or verifies a return, once more."""

    moved: Annotated[bool, Field(description="whether money moved")]
    yaadpay_id: Digits | MISSING = MISSING
    again: bool | MISSING = MISSING


class Resolved(Output):
    """The payment after its resolution; absent for a seat."""

    payment: Payment | MISSING = MISSING


class PageQuery(Query):
    """The language of a page; by default the payment's, or Hebrew."""

    lang: Language | MISSING = MISSING


class PayPageQuery(PageQuery):
    """The secret of a payment page's link."""

    token: str = ""


class ResultPageQuery(PageQuery):
    """The number of times that the page has refreshed itself."""

    looked: Annotated[int, Field(ge=0, le=1_000), BeforeValidator(whole_number)] = 0


class PayForm(Input):
    """The form of a payment page; key is the page's own, so that pressing twice pays once."""

    token: Annotated[Visible, Field(min_length=1, max_length=200)]
    key: Annotated[Visible, Field(min_length=16, max_length=64)]
    lang: Language


class Problem(ProblemDetails):
    """The reason why a request failed (RFC 9457). code is stable, for programs; detail is for people."""

    payment_id: Annotated[str, Field(description="of the running payment: PAYMENT_RUNNING")] | MISSING = MISSING
    state: Annotated[PaymentState, Field(description="its state: PAYMENT_RUNNING")] | MISSING = MISSING
    redirect_url: Annotated[str, Field(description="the page to pay it on: PAYMENT_RUNNING")] | MISSING = MISSING
