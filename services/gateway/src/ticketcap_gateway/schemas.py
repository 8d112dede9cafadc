"""The shapes of JSON that the gateway takes and gives. Requests are strict; in answers, what is not set is absent."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from ticketcap_chassis.text import normalize
from ticketcap_chassis.text.folding import (
    folded,
    folded_ascii,
    folded_line,
    has_control,
    has_control_besides_lines,
    has_override,
    is_visible,
)

# Fractions of more than 6 digits are cut off: nothing here counts less than microseconds.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,9}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_VISIBLE: Final = re.compile(r"[!-~]+")
_BETWEEN_DIGITS: Final = r"[ \-().+/]*"
_YEARS: Final = range(2000, 2101)

# The same rules for the document, as JSON Schema has them: regular expressions of ECMA-262.
SLUG_PATTERN: Final = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_LINE_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
_TITLE_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u202d\u202e]*$"
_TEXT_PATTERN: Final = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_EMAIL_PATTERN: Final = (
    "^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    "(?:[.][a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
_PHONE_PATTERN: Final = f"^{_BETWEEN_DIGITS}([0-9]{_BETWEEN_DIGITS}){{7,15}}$"
_DAYS_PATTERN: Final = (
    "(20[0-9]{2}|2100)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))|20([02468][048]|[13579][26])-02-29"
)
_TIME_PATTERN: Final = (
    f"^({_DAYS_PATTERN})[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,9}})?"
    "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Documented:
    """Adds to a field's JSON schema what its validator checks in Python."""

    keywords: dict[str, Any]

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core_schema) | self.keywords


def _pattern(pattern: str) -> _Documented:
    return _Documented({"pattern": pattern})


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{message}", {"message": message})


def _pasted(fold: Callable[[str], str]) -> BeforeValidator:
    """Fold a text before anything is judged, its length included. It stands last, so that it runs first."""
    return BeforeValidator(lambda value: fold(value) if isinstance(value, str) else value)


def _judged(rule: Callable[[str], str | None], message: str) -> AfterValidator:
    """Keep what a rule of the services returns; refuse with ``message`` where it returns None."""

    def judge(value: str) -> str:
        kept = rule(value)
        if kept is None:
            raise _refuse(message)
        return kept

    return AfterValidator(judge)


def _one_line(value: str) -> str:
    if has_control(value):
        raise _refuse("must not hold control characters")
    return value


def _lines(value: str) -> str:
    if has_control_besides_lines(value):
        raise _refuse("must not hold control characters other than tabs and line breaks")
    return value


def _title(value: str) -> str:
    if has_control(value) or has_override(value):
        raise _refuse("must not hold control characters or bidirectional overrides")
    if not is_visible(value):
        raise _refuse("must hold a visible character")
    return value


def _person(value: str) -> str:
    # Before folding, which drops overrides too.
    if has_control(value) or has_override(value):
        raise _refuse("must not hold control characters or bidirectional overrides")
    return folded_line(value)


