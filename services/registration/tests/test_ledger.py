"""Test the seat rules one by one."""

from datetime import timedelta
from typing import Any

import pytest
from seats_model import NOW, Store, claim, event, uuid
from ticketcap_chassis.errors import InvalidInput, ServiceError
from ticketcap_registration.domain.commands import (
    Cancel,
    ChangeEvent,
    Claim,
    ConfirmHold,
    ExpireHolds,
    ExtendHold,
    ReclaimHold,
    ReleaseHold,
)
from ticketcap_registration.domain.errors import (
    AlreadyCheckedIn,
    AlreadyOver,
    AlreadyRegistered,
    CancellationDeadlinePassed,
    CapacityBelowReserved,
    EventFull,
    EventNotOpen,
    EventStarted,
    HoldExpired,
    IdempotencyKeyReused,
    NotAHold,
    RefundAboveCost,
    RegistrationNotFound,
)
from ticketcap_registration.domain.ledger import SeatRules
from ticketcap_registration.domain.states import EventStatus, RegistrationStatus, WaitlistPolicy

CONFIRMED, WAITLISTED = RegistrationStatus.CONFIRMED, RegistrationStatus.WAITLISTED
PENDING, EXPIRED = RegistrationStatus.PENDING_PAYMENT, RegistrationStatus.EXPIRED


def cancel(number: int, **changes: Any) -> Cancel:
    return Cancel(registration_id=uuid(1000 + number), by_holder=changes.pop("by_holder", True), **changes)


def statuses(store: Store) -> dict[int, RegistrationStatus]:
    return {row_id.int - 1000: row.status for row_id, row in sorted(store.rows.items())}


def refused_with(outcome: object) -> type:
    assert isinstance(outcome, ServiceError)
    return type(outcome)


def test_claims_are_confirmed_until_the_event_is_full_then_waitlisted_in_order() -> None:
    """Capacity goes to the first, positions count from 1."""
    outcomes, _ = Store(event(capacity=2)).run(*(claim(n) for n in range(4)))
    assert [outcome.status for outcome in outcomes] == [CONFIRMED, CONFIRMED, WAITLISTED, WAITLISTED]
    assert [outcome.waitlist_position for outcome in outcomes] == [None, None, 1, 2]


def test_a_claim_of_a_paid_event_is_a_hold_with_an_end() -> None:
    """PENDING_PAYMENT counts as held and ends hold_seconds from now."""
    store = Store(event(price_agorot=5000, hold_seconds=600))
    outcomes, _ = store.run(claim(1, spots=3))
    assert outcomes[0].status is PENDING
    assert outcomes[0].hold_expires_at == NOW + timedelta(seconds=600)
    assert (store.event.held, store.event.confirmed) == (3, 0)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ({"status": EventStatus.PAUSED}, EventNotOpen),
        ({"status": EventStatus.CLOSED}, EventNotOpen),
        ({"starts_at": NOW}, EventStarted),
        ({"capacity": 1, "waitlist_enabled": False, "confirmed": 1}, EventFull),
        ({"max_spots_per_registration": 1}, InvalidInput),
    ],
)
def test_a_claim_is_refused_and_changes_nothing(state: dict[str, Any], refusal: type) -> None:
    """Paused, closed, started, full without waitlist, too many spots."""
    store = Store(event(**state))
    before = store.event
    outcomes, ledger = store.run(claim(1, spots=2))
    assert refused_with(outcomes[0]) is refusal
    assert store.event == before
    assert not ledger.touched


def test_the_waitlist_has_a_limit() -> None:
    """The registration after the last one that fits is refused: the event is full."""
    store = Store(event(capacity=1), SeatRules(waitlist_limit=1))
    outcomes, _ = store.run(claim(1), claim(2), claim(3))
    assert refused_with(outcomes[2]) is EventFull


def test_one_live_registration_per_phone_until_it_is_cancelled() -> None:
    """The phone is refused while its registration lives, in the same batch too, and free after a cancel."""
    store = Store(event())
    same = claim(1).person
    outcomes, _ = store.run(claim(1), claim(2, person=same))
    assert refused_with(outcomes[1]) is AlreadyRegistered
    outcomes, _ = store.run(claim(3, person=same), cancel(1), claim(4, person=same))
    assert refused_with(outcomes[0]) is AlreadyRegistered
    assert outcomes[2].status is CONFIRMED


