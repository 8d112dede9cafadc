"""Build events, claims and ledgers for the tests of the seat rules."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from ticketcap_registration.domain.commands import Claim, Command
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.ledger import SeatLedger, SeatRules, Snapshot, StoredAnswer
from ticketcap_registration.domain.person import Person
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import LIVE, RegistrationStatus

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def uuid(number: int) -> UUID:
    return UUID(int=number)


def event(**changes: Any) -> Event:
    plain = Event(
        id=uuid(1),
        school_id=uuid(2),
        slug="spring-match",
        title="Spring match",
        starts_at=NOW + timedelta(days=30),
        capacity=10,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(plain, **changes)


def claim(number: int, spots: int = 1, **changes: Any) -> Claim:
    plain = Claim(
        id=uuid(1000 + number),
        confirmation_code=f"CODE{number:04d}",
        person=Person(name="דנה כהן", phone=f"+97250{number:07d}", email=None),
        spots=spots,
        idempotency_key=f"key-{number}",
        fingerprint=f"body-{number}",
    )
    return replace(plain, **changes)


class Store:
    """The rows of one event that a database would store between ledgers."""

    def __init__(self, state: Event, rules: SeatRules | None = None) -> None:
        self.event = state
        self.rules = rules or SeatRules()
        self.rows: dict[UUID, Registration] = {}
        self.answers: dict[str, StoredAnswer] = {}
        self.now = NOW

    def run(self, *commands: Command, waiting: Sequence[Registration] | None = None) -> tuple[list[Any], SeatLedger]:
        """Apply one batch and keep what it changed."""
        rows = {row_id: replace(row) for row_id, row in self.rows.items()}
        snapshot = Snapshot(
            now=self.now,
            answers=self.answers,
            live_phones=frozenset(row.phone for row in rows.values() if row.status in LIVE),
            registrations=list(rows.values()),
            waiting=self.waitlist(rows) if waiting is None else list(waiting),
        )
        ledger = SeatLedger(self.event, snapshot, self.rules)
        outcomes = ledger.apply(commands)
        self.event = ledger.event
        self.rows |= ledger.changed | ledger.added
        self.answers |= ledger.answers
        return outcomes, ledger

    def waitlist(self, rows: dict[UUID, Registration] | None = None) -> list[Registration]:
        rows = self.rows if rows is None else rows
        waiting = [row for row in rows.values() if row.status is RegistrationStatus.WAITLISTED]
        return sorted(waiting, key=lambda row: row.waitlist_seq or 0)

    def spots(self, status: RegistrationStatus) -> int:
        return sum(row.spots for row in self.rows.values() if row.status is status)