def _time(value: object) -> datetime:
    if not (isinstance(value, str) and _TIME.fullmatch(value)):
        raise _refuse("must be an RFC 3339 time with a zone, like 2026-12-01T18:00:00Z")
    try:
        time = datetime.fromisoformat(value.upper())
    except ValueError:
        raise _refuse("must be a time that exists") from None
    if time.year not in _YEARS:
        raise _refuse(f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return time.astimezone(UTC)


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _whole_number(value: object) -> object:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise _refuse("must be a whole number")


def _day(value: str) -> str:
    try:
        day = date.fromisoformat(value) if _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise _refuse("must be a day that exists, like 2026-12-31")
    return value


def _digits(value: str) -> str:
    if not (value.isascii() and value.isdigit()):
        raise _refuse("must be digits")
    return value


def _visible(value: str) -> str:
    if not _VISIBLE.fullmatch(value):
        raise _refuse("must be visible ASCII characters")
    return value


Line = Annotated[str, AfterValidator(_one_line), _pattern(_LINE_PATTERN)]
Text = Annotated[str, AfterValidator(_lines), _pattern(_TEXT_PATTERN)]
ShownName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_title), _pattern(_TITLE_PATTERN)]
Slug = Annotated[
    str,
    Field(min_length=1, max_length=63),
    _judged(normalize.slug, "must be lower-case letters, digits and single hyphens, and begin with a letter"),
    _pasted(folded_ascii),
    _pattern(SLUG_PATTERN),
]
PersonName = Annotated[
    str,
    Field(min_length=2, max_length=100),
    _judged(normalize.person_name, "must be 2 to 100 characters and hold a letter"),
    _pasted(_person),
    _pattern(_TITLE_PATTERN),
]
# The registration service decides what a number is; here is only refused what can't be one, beside the other fields.
Phone = Annotated[
    str,
    Field(min_length=1, max_length=40),
    _judged(normalize.phone, "must be a valid Israeli phone number, like 050-123-4567"),
    _pasted(lambda value: normalize.phone(value) or folded_ascii(value)),
    _pattern(_PHONE_PATTERN),
]
Email = Annotated[
    str,
    Field(max_length=254),
    _judged(normalize.email, "must be a valid e-mail address"),
    _pasted(folded_ascii),
    _pattern(_EMAIL_PATTERN),
]
Code = Annotated[
    str,
    Field(min_length=1, max_length=32),
    _judged(normalize.confirmation_code, "must be 1 to 32 letters and digits"),
    _pasted(folded_ascii),
    _pattern("^[A-Za-z0-9]*$"),
]
Reason = Annotated[Text, Field(max_length=500), _pasted(folded)]
# Not pydantic's own parser: it takes numbers of seconds and times without a zone.
TimeIn = Annotated[
    datetime, PlainValidator(_time), WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN})
]
Time = Annotated[datetime, PlainSerializer(_utc), WithJsonSchema({"type": "string", "format": "date-time"})]
# The bounds stand before the validator of the text: behind it they would not reach the document.
Limit = Annotated[int, Field(ge=1, le=200), BeforeValidator(_whole_number)]
# In answers, where nothing is to be checked.
Count = Annotated[int, _Documented({"minimum": 0})]

EventStatus = Literal["OPEN", "PAUSED", "CLOSED"]
WaitlistPolicy = Literal["FIRST_FIT", "STRICT_FIFO"]
RegistrationStatus = Literal["PENDING_PAYMENT", "CONFIRMED", "WAITLISTED", "CANCELLED", "EXPIRED"]