def test_a_repeated_key_gets_the_first_answer_whatever_happened_since() -> None:
    """The snapshot is replayed, not the present state; another body is refused."""
    store = Store(event(capacity=1))
    first, _ = store.run(claim(1), claim(2))
    store.run(cancel(1))
    again, ledger = store.run(claim(2, id=uuid(7)), claim(2, id=uuid(8), fingerprint="other"))
    assert again[0] == first[1]
    assert again[0].status is WAITLISTED
    assert again[0].id == claim(2).id
    assert refused_with(again[1]) is IdempotencyKeyReused
    assert not ledger.touched


def test_a_claim_run_again_after_an_unheard_commit_is_not_called_a_replay() -> None:
    """Its own id tells it apart from a caller's repeat."""
    store = Store(event())
    store.run(claim(1))
    again, _ = store.run(claim(1))
    assert again[0].id == claim(1).id


def test_a_cancelled_spot_goes_to_the_waitlist_at_once() -> None:
    """First fit: the oldest that fits, passing over who does not."""
    store = Store(event(capacity=2))
    store.run(claim(1), claim(2), claim(3, spots=2), claim(4))
    _, ledger = store.run(cancel(1))
    assert statuses(store) == {1: RegistrationStatus.CANCELLED, 2: CONFIRMED, 3: WAITLISTED, 4: CONFIRMED}
    assert [row.id for row in ledger.promoted] == [uuid(1004)]


def test_strict_fifo_lets_nobody_overtake() -> None:
    """A newcomer waits behind the queue although it would fit, and a cancel that is too small promotes none."""
    store = Store(event(capacity=3, waitlist_policy=WaitlistPolicy.STRICT_FIFO))
    store.run(claim(1), claim(2), claim(3, spots=2))
    outcomes, _ = store.run(claim(4))
    assert outcomes[0].status is WAITLISTED
    store.run(cancel(1))
    assert statuses(store)[3] is CONFIRMED
    assert statuses(store)[4] is WAITLISTED


def test_strict_fifo_moves_on_when_the_one_who_blocks_leaves() -> None:
    """Cancelling the waitlisted head promotes those who fit behind it."""
    store = Store(event(capacity=2, waitlist_policy=WaitlistPolicy.STRICT_FIFO))
    store.run(claim(1), claim(2, spots=2), claim(3))
    store.run(cancel(2))
    assert statuses(store)[3] is CONFIRMED


def test_a_claim_promoted_in_its_own_batch_is_answered_with_where_it_ends() -> None:
    """Its answer is the committed state."""
    store = Store(event(capacity=1))
    store.run(claim(1))
    outcomes, ledger = store.run(claim(2), cancel(1))
    assert outcomes[0].status is CONFIRMED
    assert outcomes[0].waitlist_position is None
    assert ledger.answers["key-2"].answer == outcomes[0]


def test_a_paid_promotion_is_an_offer_with_a_window() -> None:
    """The promoted one becomes a hold for offer_seconds, not for hold_seconds."""
    store = Store(event(capacity=1, price_agorot=100, hold_seconds=60), SeatRules(offer_seconds=7200))
    store.run(claim(1), claim(2))
    store.run(cancel(1))
    assert store.rows[uuid(1002)].hold_expires_at == NOW + timedelta(seconds=7200)
    assert statuses(store)[2] is PENDING


@pytest.mark.parametrize("state", [{"status": EventStatus.CLOSED}, {"starts_at": NOW}])
def test_nothing_is_promoted_into_a_closed_or_started_event(state: dict[str, Any]) -> None:
    """The spot stays free."""
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2))
    store.event = event(**{**_counters(store), **state})
    store.run(cancel(1, by_holder=False))
    assert statuses(store)[2] is WAITLISTED
    assert store.event.available == 1


def _counters(store: Store) -> dict[str, int]:
    names = ("capacity", "confirmed", "held", "waitlisted", "waitlist_length", "waitlist_sequence", "version")
    return {name: getattr(store.event, name) for name in names}


