"""Test a lane over a transaction that the test controls."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import trace
from seats_model import Store, claim, event, uuid
from ticketcap_chassis import deadlines
from ticketcap_chassis.database.errors import ConstraintViolated, Contended, OutcomeUnknown, StoreUnavailable
from ticketcap_chassis.errors import InternalError, ServiceError, Unavailable
from ticketcap_observability import Telemetry
from ticketcap_registration.domain.commands import Cancel, ChangeEvent, Claim, Command, ExpireHolds
from ticketcap_registration.domain.errors import IdempotencyInFlight, LaneFull, SlugTaken, WaitedTooLong
from ticketcap_registration.domain.keys import EventKey, SchoolKey
from ticketcap_registration.domain.ledger import ClaimAnswer, Decision
from ticketcap_registration.lanes import batch as batch_module
from ticketcap_registration.lanes.batch import Batches
from ticketcap_registration.lanes.lane import LaneLimits
from ticketcap_registration.lanes.lanes import Lanes
from ticketcap_registration.store.models import CODE_TAKEN
from ticketcap_registration.telemetry.lanes import LaneTelemetry

KEY = EventKey(uuid(1), SchoolKey(uuid(2), "herzl"))


class HandHeld:
    """A transaction over a store in memory: it can be held back, and fail before, during or after its commit."""

    def __init__(self, **state: Any) -> None:
        self.store = Store(event(**{"capacity": 100, **state}))
        self.batches: list[list[Command]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: Callable[[Sequence[Command]], None] = lambda _commands: None
        self.during: Callable[[Sequence[Command]], None] = lambda _commands: None

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Decision:
        await self.gate.wait()
        self.batches.append(list(commands))
        self.before(commands)
        outcomes, ledger = self.store.run(*commands)
        self.during(commands)
        return Decision(commands=commands, outcomes=outcomes, ledger=ledger, began=0, ended=0)


@pytest.fixture
def hand() -> HandHeld:
    return HandHeld()


@pytest.fixture
async def lanes(hand: HandHeld, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lanes]:
    monkeypatch.setattr(batch_module, "_PAUSES", (0.0, 0.0, 0.0))
    open_lanes = Lanes(
        Batches(hand, LaneTelemetry(Telemetry.in_memory())), LaneLimits(queue=20, batch=8, transactions=2)
    )
    yield open_lanes
    hand.gate.set()
    await open_lanes.close(1)


def submit(lanes: Lanes, command: Command) -> "asyncio.Task[Any]":
    return asyncio.create_task(lanes.submit(KEY, command))


async def settled(*tasks: "asyncio.Task[Any]") -> list[Any]:
    """Return each task's outcome or error."""
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    return [answer if isinstance(answer, BaseException) else answer.outcome for answer in answers]


async def hold_back(lanes: Lanes, hand: HandHeld, *commands: Command) -> "list[asyncio.Task[Any]]":
    """Submit one command that is being transacted, and others that wait behind it."""
    hand.gate.clear()
    tasks = [submit(lanes, commands[0])]
    await asyncio.sleep(0.01)
    tasks += [submit(lanes, command) for command in commands[1:]]
    await asyncio.sleep(0.01)
    return tasks


async def test_an_idle_event_pays_nothing_and_a_busy_one_is_batched(lanes: Lanes, hand: HandHeld) -> None:
    """The first goes at once and alone; what comes meanwhile goes together, at most a batch at a time, in order."""
    tasks = await hold_back(lanes, hand, *(claim(number) for number in range(12)))
    hand.gate.set()
    await settled(*tasks)
    assert [len(batch) for batch in hand.batches] == [1, 8, 3]
    keys = [command.idempotency_key for batch in hand.batches for command in batch if isinstance(command, Claim)]
    assert keys == [f"key-{number}" for number in range(12)]


async def test_a_poisoned_item_fails_alone(lanes: Lanes, hand: HandHeld) -> None:
    """One item may raise any error; the others of its batch are served, each once."""

    def poison(commands: Sequence[Command]) -> None:
        if any(isinstance(command, Claim) and command.spots == 3 for command in commands):
            raise ValueError("can't encode this")

    hand.before = poison
    tasks = await hold_back(lanes, hand, *(claim(number, spots=3 if number == 4 else 1) for number in range(9)))
    hand.gate.set()
    answers = await settled(*tasks)
    assert isinstance(answers.pop(4), InternalError)
    assert all(isinstance(answer, ClaimAnswer) for answer in answers)
    assert hand.store.event.confirmed == 8


