"""Test every cell of docs/changes-of-live-events.md."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from live_changes import CHANGES, START
from seats_model import NOW, Store, claim, event, uuid
from ticketcap_chassis.errors import ServiceError
from ticketcap_registration.domain.commands import Cancel, ChangeEvent, ConfirmHold, ReclaimHold
from ticketcap_registration.domain.errors import CapacityBelowReserved
from ticketcap_registration.domain.event import EventFields
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import RegistrationStatus, WaitlistPolicy

TABLE: Final = Path(__file__).parents[3] / "docs" / "changes-of-live-events.md"
STATES: Final = ("hold", "open page", "waitlist", "checked in", "refund pending", "refunded")
SUBJECTS: Final = {state: uuid(1001 + number) for number, state in enumerate(STATES)}
BEHIND: Final = uuid(1020)
"""Waits behind the subject of the waitlist, and would fit."""
SECOND: Final = timedelta(seconds=1)


def cells() -> dict[tuple[str, str], str]:
    """Return the words of the table by its row and its column."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in TABLE.read_text().splitlines()
        if "|" in line
    ]
    head, body = rows[0], [row for row in rows[2:] if len(row) == len(rows[0])]
    return {(row[0], state): word for row in body for state, word in zip(head[1:], row[1:], strict=True)}


CELLS: Final = cells()


def live() -> Store:
    """Return a paid event with one registration in each state: three of four spots reserved, and two waitlisted."""
    terms = {"price_agorot": 4990, "cancellation_deadline_hours": 24, "hold_seconds": 10**7}
    store = Store(event(starts_at=START, capacity=4, waitlist_policy=WaitlistPolicy.STRICT_FIFO, **terms))
    for number in (1, 2, 4, 5, 6):
        store.run(claim(number), *([ConfirmHold(registration_id=uuid(1000 + number))] if number > 3 else []))
        if number > 4:
            store.run(Cancel(registration_id=uuid(1000 + number), by_holder=False))
    store.rows[SUBJECTS["checked in"]].checked_in_at = NOW
    store.run(claim(3, spots=2), claim(20))
    return store


class Case:
    """One change in one state: what was before, what came after."""

    def __init__(self, row: str, state: str) -> None:
        self.before, self.store = live(), live()
        self.fields, self.id = CHANGES[row], SUBJECTS[state]
        (self.outcome,), self.ledger = self.store.run(ChangeEvent(fields=self.fields))

    @property
    def was(self) -> Registration:
        return self.before.rows[self.id]

    @property
    def now(self) -> Registration:
        return self.store.rows[self.id]

    def deadline_is(self, moment: datetime) -> bool:
        """Say whether the holder may cancel at ``moment`` and not a second later."""
        return _may_cancel(self.store, self.id, moment) and not _may_cancel(self.store, self.id, moment + SECOND)

    def offered(self) -> Registration:
        """Return the registration after the capacity was raised."""
        later = copy.deepcopy(self.store)
        later.run(ChangeEvent(fields={"capacity": 20}))
        return later.rows[self.id]


def _may_cancel(store: Store, registration: UUID, moment: datetime) -> bool:
    tried = copy.deepcopy(store)
    tried.rows[registration].checked_in_at = None
    tried.now = moment
    (outcome,), _ = tried.run(Cancel(registration_id=registration, by_holder=True))
    return not isinstance(outcome, ServiceError)


def stays(case: Case) -> None:
    """The row is unchanged, and no change is announced."""
    assert case.now == case.was
    assert case.id not in case.ledger.transitions


def unchanged(case: Case) -> None:
    """So is the deadline of a place."""
    assert not isinstance(case.outcome, ServiceError)
    stays(case)
    if case.was.status in {RegistrationStatus.PENDING_PAYMENT, RegistrationStatus.CONFIRMED}:
        assert case.deadline_is(START - timedelta(hours=24))


def refused(case: Case) -> None:
    assert isinstance(case.outcome, CapacityBelowReserved)
    assert case.store.event == case.before.event
    stays(case)


def promoted(case: Case) -> None:
    assert case.now.status is RegistrationStatus.PENDING_PAYMENT
    assert case.now.hold_expires_at == NOW + timedelta(seconds=7200)


def never_promoted(case: Case) -> None:
    stays(case)
    assert case.offered().status is RegistrationStatus.WAITLISTED


def new_order(case: Case) -> None:
    stays(case)
    assert case.store.rows[BEHIND].status is RegistrationStatus.PENDING_PAYMENT


def new_terms(case: Case) -> None:
    stays(case)
    offer, seats = case.offered(), case.store.event
    is_free = seats.price_agorot == 0
    assert offer.status is (RegistrationStatus.CONFIRMED if is_free else RegistrationStatus.PENDING_PAYMENT)
    assert (offer.price_agorot, offer.currency) == (seats.price_agorot, seats.currency)
    assert offer.cancellation_deadline_hours == seats.cancellation_deadline_hours