def test_a_paused_event_still_promotes_and_reopening_a_closed_one_does() -> None:
    """PAUSED stops claims only; OPEN after CLOSED gives away what is free."""
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2), claim(3))
    store.run(ChangeEvent(fields={"status": EventStatus.PAUSED}))
    store.run(cancel(1))
    assert statuses(store)[2] is CONFIRMED
    store.run(ChangeEvent(fields={"status": EventStatus.CLOSED}))
    store.run(cancel(2))
    assert statuses(store)[3] is WAITLISTED
    store.run(ChangeEvent(fields={"status": EventStatus.OPEN}))
    assert statuses(store)[3] is CONFIRMED


def test_capacity_can_be_raised_which_promotes_but_not_lowered_below_what_is_sold() -> None:
    """Both directions of a capacity change."""
    store = Store(event(capacity=2))
    store.run(claim(1), claim(2), claim(3))
    outcomes, _ = store.run(ChangeEvent(fields={"capacity": 1}))
    assert refused_with(outcomes[0]) is CapacityBelowReserved
    outcomes, _ = store.run(ChangeEvent(fields={"capacity": 3}))
    assert (outcomes[0].confirmed, outcomes[0].available, outcomes[0].waitlisted) == (3, 0, 0)


def test_cancelling_twice_and_cancelling_a_stranger_are_refused() -> None:
    """Final means final."""
    store = Store(event())
    store.run(claim(1))
    outcomes, _ = store.run(cancel(1), cancel(1), cancel(9))
    assert [refused_with(outcome) for outcome in outcomes[1:]] == [AlreadyOver, RegistrationNotFound]


def test_a_holder_cancels_until_the_deadline_an_organiser_always() -> None:
    """Waitlisted holders may leave at any time."""
    store = Store(event(capacity=1, starts_at=NOW + timedelta(hours=24), cancellation_deadline_hours=24))
    store.run(claim(1), claim(2))
    store.now = NOW + timedelta(seconds=1)
    outcomes, _ = store.run(cancel(1), cancel(2), cancel(1, by_holder=False))
    assert refused_with(outcomes[0]) is CancellationDeadlinePassed
    assert all(not isinstance(outcome, ServiceError) for outcome in outcomes[1:])


@pytest.mark.parametrize(("refund", "stored"), [(None, None), (0, 0), (150, 150), (200, 200)])
def test_an_organiser_decides_what_goes_back_when_it_cancels(refund: int | None, stored: int | None) -> None:
    """After the deadline too: everything by default, an amount up to the cost otherwise; the change log tells it."""
    store = Store(event(price_agorot=100, starts_at=NOW + timedelta(hours=1), cancellation_deadline_hours=24))
    store.run(claim(1, spots=2), ConfirmHold(registration_id=uuid(1001)))
    _, ledger = store.run(cancel(1, by_holder=False, refund_agorot=refund))
    assert ledger.transitions[uuid(1001)].refund_agorot == stored


def test_nothing_goes_back_that_was_never_owed() -> None:
    """More than the registration cost is refused and cancels nothing, and who waits has paid nothing."""
    store = Store(event(capacity=2, price_agorot=100))
    store.run(claim(1, spots=2), claim(2))
    outcomes, ledger = store.run(
        cancel(1, by_holder=False, refund_agorot=201), cancel(2, by_holder=False, refund_agorot=1)
    )
    assert [refused_with(outcome) for outcome in outcomes] == [RefundAboveCost, RefundAboveCost]
    assert not ledger.touched


def test_who_has_arrived_can_not_be_cancelled() -> None:
    """The check-in must be taken back first."""
    store = Store(event())
    store.run(claim(1))
    store.rows[uuid(1001)].checked_in_at = NOW
    outcomes, _ = store.run(cancel(1, by_holder=False))
    assert refused_with(outcomes[0]) is AlreadyCheckedIn


def test_a_due_hold_expires_before_anything_else_and_its_spots_move_on() -> None:
    """By the time that the store gives, at its very second."""
    store = Store(event(capacity=1, price_agorot=100, hold_seconds=60))
    store.run(claim(1), claim(2))
    store.now = NOW + timedelta(seconds=59)
    store.run(ExpireHolds())
    assert statuses(store)[1] is PENDING
    store.now = NOW + timedelta(seconds=60)
    outcomes, ledger = store.run(ConfirmHold(registration_id=uuid(1001)))
    assert refused_with(outcomes[0]) is HoldExpired
    assert statuses(store) == {1: EXPIRED, 2: PENDING}
    assert len(ledger.expired) == 1