async def test_a_row_that_the_database_refuses_is_isolated_too(lanes: Lanes, hand: HandHeld) -> None:
    """A violated rule blames one item; it is found by halving, and the lane continues."""

    def refuse(commands: Sequence[Command]) -> None:
        if any(isinstance(command, Claim) and command.spots == 3 for command in commands):
            raise ConstraintViolated("registrations_spots_positive")

    hand.before = refuse
    tasks = await hold_back(lanes, hand, claim(0), claim(1, spots=3), claim(2))
    hand.gate.set()
    answers = await settled(*tasks)
    assert [type(answer) for answer in answers] == [ClaimAnswer, InternalError, ClaimAnswer]


async def test_a_taken_confirmation_code_is_drawn_anew(lanes: Lanes, hand: HandHeld) -> None:
    """The caller never hears of it."""
    seen: list[str] = []

    def clash(commands: Sequence[Command]) -> None:
        seen.extend(command.confirmation_code for command in commands if isinstance(command, Claim))
        if len(seen) == 1:
            raise ConstraintViolated(CODE_TAKEN)

    hand.before = clash
    answers = await settled(submit(lanes, claim(1)))
    assert isinstance(answers[0], ClaimAnswer)
    assert seen[0] != seen[1] == answers[0].confirmation_code


async def test_a_taken_slug_is_named(lanes: Lanes, hand: HandHeld) -> None:
    """A change of the event that the unique rule refuses."""

    def refuse(_commands: Sequence[Command]) -> None:
        raise ConstraintViolated("events_school_id_slug_key")

    hand.before = refuse
    answers = await settled(submit(lanes, ChangeEvent(fields={"slug": "taken"})))
    assert isinstance(answers[0], SlugTaken)


async def test_a_caller_that_leaves_the_queue_is_not_served(lanes: Lanes, hand: HandHeld) -> None:
    """Cancelled while it waited: nothing is done for it, and the others do not notice."""
    tasks = await hold_back(lanes, hand, *(claim(number) for number in range(4)))
    tasks[2].cancel()
    await asyncio.sleep(0)
    hand.gate.set()
    await settled(tasks[0], tasks[1], tasks[3])
    assert hand.store.event.confirmed == 3
    again = await settled(submit(lanes, claim(2)))
    assert isinstance(again[0], ClaimAnswer)


async def test_a_caller_that_leaves_during_its_transaction_hurts_nobody(lanes: Lanes, hand: HandHeld) -> None:
    """The batch commits; what it made is found again by its key."""
    tasks = await hold_back(lanes, hand, claim(0), claim(1))
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    hand.gate.set()
    await settled(tasks[1])
    assert hand.store.event.confirmed == 2
    found = await settled(submit(lanes, replace(claim(0), id=uuid(77))))
    assert found[0].id == claim(0).id


async def test_a_full_queue_refuses_and_says_when_to_come_back(lanes: Lanes, hand: HandHeld) -> None:
    """The one above the limit is refused at once; the rest are served."""
    tasks = await hold_back(lanes, hand, *(claim(number) for number in range(21)))
    over = await settled(submit(lanes, claim(99)))
    assert isinstance(over[0], LaneFull)
    assert over[0].retry_after is not None
    hand.gate.set()
    assert all(isinstance(answer, ClaimAnswer) for answer in await settled(*tasks))


async def test_an_expired_deadline_is_refused_before_it_enters(lanes: Lanes, hand: HandHeld) -> None:
    """Nothing is done for a caller who has gone."""
    with deadlines.within(0.0), pytest.raises(WaitedTooLong):
        await lanes.submit(KEY, claim(1))
    assert hand.batches == []


async def test_a_deadline_that_passes_in_the_queue_is_refused_when_its_turn_comes(lanes: Lanes, hand: HandHeld) -> None:
    """Its seat goes to a caller that still waits."""
    tasks = await hold_back(lanes, hand, claim(0))
    with deadlines.within(0.02):
        late = submit(lanes, claim(1))
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    hand.gate.set()
    answers = await settled(*tasks, late)
    assert isinstance(answers[1], WaitedTooLong)
    assert hand.store.event.confirmed == 1


async def test_a_key_in_flight_is_refused_until_its_first_request_is_answered(lanes: Lanes, hand: HandHeld) -> None:
    """Then the repeat gets the first answer."""
    tasks = await hold_back(lanes, hand, claim(1))
    second = await settled(submit(lanes, replace(claim(1), id=uuid(7))))
    assert isinstance(second[0], IdempotencyInFlight)
    hand.gate.set()
    first = await settled(*tasks)
    third = await settled(submit(lanes, replace(claim(1), id=uuid(8))))
    assert third[0] == first[0]


