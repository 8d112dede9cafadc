"""Test the rules that stand outside of the ledger."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from seats_model import NOW, Store, claim, event, uuid
from ticketcap_chassis.errors import InvalidInput
from ticketcap_registration.domain import change_feed, cursor
from ticketcap_registration.domain.check_in import check_in, undo_check_in
from ticketcap_registration.domain.errors import (
    AlreadyCheckedIn,
    EventHasRegistrations,
    IdempotencyKeyReused,
    NotCheckedIn,
    NotConfirmed,
    RegistrationNotFound,
)
from ticketcap_registration.domain.event import must_have_no_registrations
from ticketcap_registration.domain.idempotency import fingerprint, must_be_same_body
from ticketcap_registration.domain.keys import parse_registration_id, parse_uuid
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.seat_announcement import SeatAnnouncement


def registration(*, waits: bool = False) -> Registration:
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2))
    return store.rows[uuid(1002 if waits else 1001)]


def test_a_confirmed_registration_is_checked_in_once() -> None:
    """Then again after an undo."""
    row = registration()
    check_in(row, NOW)
    assert row.checked_in_at == NOW
    with pytest.raises(AlreadyCheckedIn):
        check_in(row, NOW)
    undo_check_in(row)
    with pytest.raises(NotCheckedIn):
        undo_check_in(row)
    check_in(row, NOW)


def test_a_waitlisted_registration_can_not_be_checked_in() -> None:
    """Only a confirmed one can."""
    with pytest.raises(NotConfirmed):
        check_in(registration(waits=True), NOW)


def test_an_event_with_registrations_can_not_be_deleted() -> None:
    """An event without any can."""
    must_have_no_registrations(uuid(1), has_any=False)
    with pytest.raises(EventHasRegistrations):
        must_have_no_registrations(uuid(1), has_any=True)


def test_a_key_belongs_to_one_body() -> None:
    """The order of the fields does not count; the operation does."""
    first = fingerprint("events", {"a": 1, "b": 2})
    must_be_same_body(first, fingerprint("events", {"b": 2, "a": 1}))
    for other in (fingerprint("events", {"a": 1}), fingerprint("schools", {"a": 1, "b": 2})):
        with pytest.raises(IdempotencyKeyReused):
            must_be_same_body(first, other)


def test_a_cursor_returns_to_its_position() -> None:
    """Of pages and of changes; the empty cursor is the beginning."""
    page = (datetime(2026, 11, 24, 8, tzinfo=UTC), UUID(int=7))
    assert cursor.read_page(cursor.write_page(page)) == page
    assert cursor.read_page("") is None
    change = change_feed.ChangeId(UUID(int=1), UUID(int=2), 3, 4)
    assert change_feed.read_cursor(str(change)) == change
    assert change_feed.read_cursor("") == change_feed.BEFORE_ALL < change


@pytest.mark.parametrize("text", ["x", "bm90IG91cnM=", "1.x", cursor.write_page((datetime(2026, 1, 1), uuid(1)))])  # noqa: DTZ001
def test_a_foreign_cursor_is_invalid(text: str) -> None:
    """Also one whose time has no zone."""
    for read in (cursor.read_page, change_feed.read_cursor):
        with pytest.raises(InvalidInput):
            read(text)


def test_an_id_is_a_uuid() -> None:
    """A registration with any other id is not found."""
    assert parse_uuid(str(uuid(5))) == parse_registration_id(str(uuid(5))) == uuid(5)
    assert parse_uuid("5") is None
    with pytest.raises(RegistrationNotFound):
        parse_registration_id("5")


def test_an_announcement_is_read_as_it_was_written() -> None:
    """The last one of a deleted event is newer than any other."""
    seats = SeatAnnouncement.of(event(version=9), promoted=2, decided_at=1.5)
    assert SeatAnnouncement.from_json(seats.to_json()) == seats
    assert SeatAnnouncement.of_deleted(uuid(1)).version > seats.version
    with pytest.raises(ValueError, match="SeatAnnouncement"):
        SeatAnnouncement.from_json("{}")