def test_holds_are_confirmed_released_and_extended() -> None:
    """Confirming and releasing twice are successes; a hold is never shortened."""
    store = Store(event(price_agorot=100, hold_seconds=600))
    store.run(claim(1), claim(2), claim(3))
    first, second, third = (uuid(1000 + number) for number in (1, 2, 3))
    outcomes, _ = store.run(ConfirmHold(registration_id=first), ConfirmHold(registration_id=first))
    assert [outcome.status for outcome in outcomes] == [CONFIRMED, CONFIRMED]
    outcomes, _ = store.run(ReleaseHold(registration_id=second), ReleaseHold(registration_id=second))
    assert not any(isinstance(outcome, ServiceError) for outcome in outcomes)
    store.run(ExtendHold(registration_id=third, seconds=10))
    assert store.rows[third].hold_expires_at == NOW + timedelta(seconds=600)
    store.run(ExtendHold(registration_id=third, seconds=3600))
    assert store.rows[third].hold_expires_at == NOW + timedelta(seconds=3600)
    assert (store.event.confirmed, store.event.held) == (1, 1)


def test_an_expired_hold_is_claimed_again_while_its_spots_are_there() -> None:
    """And only then: not from those who took them, not past a waitlist, not beside the same phone, not too late."""
    store = Store(event(capacity=2, price_agorot=100, hold_seconds=60))
    store.run(claim(1), claim(2))
    first, second = uuid(1001), uuid(1002)
    store.now = NOW + timedelta(seconds=61)
    store.run(ExpireHolds())
    outcomes, _ = store.run(ReclaimHold(registration_id=first, seconds=30))
    assert outcomes[0].status is PENDING
    assert store.rows[first].hold_expires_at == store.now + timedelta(seconds=30)
    store.run(ReclaimHold(registration_id=first, seconds=300))
    assert store.rows[first].hold_expires_at == store.now + timedelta(seconds=300)
    store.run(claim(3, person=claim(2).person))
    outcomes, _ = store.run(ReclaimHold(registration_id=second, seconds=30))
    assert refused_with(outcomes[0]) is AlreadyRegistered
    store.run(cancel(3), claim(4))
    outcomes, _ = store.run(ReclaimHold(registration_id=second, seconds=30))
    assert refused_with(outcomes[0]) is EventFull
    assert (store.event.confirmed, store.event.held) == (0, 2)


def test_only_a_hold_can_be_settled() -> None:
    """A waitlisted one is not a hold, a cancelled one is over."""
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2), claim(3), cancel(3))
    outcomes, _ = store.run(ConfirmHold(registration_id=uuid(1002)), ConfirmHold(registration_id=uuid(1003)))
    assert [refused_with(outcome) for outcome in outcomes] == [NotAHold, AlreadyOver]


def test_every_change_raises_the_version_and_nothing_else_does() -> None:
    """Watchers order what they hear by it."""
    store = Store(event())
    store.run(claim(1), claim(2))
    assert store.event.version == 2
    store.run(claim(1))
    store.run(ExpireHolds())
    assert store.event.version == 2


def test_transitions_carry_the_trace_of_what_caused_them() -> None:
    """A promotion carries the trace of the cancel that made room."""
    store = Store(event(capacity=1))
    store.run(claim(1), claim(2))
    _, ledger = store.run(cancel(1, traceparent="00-cause"))
    assert {t.registration.id: t.traceparent for t in ledger.transitions.values()} == {
        uuid(1001): "00-cause",
        uuid(1002): "00-cause",
    }


def test_a_refusal_names_no_person() -> None:
    """Neither name nor phone is in any refusal's text."""
    store = Store(event(capacity=1))
    store.run(claim(1))
    outcomes, _ = store.run(Claim(**{**_values(claim(1)), "idempotency_key": "new", "id": uuid(5)}))
    assert "דנה" not in str(outcomes[0])
    assert claim(1).person.phone not in str(outcomes[0])


def _values(of: Claim) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__dataclass_fields__ if name != "repeatable"}