async def test_a_lost_connection_before_the_commit_is_tried_again(lanes: Lanes, hand: HandHeld) -> None:
    """Twice lost, then served; the caller sees one answer."""
    lost = iter([StoreUnavailable(), StoreUnavailable()])

    def lose(_commands: Sequence[Command]) -> None:
        with suppress(StopIteration):
            raise next(lost)

    hand.before = lose
    answers = await settled(submit(lanes, claim(1)))
    assert isinstance(answers[0], ClaimAnswer)
    assert len(hand.batches) == 3


async def test_a_database_that_stays_away_is_told_after_a_bounded_number_of_tries(lanes: Lanes, hand: HandHeld) -> None:
    """Nothing was done, and the error says so."""

    def lose(_commands: Sequence[Command]) -> None:
        raise StoreUnavailable

    hand.before = lose
    answers = await settled(submit(lanes, claim(1)))
    assert isinstance(answers[0], StoreUnavailable)
    assert len(hand.batches) == 4


async def test_after_an_unheard_commit_claims_get_their_answer_and_cancels_are_told(
    lanes: Lanes, hand: HandHeld
) -> None:
    """The commit happened and its answer was lost: a claim is found by its key, a cancel's caller must look."""
    await settled(submit(lanes, claim(0)))
    unheard = iter([OutcomeUnknown()])

    def lose(commands: Sequence[Command]) -> None:
        if any(isinstance(command, Cancel) for command in commands):
            raise next(unheard)

    hand.during = lose
    tasks = await hold_back(
        lanes, hand, claim(5), claim(1), Cancel(registration_id=claim(0).id, by_holder=True), claim(2)
    )
    hand.gate.set()
    answers = (await settled(*tasks))[1:]
    assert [type(answer) for answer in answers] == [ClaimAnswer, OutcomeUnknown, ClaimAnswer]
    assert answers[0].id == claim(1).id
    assert hand.store.event.confirmed == 3


async def test_a_change_of_the_event_goes_alone(lanes: Lanes, hand: HandHeld) -> None:
    """Its batch holds nothing else, and the order stays."""
    change = ChangeEvent(fields={"capacity": 50})
    tasks = await hold_back(lanes, hand, claim(0), claim(1), change, claim(2), claim(3))
    hand.gate.set()
    await settled(*tasks)
    assert [len(batch) for batch in hand.batches] == [1, 1, 1, 2]


async def test_closing_serves_what_waits_and_refuses_what_comes(lanes: Lanes, hand: HandHeld) -> None:
    """Drain: no new commands, the old ones to their end."""
    tasks = await hold_back(lanes, hand, claim(0), claim(1))
    closing = asyncio.create_task(lanes.close(5))
    await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await lanes.submit(KEY, claim(2))
    hand.gate.set()
    await closing
    assert all(isinstance(answer, ClaimAnswer) for answer in await settled(*tasks))


async def test_closing_is_bounded(lanes: Lanes, hand: HandHeld) -> None:
    """A transaction that never returns is given up; its callers are cancelled."""
    tasks = await hold_back(lanes, hand, claim(0), claim(1))
    await asyncio.wait_for(lanes.close(0.05), 5)
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(isinstance(answer, asyncio.CancelledError | ServiceError) for answer in answers)


async def test_a_lane_without_work_is_forgotten(lanes: Lanes) -> None:
    """Memory follows the events that are busy, not those that ever were."""
    await settled(submit(lanes, claim(1)))
    await asyncio.sleep(0)
    assert not lanes._lanes


async def test_a_command_without_time_opens_no_lane(lanes: Lanes) -> None:
    """Nothing would ever drop a lane in which nothing was queued."""
    with deadlines.within(0.0), pytest.raises(WaitedTooLong):
        await lanes.submit(KEY, claim(1))
    assert not lanes._lanes


class Locked:
    """Transactions on many events; those on a locked one find the rows held by another transaction."""

    def __init__(self) -> None:
        self.hands: defaultdict[UUID, HandHeld] = defaultdict(HandHeld)
        self.locked: set[UUID] = set()
        self.tries = 0
        self.under_way = 0
        self.most_under_way = 0

    async def run(self, key: EventKey, commands: Sequence[Command]) -> Decision:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0.005)
            if key.id in self.locked:
                self.tries += 1
                raise Contended
            return await self.hands[key.id].run(key, commands)
        finally:
            self.under_way -= 1


def event_key(number: int) -> EventKey:
    return EventKey(uuid(number), KEY.school)


