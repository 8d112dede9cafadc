"""Read the rows of docs/changes-of-live-events.md as changes of an event at START."""

from datetime import timedelta
from typing import Final

from seats_model import NOW
from ticketcap_registration.domain.event import EventFields
from ticketcap_registration.domain.states import EventStatus, WaitlistPolicy

START: Final = NOW + timedelta(days=30)

CHANGES: Final[dict[str, EventFields]] = {
    "`slug`": {"slug": "another"},
    "`title`": {"title": "Another"},
    "`description`": {"description": "More"},
    "`location`": {"location": "Elsewhere"},
    "`starts_at` later": {"starts_at": START + timedelta(days=7)},
    "`starts_at` in the past": {"starts_at": NOW - timedelta(hours=1)},
    "`ends_at`": {"ends_at": START + timedelta(hours=3)},
    "`capacity` raised": {"capacity": 5},
    "`capacity` below reserved spots": {"capacity": 2},
    "`max_spots_per_registration` lowered": {"max_spots_per_registration": 1},
    "`price_agorot` raised": {"price_agorot": 9990},
    "`price_agorot` lowered": {"price_agorot": 1990},
    "`price_agorot` to 0": {"price_agorot": 0},
    "`currency`": {"currency": "EUR"},
    "`waitlist_enabled` off": {"waitlist_enabled": False},
    "`waitlist_policy`": {"waitlist_policy": WaitlistPolicy.FIRST_FIT},
    "`hold_seconds`": {"hold_seconds": 1},
    "`cancellation_deadline_hours` raised": {"cancellation_deadline_hours": 72},
    "`cancellation_deadline_hours` lowered": {"cancellation_deadline_hours": 2},
    "`status` PAUSED": {"status": EventStatus.PAUSED},
    "`status` CLOSED": {"status": EventStatus.CLOSED},
}