class Input(BaseModel):
    """What a caller sends: exact types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class Query(BaseModel):
    """What stands after the question mark; unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Output(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(frozen=True)


class SchoolCreate(Input):
    """A new tenant."""

    slug: Slug
    name: ShownName


class School(Output):
    """A tenant."""

    id: str
    slug: str
    name: str
    created_at: Time


Title = ShownName
Description = Annotated[Text, Field(max_length=5_000)]
Location = Annotated[Line, Field(max_length=200)]
Capacity = Annotated[int, Field(ge=1, le=100_000, description="spots")]
MaxSpots = Annotated[int, Field(ge=1, le=100, description="spots")]
PriceAgorot = Annotated[int, Field(ge=0, le=10_000_000, description="agorot for one spot; 0 is free")]
Currency = Literal["ILS", "USD", "EUR", "GBP"]
HoldSeconds = Annotated[int, Field(ge=1, le=86_400)]
DeadlineHours = Annotated[int, Field(ge=0, le=8_760, description="hours before starts_at")]


class EventPatch(Input):
    """What changes in an event. What is absent stays as it is; null is refused, for nothing can be unset."""

    slug: Slug | MISSING = MISSING
    title: Title | MISSING = MISSING
    description: Description | MISSING = MISSING
    location: Location | MISSING = MISSING
    starts_at: TimeIn | MISSING = MISSING
    ends_at: TimeIn | MISSING = MISSING
    capacity: Capacity | MISSING = MISSING
    max_spots_per_registration: MaxSpots | MISSING = MISSING
    price_agorot: PriceAgorot | MISSING = MISSING
    currency: Currency | MISSING = MISSING
    waitlist_enabled: bool | MISSING = MISSING
    waitlist_policy: WaitlistPolicy | MISSING = MISSING
    hold_seconds: HoldSeconds | MISSING = MISSING
    cancellation_deadline_hours: DeadlineHours | MISSING = MISSING
    status: EventStatus | MISSING = MISSING


class EventCreate(EventPatch):
    """A new event; what is absent gets its default."""

    title: Title
    starts_at: TimeIn
    capacity: Capacity


class Price(Output):
    """The price of one spot, in agorot."""

    agorot: Count
    currency: str


class Event(Output):
    """An event and its seats. capacity, confirmed, held, waitlisted and available are in spots."""

    id: str
    school: str
    slug: str
    title: str
    description: str
    location: str
    starts_at: Time
    ends_at: Time | None
    status: EventStatus
    capacity: Count
    confirmed: Count
    held: Count
    waitlisted: Count
    available: Count
    max_spots_per_registration: Count
    price: Price
    price_agorot: Count
    currency: str
    waitlist_enabled: bool
    waitlist_policy: WaitlistPolicy
    hold_seconds: Count
    cancellation_deadline_hours: Count
    created_at: Time
    updated_at: Time


class EventPage(Output):
    """Some of a school's open events, soonest first."""

    items: list[Event]
    next_cursor: str | None


class Page(Query):
    """Which page to show."""

    limit: Limit = 50
    cursor: Annotated[Text, Field(max_length=500)] = ""


class RegistrationPageQuery(Page):
    """Which page of which registrations to show."""

    status: RegistrationStatus | MISSING = MISSING


class RegistrationCreate(Input):
    """A claim of spots."""

    name: PersonName
    phone: Phone
    email: Email | None = None
    spots: Annotated[int, Field(ge=1, le=100)]


PayUrl = Annotated[str, Field(description="a page to pay on; only while PENDING_PAYMENT")]


class RegistrationCreated(Output):
    """The final answer to a claim.

    manage_token and pay_url are secret: who holds the one may see and cancel
    the registration, who holds the other may pay for it.
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
    """A registration, for its holder and its school only. pay_url is secret: whoever holds it may pay."""

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


CancelRefund = Annotated[
    int,
    Field(ge=0, le=1_000_000_000, description="agorot to give back, 0 for none; absent: everything. Organisers only"),
]


class Cancellation(Input):
    """Why a registration is cancelled. An organiser may say what is given back; absent, all that was paid is."""

    reason: Reason | None = None
    refund_agorot: CancelRefund | MISSING = MISSING


class CheckInCreate(Input):
    """Who arrived."""

    confirmation_code: Code


class SchoolStats(Output):
    """A school's events added up: counts of registrations, except where spots are named."""

    events: Count
    active_events: Count
    registrations: Count
    confirmed: Count
    pending_payment: Count
    waitlisted: Count
    cancelled: Count
    expired: Count
    checked_in: Count
    capacity_spots: Count
    confirmed_spots: Count
    held_spots: Count
    capacity_utilization: Annotated[float, _Documented({"minimum": 0})]


class Seats(Output):
    """The seats of an event at one version, in spots; promoted counts registrations since the last event."""

    event_id: str
    status: EventStatus
    capacity: Count
    confirmed: Count
    held: Count
    waitlisted: Count
    available: Count
    promoted: Count
    version: Count


class SeatsEvent(Output):
    """One event of a stream.

    data is JSON: event_id, status, five counts of spots, promoted and version; of "deleted", which is the last one,
    code and detail.
    """

    event: Literal["seats", "deleted"]
    id: Annotated[str, Field(description="the version of the seats")] | MISSING = MISSING
    data: Annotated[str, _Documented({"contentMediaType": "application/json"})]


class Health(Output):
    """Whether the gateway can do its work, and what it needs for it."""

    status: Literal["healthy", "unhealthy"]
    timestamp: Time
    version: str
    checks: dict[str, Literal["ok", "stale", "failing", "unreachable"]]


class Readiness(Output):
    """Whether this process is up, or ready to take traffic."""

    status: Literal["live", "ready", "draining", "unavailable"]


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
Agorot = Annotated[int, Field(description="minor units: agorot for ILS"), _Documented({"minimum": 0})]
RefundAgorot = Annotated[int, Field(ge=1, le=100_000_000_000, description="agorot; absent: everything that is left")]


class PaymentCreate(Input):
    """How to pay: the language of YaadPay's page, Hebrew unless it is named."""

    language: Language | MISSING = MISSING


class PaymentCreated(Output):
    """Where the customer goes now; redirect_url is YaadPay's page, signed, to be opened exactly as it is."""

    payment_id: str
    redirect_url: str
    amount_agorot: Agorot
    currency: str


class Refund(Output):
    """Money on its way back; yaadpay_id is absent before, and where a charge was undone."""

    id: str
    payment_id: str
    state: RefundState
    reason: RefundReason
    amount_agorot: Agorot
    currency: str
    yaadpay_id: str | MISSING = MISSING
    escalation: Annotated[str, Field(description="set when only a person can settle it")] | MISSING = MISSING
    created_at: Time
    done_at: Time | MISSING = MISSING


class Payment(Output):
    """One attempt to pay for a registration, with what is given back of it."""

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
    ccode: Annotated[Count, Field(description="what YaadPay answered last")] | MISSING = MISSING
    failure: str | MISSING = MISSING
    escalation: Annotated[str, Field(description="set when only a person can settle it")] | MISSING = MISSING
    created_at: Time
    captured_at: Time | MISSING = MISSING
    refunds: list[Refund]


class PaymentResult(Output):
    """How a payment stands, without anything that tells whose it is."""

    id: str
    state: PaymentState
    seat: SeatState
    failure: str | MISSING = MISSING
    amount_agorot: Agorot
    currency: str
    refunded_agorot: Agorot
    language: Language


class RefundCreate(Input):
    """How much to give back. null is refused: a mistake would give back everything."""

    amount_agorot: RefundAgorot | MISSING = MISSING


class RefundCreated(Output):
    """The refund, and its payment after it."""

    refund: Refund
    payment: Payment


Day = Annotated[str, AfterValidator(_day), _Documented({"format": "date", "pattern": f"^({_DAYS_PATTERN})$"})]


class BookQuery(Query):
    """Which day's money to show: a day in Israel, like 2026-12-31; today when it is absent."""

    day: Day | MISSING = MISSING


class EscalationQuery(Query):
    """How many to show."""

    limit: Limit = 50


class Escalation(Output):
    """What waits for a person. id is that of the payment, the refund, the return or the registration."""

    kind: EscalationKind
    id: str
    payment_id: str | MISSING = MISSING
    school: str
    order: str | MISSING = MISSING
    yaadpay_id: Annotated[str, Field(description="what to look for in YaadPay's portal")] | MISSING = MISSING
    amount_agorot: Agorot | MISSING = MISSING
    currency: str | MISSING = MISSING
    why: str
    since: Time


class EscalationList(Output):
    """The oldest escalations."""

    items: list[Escalation]


Digits = Annotated[str, AfterValidator(_digits), Field(min_length=1, max_length=20), _pattern("^[0-9]*$")]


class Resolution(Input):
    """What a person found in YaadPay's portal; again sends a refund, or asks about a return, once more."""

    moved: Annotated[bool, Field(description="whether money moved")]
    yaadpay_id: Digits | MISSING = MISSING
    again: bool | MISSING = MISSING


class Resolved(Output):
    """The payment after it; absent for a seat."""

    payment: Payment | MISSING = MISSING


class PageQuery(Query):
    """The language of a page; without it Hebrew, or the one that the payment was made in."""

    lang: Language | MISSING = MISSING


class PayPageQuery(PageQuery):
    """What opens a payment page."""

    token: str = ""


class ResultPageQuery(PageQuery):
    """How often the page has looked by itself."""

    looked: Annotated[int, Field(ge=0, le=1_000), BeforeValidator(_whole_number)] = 0


Visible = Annotated[str, AfterValidator(_visible), _pattern("^[!-~]*$")]


class PayForm(Input):
    """What the button of a payment page sends; key is the page's own, so that pressing twice pays once."""

    token: Annotated[Visible, Field(min_length=1, max_length=200)]
    key: Annotated[Visible, Field(min_length=16, max_length=64)]
    lang: Language


class FieldProblem(Output):
    """One wrong field."""

    field: str
    message: str


class Problem(Output):
    """Why a request was not served (RFC 9457). code is stable, for programs."""

    type: str
    title: str
    status: Annotated[int, _Documented({"minimum": 400, "maximum": 599})]
    detail: str
    code: str
    trace_id: str
    errors: list[FieldProblem] | MISSING = MISSING
    payment_id: Annotated[str, Field(description="of the payment that runs: PAYMENT_RUNNING")] | MISSING = MISSING
    state: Annotated[PaymentState, Field(description="its state: PAYMENT_RUNNING")] | MISSING = MISSING
    redirect_url: Annotated[str, Field(description="where it can be paid: PAYMENT_RUNNING")] | MISSING = MISSING
