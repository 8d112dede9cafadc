"""Define the JSON of schools."""

from typing import Annotated

from ticketcap_gateway.edge.fields import Count, Documented, Input, Output, Slug, Time, Title


class SchoolCreate(Input):
    """A new tenant."""

    slug: Slug
    name: Title
    synthetic: bool = False
    """Whether the school serves a demo, a drill or a probe: dashboards and alerts leave it out."""


class School(Output):
    """A tenant."""

    id: str
    slug: str
    name: str
    created_at: Time
    synthetic: bool


class SchoolStats(Output):
    """The sums over a school's events: counts of registrations, except where spots are named."""

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
    capacity_utilization: Annotated[float, Documented({"minimum": 0})]