def deadline_moves(case: Case) -> None:
    stays(case)
    assert case.deadline_is(case.store.event.starts_at - timedelta(hours=24))


def longer_to_cancel(case: Case) -> None:
    stays(case)
    assert case.deadline_is(START - timedelta(hours=2))


def confirmed_free(case: Case) -> None:
    assert (case.now.status, case.now.price_agorot) == (RegistrationStatus.CONFIRMED, 0)
    assert case.ledger.transitions[case.id].registration is case.now
    for command in (ReclaimHold(registration_id=case.id, seconds=60), ConfirmHold(registration_id=case.id)):
        (answer,), ledger = case.store.run(command)
        assert (answer.status, answer.price_agorot) == (RegistrationStatus.CONFIRMED, 0), "what payment is answered"
        assert not ledger.touched


DECIDED: Final[dict[str, Callable[[Case], None]]] = {
    "unchanged": unchanged,
    "refused": refused,
    "promoted": promoted,
    "never promoted": never_promoted,
    "new order": new_order,
    "new terms": new_terms,
    "deadline moves": deadline_moves,
    "longer to cancel": longer_to_cancel,
    "confirmed free": confirmed_free,
}


def test_the_table_has_every_field_and_every_state() -> None:
    """A field that is new in an event needs a row; a word needs its meaning."""
    assert {row for row, _ in CELLS} == set(CHANGES)
    assert {state for _, state in CELLS} == set(STATES)
    assert len(CELLS) == len(CHANGES) * len(STATES)
    assert {field for fields in CHANGES.values() for field in fields} == set(EventFields.__annotations__)
    meanings = set(re.findall(r"^\| ([^|`]+) \| [^|]+ \|$", TABLE.read_text(), re.MULTILINE)) - {"in a cell"}
    assert meanings == set(DECIDED) == set(CELLS.values())


@pytest.mark.parametrize(("row", "state"), CELLS, ids=lambda part: part.replace("`", ""))
def test_a_change_does_what_the_table_says(row: str, state: str) -> None:
    """One cell."""
    DECIDED[CELLS[row, state]](Case(row, state))


def test_every_state_is_what_its_name_says() -> None:
    """The ground that the cells stand on."""
    store = live()
    status = {state: store.rows[subject].status for state, subject in SUBJECTS.items()}
    assert list(status.values()) == [
        "PENDING_PAYMENT",
        "PENDING_PAYMENT",
        "WAITLISTED",
        "CONFIRMED",
        *["CANCELLED"] * 2,
    ]
    assert (store.event.held, store.event.confirmed, store.event.waitlisted) == (2, 1, 3)


def test_a_free_event_that_gets_a_price_leaves_confirmed_registrations_free() -> None:
    """Confirmed stays confirmed at price 0; who waits is offered a place at the price."""
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2))
    store.run(ChangeEvent(fields={"price_agorot": 4990}))
    store.run(ChangeEvent(fields={"capacity": 2}))
    first, second = (store.rows[uuid(1000 + number)] for number in (1, 2))
    assert (first.status, first.price_agorot) == (RegistrationStatus.CONFIRMED, 0)
    assert (second.status, second.price_agorot) == (RegistrationStatus.PENDING_PAYMENT, 4990)


@pytest.mark.parametrize(("price", "status"), [(9990, "PENDING_PAYMENT"), (0, "CONFIRMED")])
def test_an_expired_hold_comes_back_under_its_own_terms(price: int, status: str) -> None:
    """The page was signed at the old price; in an event that is free by then nothing is owed."""
    store = Store(event(price_agorot=4990, hold_seconds=60))
    store.run(claim(1))
    store.now = NOW + timedelta(seconds=61)
    store.run(ChangeEvent(fields={"price_agorot": price, "currency": "EUR"}))
    (answer,), _ = store.run(ReclaimHold(registration_id=uuid(1001), seconds=60))
    assert (answer.status, answer.price_agorot) == (status, 4990 if price else 0)
    assert answer.currency == ("ILS" if price else "EUR")


def test_freeing_promotes_into_what_is_left_at_once() -> None:
    """A free event with available spots has no waitlist, and a hold that was over already has expired."""
    store = Store(event(capacity=2, price_agorot=4990, hold_seconds=60))
    store.run(claim(1), claim(2), claim(3))
    store.rows[uuid(1001)] = replace(store.rows[uuid(1001)], hold_expires_at=NOW)
    store.run(ChangeEvent(fields={"price_agorot": 0}))
    assert [store.rows[uuid(1000 + number)].status for number in (1, 2, 3)] == ["EXPIRED", "CONFIRMED", "CONFIRMED"]
    assert (store.event.held, store.event.confirmed) == (0, 2)
