"""Define the JSON of events and their seats."""

from typing import Annotated, Literal

from pydantic import MISSING, Field

from ticketcap_gateway.edge.fields import Count, Documented, Input, Line, Output, Slug, Text, Time, TimeIn, Title

Description = Annotated[Text, Field(max_length=5_000)]
Location = Annotated[Line, Field(max_length=200)]
Capacity = Annotated[int, Field(ge=1, le=100_000, description="spots")]
MaxSpots = Annotated[int, Field(ge=1, le=100, description="spots")]
PriceAgorot = Annotated[int, Field(ge=0, le=10_000_000, description="agorot for one spot; 0 is free")]
Currency = Literal["ILS", "USD", "EUR", "GBP"]
HoldSeconds = Annotated[int, Field(ge=1, le=86_400)]
DeadlineHours = Annotated[int, Field(ge=0, le=8_760, description="hours before starts_at")]
EventStatus = Literal["OPEN", "PAUSED", "CLOSED"]
WaitlistPolicy = Literal["FIRST_FIT", "STRICT_FIFO"]


class EventPatch(Input):
    """The changes of an event. An absent field stays as it is; null is invalid, since no field can be unset."""

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
    """A new event; an absent field gets its default."""

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


class Seats(Output):
    """The seats of an event at one version, in spots; promoted counts registrations since the last update."""

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

    data is JSON. Of "seats" it is event_id, status, five counts of spots, promoted and version; of "deleted", the last
    event of a stream, it is code and detail.
    """

    event: Literal["seats", "deleted"]
    id: Annotated[str, Field(description="the version of the seats")] | MISSING = MISSING
    data: Annotated[str, Documented({"contentMediaType": "application/json"})]
