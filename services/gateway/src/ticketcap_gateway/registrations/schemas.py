"""Define the JSON of registrations and check-ins."""

from typing import Annotated, Final, Literal

from pydantic import MISSING, Field
from ticketcap_chassis.text import normalize
from ticketcap_chassis.text.folding import folded_ascii, folded_line

from ticketcap_gateway.edge.fields import (
    TITLE_PATTERN,
    Count,
    Input,
    Output,
    Page,
    Reason,
    Time,
    accepted_by,
    pasted,
    pattern,
    printable,
)

_EMAIL_PATTERN: Final = (
    "^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    "(?:[.][a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
_BETWEEN_DIGITS: Final = r"[ \-().+/]*"
_PHONE_PATTERN: Final = f"^{_BETWEEN_DIGITS}([0-9]{_BETWEEN_DIGITS}){{7,15}}$"

PersonName = Annotated[
    str,
    Field(min_length=2, max_length=100),
    accepted_by(normalize.person_name, "must be 2 to 100 characters and hold a letter"),
    # Checked before folding, which drops overrides too.
    pasted(lambda value: folded_line(printable(value))),
    pattern(TITLE_PATTERN),
]
# The registration service decides which numbers are valid; this rule rejects only texts that can't be one.
Phone = Annotated[
    str,
    Field(min_length=1, max_length=40),
    accepted_by(normalize.phone, "must be a valid Israeli phone number, like 050-123-4567"),
    pasted(lambda value: normalize.phone(value) or folded_ascii(value)),
    pattern(_PHONE_PATTERN),
]
Email = Annotated[
    str,
    Field(max_length=254),
    accepted_by(normalize.email, "must be a valid e-mail address"),
    pasted(folded_ascii),
    pattern(_EMAIL_PATTERN),
]
ConfirmationCode = Annotated[
    str,
    Field(min_length=1, max_length=32),
    accepted_by(normalize.confirmation_code, "must be 1 to 32 letters and digits"),
    pasted(folded_ascii),
    pattern("^[A-Za-z0-9]*$"),
]
PayUrl = Annotated[str, Field(description="a page to pay on; only while PENDING_PAYMENT")]
CancelRefund = Annotated[
    int,
    Field(ge=0, le=1_000_000_000, description="agorot to refund, 0 for none; absent: everything. Organisers only"),
]
RegistrationStatus = Literal["PENDING_PAYMENT", "CONFIRMED", "WAITLISTED", "CANCELLED", "EXPIRED"]


class RegistrationCreate(Input):
    """A claim of spots."""

    name: PersonName
    phone: Phone
    email: Email | None = None
    spots: Annotated[int, Field(ge=1, le=100)]


class RegistrationCreated(Output):
    """The final answer to a claim.

    manage_token and pay_url are secret: the one lets its bearer see and cancel
    the registration, the other lets its bearer pay for it.
    """

    id: str
    status: RegistrationStatus
    confirmation_code: str
    spots: Count
    waitlist_position: Count | MISSING = MISSING
    hold_expires_at: Time | MISSING = MISSING
    manage_token: str
    pay_url: PayUrl | MISSING = MISSING


class Registration(Output):
    """A registration, for its holder and its school only. pay_url is secret: it lets its bearer pay."""

    id: str
    school: str
    event: str
    event_id: str
    status: RegistrationStatus
    name: str
    phone: str
    email: str | MISSING = MISSING
    spots: Count
    confirmation_code: str
    waitlist_position: Count | MISSING = MISSING
    hold_expires_at: Time | MISSING = MISSING
    pay_url: PayUrl | MISSING = MISSING
    price_agorot: Annotated[Count, Field(description="of one spot, for this registration")] | MISSING = MISSING
    currency: str | MISSING = MISSING
    created_at: Time
    cancelled_at: Time | MISSING = MISSING
    cancel_reason: str | MISSING = MISSING
    checked_in_at: Time | MISSING = MISSING


class RegistrationPage(Output):
    """Some of an event's registrations, oldest first."""

    items: list[Registration]
    next_cursor: str | None


class RegistrationPageQuery(Page):
    """The page and the status of the registrations to list."""

    status: RegistrationStatus | MISSING = MISSING


class Cancellation(Input):
    """Why a registration is cancelled. An organiser may limit the refund; absent, everything is refunded."""

    reason: Reason | None = None
    refund_agorot: CancelRefund | MISSING = MISSING


class CheckInCreate(Input):
    """The registration that arrived."""

    confirmation_code: ConfirmationCode
