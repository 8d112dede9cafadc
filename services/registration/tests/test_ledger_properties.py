"""Test the seat rules after any history."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seats_model import Store, claim, event, uuid
from ticketcap_chassis.errors import ServiceError
from ticketcap_registration.domain.commands import (
    Cancel,
    ChangeEvent,
    Command,
    ConfirmHold,
    ExpireHolds,
    ExtendHold,
    ReclaimHold,
    ReleaseHold,
)
from ticketcap_registration.domain.states import COUNTED, LIVE, EventStatus, RegistrationStatus, WaitlistPolicy
from ticketcap_registration.domain.waitlist import candidates

PEOPLE = 24
# Most commands name one of the first dozen, who are there from the beginning.
registration_ids = st.one_of(st.integers(0, 11), st.integers(0, PEOPLE - 1)).map(lambda number: uuid(1000 + number))
seat_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(claim, st.integers(0, PEOPLE - 1), st.integers(1, 4)),
    st.builds(Cancel, registration_id=registration_ids, by_holder=st.booleans()),
    st.builds(
        Cancel,
        registration_id=registration_ids,
        by_holder=st.just(value=False),
        refund_agorot=st.sampled_from([0, 100, 30_000]),
    ),
    st.builds(ConfirmHold, registration_id=registration_ids),
    st.builds(ReleaseHold, registration_id=registration_ids),
    st.builds(ExtendHold, registration_id=registration_ids, seconds=st.integers(1, 300)),
    st.builds(ReclaimHold, registration_id=registration_ids, seconds=st.integers(1, 300)),
    st.just(ExpireHolds()),
)
changes: st.SearchStrategy[Command] = st.one_of(
    st.builds(lambda capacity: ChangeEvent(fields={"capacity": capacity}), st.integers(1, 14)),
    st.builds(lambda status: ChangeEvent(fields={"status": status}), st.sampled_from(EventStatus)),
    st.builds(lambda policy: ChangeEvent(fields={"waitlist_policy": policy}), st.sampled_from(WaitlistPolicy)),
    st.builds(lambda price: ChangeEvent(fields={"price_agorot": price}), st.sampled_from([0, 5000, 9000])),
    st.builds(lambda currency: ChangeEvent(fields={"currency": currency}), st.sampled_from(["ILS", "EUR"])),
)
batches = st.one_of(st.lists(seat_commands, min_size=1, max_size=6), changes.map(lambda change: [change]))
# Begins with a full house and a waitlist, where the interesting things happen.
openings = st.lists(st.integers(1, 3), min_size=12, max_size=12).map(
    lambda sizes: [([claim(number, spots) for number, spots in enumerate(sizes)], 0)]
)
histories = st.builds(
    lambda opening, rest: [*opening, *rest],
    openings,
    st.lists(st.tuples(batches, st.integers(0, 90)), max_size=20),
)
events = st.builds(
    lambda capacity, price, policy: event(
        capacity=capacity, price_agorot=price, waitlist_policy=policy, hold_seconds=120
    ),
    st.integers(1, 8),
    st.sampled_from([0, 5000]),
    st.sampled_from(WaitlistPolicy),
)
thorough = settings(
    max_examples=settings().max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)


def assert_sound(store: Store) -> None:
    """Hold the counters against the rows, and every invariant of the seats."""
    seats = store.event
    assert seats.confirmed == store.spots(RegistrationStatus.CONFIRMED)
    assert seats.held == store.spots(RegistrationStatus.PENDING_PAYMENT)
    assert seats.waitlisted == store.spots(RegistrationStatus.WAITLISTED)
    assert seats.waitlist_length == len(store.waitlist())
    assert 0 <= seats.confirmed + seats.held <= seats.capacity
    live = [row.phone for row in store.rows.values() if row.status in LIVE]
    assert len(live) == len(set(live)), "two live registrations of one phone"
    holds = [row for row in store.rows.values() if row.status is RegistrationStatus.PENDING_PAYMENT]
    assert all(row.price_agorot for row in holds), "an unpayable hold"
    assert not (holds and seats.price_agorot == 0), "a hold in a free event"


def assert_no_spot_is_idle(store: Store) -> None:
    """No registration that fits waits while a spot is free, if the policy lets it pass."""
    waiting = store.waitlist()
    if store.event.status is EventStatus.CLOSED or not waiting:
        return
    may_go = waiting[:1] if store.event.waitlist_policy is WaitlistPolicy.STRICT_FIFO else waiting
    assert all(row.spots > store.event.available for row in may_go), "a spot is idle while someone who fits waits"


@thorough
@given(events, histories)
def test_seats_stay_sound(state: Any, history: list[tuple[list[Command], int]]) -> None:
    """Counters equal rows, never oversold, one live registration per phone, no idle spot, after every batch."""
    store = Store(state)
    for commands, seconds in history:
        store.now += timedelta(seconds=seconds)
        store.run(*commands)
        assert_sound(store)
        assert_no_spot_is_idle(store)


@thorough
@given(events, histories)
def test_final_states_are_final(state: Any, history: list[tuple[list[Command], int]]) -> None:
    """CANCELLED stays so, EXPIRED ends only when its payment arrives, and none returns to the waitlist."""
    store = Store(state)
    for commands, seconds in history:
        before = {row_id: row.status for row_id, row in store.rows.items()}
        reclaimed = {command.registration_id for command in commands if isinstance(command, ReclaimHold)}
        store.now += timedelta(seconds=seconds)
        store.run(*commands)
        for row_id, status in before.items():
            now = store.rows[row_id].status
            if status not in LIVE and not (status is RegistrationStatus.EXPIRED and row_id in reclaimed):
                assert now is status
            if status in COUNTED:
                assert now is not RegistrationStatus.WAITLISTED


@thorough
@given(events, histories)
def test_terms_stay_what_they_were_agreed_at(state: Any, history: list[tuple[list[Command], int]]) -> None:
    """After any change a seat keeps its price and currency, except that it may become free before it is paid."""
    store = Store(state)
    for commands, seconds in history:
        before = {row_id: row for row_id, row in store.rows.items() if row.status in COUNTED}
        store.now += timedelta(seconds=seconds)
        _, ledger = store.run(*commands)
        for row_id, was in before.items():
            now = store.rows[row_id]
            is_freed = was.status is RegistrationStatus.PENDING_PAYMENT and now.price_agorot == 0
            assert is_freed or (now.price_agorot, now.currency) == (was.price_agorot, was.currency)
        for transition in ledger.transitions.values():
            assert (transition.refund_agorot or 0) <= transition.registration.cost_agorot


@thorough
@given(events, histories)
def test_a_batch_decides_what_its_commands_would_one_by_one(
    state: Any, history: list[tuple[list[Command], int]]
) -> None:
    """Merging requests never changes who gets a seat."""
    merged, single = Store(state), Store(state)
    for commands, seconds in history:
        for store in (merged, single):
            store.now += timedelta(seconds=seconds)
        merged.run(*commands)
        for command in commands:
            single.run(command)
        assert {row_id: row.status for row_id, row in merged.rows.items()} == {
            row_id: row.status for row_id, row in single.rows.items()
        }


@thorough
@given(events, histories)
def test_the_loaded_part_of_the_waitlist_is_enough(state: Any, history: list[tuple[list[Command], int]]) -> None:
    """Deciding on the candidates alone gives what deciding on the whole waitlist gives."""
    store = Store(state)
    for commands, seconds in history:
        store.now += timedelta(seconds=seconds)
        partial = Store(store.event)
        partial.rows = {row_id: replace(row) for row_id, row in store.rows.items()}
        partial.answers, partial.now = dict(store.answers), store.now
        waiting = _loaded(partial, commands)
        named = {getattr(command, "registration_id", None) for command in commands}
        _run_partially(partial, commands, waiting, named)
        store.run(*commands)
        assert {row_id: row.status for row_id, row in store.rows.items()} == {
            row_id: row.status for row_id, row in partial.rows.items()
        }


def _due(store: Store, commands: list[Command]) -> list[Any]:
    """Return the holds that are loaded although no command names them: those that are due, all when they are freed."""
    frees = any(isinstance(command, ChangeEvent) and command.frees for command in commands)
    return [
        row
        for row in store.rows.values()
        if row.status is RegistrationStatus.PENDING_PAYMENT
        and row.hold_expires_at is not None
        and (frees or row.hold_expires_at <= store.now)
    ]


def _loaded(store: Store, commands: list[Command]) -> list[Any]:
    """Return what the store's two statements would load of the waitlist."""
    named = {getattr(command, "registration_id", None) for command in commands}
    loaded = [row for row in store.rows.values() if row.id in named]
    loaded += [row for row in _due(store, commands) if row not in loaded]
    needed = candidates(store.event, loaded, commands)
    if needed is None:
        return []
    waiting = store.waitlist()
    part: dict[Any, Any] = {}
    if WaitlistPolicy.STRICT_FIFO in needed.policies:
        part |= {row.id: row for row in waiting[: needed.spots + needed.leaving + 1]}
    if WaitlistPolicy.FIRST_FIT in needed.policies:
        for size in {row.spots for row in waiting}:
            of_size = [row for row in waiting if row.spots == size]
            part |= {row.id: row for row in of_size[: needed.spots // size + needed.leaving]}
    return sorted(part.values(), key=lambda row: row.waitlist_seq)


def _run_partially(store: Store, commands: list[Command], waiting: list[Any], named: set[Any]) -> None:
    """Run with only what a transaction loads: rows that are named, due holds, and the candidates."""
    everything = store.rows
    due = {row.id for row in _due(store, commands)}
    phones = {row.phone for row in everything.values() if row.status in LIVE}
    store.rows = {row_id: row for row_id, row in everything.items() if row_id in named or row_id in due}
    # The live phones are looked up by index, not through loaded rows.
    hidden = {row_id: row for row_id, row in everything.items() if row_id not in store.rows and row.phone in phones}
    outcomes, _ = _with_phones(store, commands, waiting, hidden)
    assert len(outcomes) == len(commands)
    store.rows = everything | store.rows


def _with_phones(store: Store, commands: list[Command], waiting: list[Any], hidden: dict[Any, Any]) -> Any:
    from ticketcap_registration.domain.ledger import SeatLedger, Snapshot

    rows = {row_id: replace(row) for row_id, row in store.rows.items()}
    live = [row.phone for row in (*rows.values(), *hidden.values()) if row.status in LIVE]
    snapshot = Snapshot(
        now=store.now,
        answers=store.answers,
        live_phones=frozenset(live),
        registrations=list(rows.values()),
        waiting=[replace(row) for row in waiting],
    )
    ledger = SeatLedger(store.event, snapshot, store.rules)
    outcomes: list[Any | ServiceError] = ledger.apply(commands)
    store.event = ledger.event
    store.rows |= ledger.changed | ledger.added
    store.answers |= ledger.answers
    return outcomes, ledger