async def test_locked_events_delay_no_other() -> None:
    """More of them than there are turns: the cold event is served all the time; they are served when they are free."""
    rows = Locked()
    limits = LaneLimits(transactions=1, patient=2)
    lanes = Lanes(Batches(rows, LaneTelemetry(Telemetry.in_memory())), limits)
    rows.locked = {uuid(number) for number in range(10, 16)}
    stuck = [asyncio.create_task(lanes.submit(event_key(10 + number % 6), claim(number))) for number in range(18)]
    while rows.tries < 12:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(10):
        for number in range(20):
            before = rows.tries
            await lanes.submit(event_key(1), claim(100 + number))
            assert rows.tries - before <= 3 * limits.patient, "it waited for more than what was under way"
    assert not any(task.done() for task in stuck)
    rows.locked.clear()
    assert all(isinstance(outcome, ClaimAnswer) for outcome in await settled(*stuck))
    assert rows.most_under_way <= limits.transactions + limits.patient
    await lanes.close(1)


async def test_a_locked_event_keeps_the_order_and_drops_who_is_late() -> None:
    """A batch that is put back is served first, in its order; nothing is done for a caller whose time is over."""
    rows = Locked()
    lanes = Lanes(Batches(rows, LaneTelemetry(Telemetry.in_memory())), LaneLimits(batch=4, patience_seconds=60))
    rows.locked = {KEY.id}
    tasks = [submit(lanes, claim(number)) for number in range(10)]
    with deadlines.within(0.02):
        late = submit(lanes, claim(50))
        await asyncio.sleep(0.05)
    tasks[1].cancel()
    seen = rows.tries
    # The try that is under way still holds the one that leaves.
    while rows.tries < seen + 2:
        await asyncio.sleep(0.001)
    rows.locked.clear()
    answers = await settled(*tasks, late)
    assert isinstance(answers[-1], WaitedTooLong)
    assert isinstance(answers[1], asyncio.CancelledError)
    served = [command.id for batch in rows.hands[KEY.id].batches for command in batch if isinstance(command, Claim)]
    assert served == [claim(number).id for number in range(10) if number != 1]
    assert isinstance((await settled(submit(lanes, claim(1))))[0], ClaimAnswer), "its key is free again"
    await lanes.close(1)


async def test_patience_with_a_locked_event_ends() -> None:
    """A command without a deadline is tried for a bounded time, then told that nothing was done."""
    rows = Locked()
    lanes = Lanes(Batches(rows, LaneTelemetry(Telemetry.in_memory())), LaneLimits(patience_seconds=0.05))
    rows.locked = {KEY.id}
    answers = await settled(submit(lanes, ExpireHolds()), submit(lanes, claim(1)))
    assert [type(answer) for answer in answers] == [Contended, Contended]
    assert rows.tries > 1
    await lanes.close(1)


async def test_the_batch_span_is_linked_to_every_request(hand: HandHeld) -> None:
    """Each request's transaction links to the batch, and the batch to each of them."""
    telemetry = Telemetry.in_memory()
    lanes = Lanes(Batches(hand, LaneTelemetry(telemetry)), LaneLimits())
    callers = []
    for number in range(3):
        span = telemetry.tracer.start_span(f"caller {number}")
        with trace.use_span(span, end_on_exit=True):
            callers.append((span.get_span_context(), asyncio.create_task(lanes.submit(KEY, claim(number)))))
    answers = await asyncio.gather(*(task for _, task in callers))
    [batch] = [span for span in telemetry.spans if span.name == "registration.batch"]
    assert {link.context.span_id for link in batch.links} == {context.span_id for context, _ in callers}
    assert {answer.batch.span_id for answer in answers} == {batch.context.span_id}
    await lanes.close(1)


async def test_promotions_and_expiries_are_drawn_into_the_trace(hand: HandHeld) -> None:
    """With how many there were and how many spots they took."""
    telemetry = Telemetry.in_memory()
    lanes = Lanes(Batches(hand, LaneTelemetry(telemetry)), LaneLimits())
    hand.store.event = event(capacity=2, price_agorot=100, hold_seconds=60)
    for number in range(3):
        await lanes.submit(KEY, claim(number, spots=2 if number == 0 else 1))
    hand.store.now += timedelta(seconds=60)
    await lanes.submit(KEY, ExpireHolds())
    spans = {span.name: dict(span.attributes or {}) for span in telemetry.spans}
    assert spans["hold.expire"] == {"event.id": str(KEY.id), "registration.spots": 2, "hold.expired": 1}
    assert spans["waitlist.promote"] == {"event.id": str(KEY.id), "registration.spots": 2, "waitlist.promoted": 2}
    await lanes.close(1)
