"""Apply commands to one event's seats in order, and record every change.

A ledger lives for one transaction, while the event's row is locked. It gets a
snapshot of everything that it needs and does no I/O, so the seat rules are here
and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from ticketcap_chassis.errors import InvalidInput, ServiceError

from ticketcap_registration.domain.commands import (
    Cancel,
    ChangeEvent,
    Claim,
    Command,
    ConfirmHold,
    ExpireHolds,
    ExtendHold,
    HoldCommand,
    ReclaimHold,
    ReleaseHold,
)
from ticketcap_registration.domain.errors import (
    AlreadyCheckedIn,
    AlreadyOver,
    AlreadyRegistered,
    CancellationDeadlinePassed,
    EventFull,
    EventNotOpen,
    EventStarted,
    HoldExpired,
    NotAHold,
    RefundAboveCost,
    RegistrationNotFound,
)
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.idempotency import must_be_same_body
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import COUNTED, EventStatus, RegistrationStatus, WaitlistPolicy
from ticketcap_registration.domain.waitlist import picks

CONFIRMED: Final = RegistrationStatus.CONFIRMED
PENDING: Final = RegistrationStatus.PENDING_PAYMENT
WAITLISTED: Final = RegistrationStatus.WAITLISTED
CANCELLED: Final = RegistrationStatus.CANCELLED
EXPIRED: Final = RegistrationStatus.EXPIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatRules:
    """Rules that hold for every event. Times are in seconds."""

    offer_seconds: int = 7200
    """How long a promoted registration of a paid event has to pay."""
    waitlist_limit: int = 20_000
    """Registrations that one event's waitlist takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """The first answer to a claim. It stays the same when the registration changes later.

    Its ``id`` is the claim's own, unless the claim repeats an earlier one with the same idempotency key.
    """

    id: UUID
    status: RegistrationStatus
    confirmation_code: str
    spots: int
    waitlist_position: int | None = None
    hold_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer to a claim, with the fingerprint of the claim's body."""

    fingerprint: str
    answer: ClaimAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The rows that a batch's commands need, as they were when the transaction began.

    ``answers`` are by idempotency key. ``registrations`` are those that the commands name and the holds that are due.
    ``waiting`` is the part of the waitlist that can matter, oldest first.
    """

    now: datetime
    answers: dict[str, StoredAnswer] = field(default_factory=dict)
    live_phones: frozenset[str] = frozenset()
    registrations: list[Registration] = field(default_factory=list)
    waiting: list[Registration] = field(default_factory=list)


Outcome = ClaimAnswer | Registration | Event | None
"""Claim: ClaimAnswer. Cancel and the hold commands: the Registration. ChangeEvent: the Event. ExpireHolds: None."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A registration that entered its status in this batch, and the traceparent of the command that caused it.

    ``refund_agorot`` is the most that a cancelled one gets back; None means everything that it paid.
    """

    registration: Registration
    traceparent: str
    refund_agorot: int | None = None


class SeatLedger:
    """One event's seats during one transaction."""

    def __init__(self, event: Event, snapshot: Snapshot, rules: SeatRules) -> None:
        self.before: Final = event
        """The event when the transaction began."""
        self.event = event
        self.now: Final = snapshot.now
        self.added: Final[dict[UUID, Registration]] = {}
        self.changed: Final[dict[UUID, Registration]] = {}
        self.transitions: Final[dict[UUID, Transition]] = {}
        self.answers: Final[dict[str, StoredAnswer]] = {}
        """The answers of this batch by idempotency key."""
        self.promoted: Final[list[Registration]] = []
        self.expired: Final[list[Registration]] = []
        self._rules = rules
        self._earlier_answers = snapshot.answers
        self._phones = set(snapshot.live_phones)
        self._waiting = {registration.id: registration for registration in snapshot.waiting}
        # One object per row: a registration that a command names may also be waiting.
        self._registrations = self._waiting | {row.id: self._waiting.get(row.id, row) for row in snapshot.registrations}
        self._cause = ""

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.added or self.changed) or self.event is not self.before

    def apply(self, commands: Sequence[Command]) -> list[Outcome | ServiceError]:
        """Apply every command in order; a command that the rules refuse changes nothing and fails alone."""
        self._expire_due()
        outcomes = [self._try(command) for command in commands]
        if self.touched:
            self.event = replace(self.event, version=self.event.version + 1)
        return [self._final(command, outcome) for command, outcome in zip(commands, outcomes, strict=True)]

    def _try(self, command: Command) -> Outcome | ServiceError:
        self._cause = command.traceparent
        try:
            return self._apply(command)
        except ServiceError as refusal:
            return refusal

    def _apply(self, command: Command) -> Outcome:
        match command:
            case Claim():
                return self._claim(command)
            case Cancel():
                return self._cancel(command)
            case ConfirmHold() | ReleaseHold() | ExtendHold() | ReclaimHold():
                return self._apply_hold(command)
            case ChangeEvent():
                return self._change(command)
            case ExpireHolds():
                return None

    def _final(self, command: Command, outcome: Outcome | ServiceError) -> Outcome | ServiceError:
        """Return the outcome after the whole batch: a later command may have promoted a claim's registration."""
        if isinstance(outcome, Event):
            return self.event
        if isinstance(command, Claim) and isinstance(outcome, ClaimAnswer):
            registration = self.added.get(outcome.id)
            if registration is not None and registration.status is not outcome.status:
                return self._answer(registration, command)
        return outcome

    # Claims

    def _claim(self, claim: Claim) -> ClaimAnswer:
        key = claim.idempotency_key
        if first := self.answers.get(key) or self._earlier_answers.get(key):
            must_be_same_body(first.fingerprint, claim.fingerprint)
            return first.answer
        self._must_take_registrations()
        if claim.spots > self.event.max_spots_per_registration:
            raise InvalidInput.of("spots", f"must be at most {self.event.max_spots_per_registration}")
        if claim.person.phone in self._phones:
            raise AlreadyRegistered(self.event.id)
        registration = self._register(claim)
        self._phones.add(claim.person.phone)
        return self._answer(registration, claim)

    def _must_take_registrations(self) -> None:
        if self.event.status is not EventStatus.OPEN:
            raise EventNotOpen(self.event.id, self.event.status)
        if self._started:
            raise EventStarted(self.event.id)

    def _register(self, claim: Claim) -> Registration:
        """Add the registration: with a seat if it fits and overtakes no other, else on the waitlist."""
        fits = claim.spots <= self.event.available and not self._must_queue
        if not fits:
            self._must_have_room_to_wait()
        registration = self._new(claim)
        if fits:
            self._agree(registration)
            self._seat(registration, self.event.hold_seconds)
        else:
            self._wait(registration)
        return registration

    @property
    def _must_queue(self) -> bool:
        return self.event.waitlist_policy is WaitlistPolicy.STRICT_FIFO and self.event.waitlist_length > 0

    def _new(self, claim: Claim) -> Registration:
        registration = Registration(
            id=claim.id,
            event_id=self.event.id,
            school_id=self.event.school_id,
            status=WAITLISTED,
            name=claim.person.name,
            phone=claim.person.phone,
            email=claim.person.email,
            spots=claim.spots,
            confirmation_code=claim.confirmation_code,
            created_at=self.now,
        )
        self.added[registration.id] = self._registrations[registration.id] = registration
        return registration

    def _must_have_room_to_wait(self) -> None:
        if not self.event.waitlist_enabled:
            raise EventFull(self.event.id, "has no waitlist")
        if self.event.waitlist_length >= self._rules.waitlist_limit:
            raise EventFull(self.event.id, f"its waitlist holds {self._rules.waitlist_limit} registrations already")

    def _answer(self, registration: Registration, claim: Claim) -> ClaimAnswer:
        answer = ClaimAnswer(
            id=registration.id,
            status=registration.status,
            confirmation_code=registration.confirmation_code,
            spots=registration.spots,
            waitlist_position=self.event.waitlist_length if registration.status is WAITLISTED else None,
            hold_expires_at=registration.hold_expires_at,
        )
        self.answers[claim.idempotency_key] = StoredAnswer(claim.fingerprint, answer)
        return answer

    # Giving spots back

    def _cancel(self, command: Cancel) -> Registration:
        registration = self._find(command.registration_id)
        if registration.status in {CANCELLED, EXPIRED}:
            raise AlreadyOver(registration.id, registration.status)
        if registration.checked_in_at is not None:
            raise AlreadyCheckedIn(registration.id, registration.checked_in_at)
        if command.by_holder and registration.status in COUNTED:
            self._must_be_in_time(registration)
        if command.refund_agorot is not None and command.refund_agorot > registration.cost_agorot:
            raise RefundAboveCost(registration.id, registration.cost_agorot)
        self._end(registration, CANCELLED, command.reason, command.refund_agorot)
        return registration

    def _must_be_in_time(self, registration: Registration) -> None:
        """Apply the later of two deadlines: the registration's own, and the event's of today."""
        hours = self.event.cancellation_deadline_hours
        if registration.cancellation_deadline_hours is not None:
            hours = min(hours, registration.cancellation_deadline_hours)
        deadline = self.event.starts_at - timedelta(hours=hours)
        if self.now > deadline:
            raise CancellationDeadlinePassed(registration.id, deadline)

    def _end(
        self,
        registration: Registration,
        status: RegistrationStatus,
        reason: str | None = None,
        refund_agorot: int | None = None,
    ) -> None:
        """Move a live registration to a final state; its spots go to the waitlist at once."""
        self._leave(registration)
        self._enter(registration, status, refund_agorot)
        self._phones.discard(registration.phone)
        if status is CANCELLED:
            registration.cancelled_at, registration.cancel_reason = self.now, reason
        self._promote()

    def _expire_due(self) -> None:
        due = [row for row in self._registrations.values() if row.status is PENDING and self._is_due(row)]
        for registration in due:
            self.expired.append(registration)
            self._end(registration, EXPIRED)

    def _is_due(self, registration: Registration) -> bool:
        return registration.hold_expires_at is not None and registration.hold_expires_at <= self.now

    # Holds

    def _apply_hold(self, command: HoldCommand) -> Registration:
        registration = self._find(command.registration_id)
        match command:
            case ConfirmHold():
                self._confirm(registration)
            case ReleaseHold(reason=reason):
                self._release(registration, reason)
            case ExtendHold(seconds=seconds):
                self._extend(registration, seconds)
            case ReclaimHold(seconds=seconds):
                self._reclaim(registration, seconds)
        return registration

    def _confirm(self, registration: Registration) -> None:
        if registration.status is CONFIRMED:
            return
        _must_be_held(registration)
        self._leave(registration)
        self._enter(registration, CONFIRMED)
        self._count(confirmed=registration.spots)

    def _release(self, registration: Registration, reason: str | None) -> None:
        if registration.status in {CANCELLED, EXPIRED}:
            return
        _must_be_held(registration)
        self._end(registration, CANCELLED, reason)

    def _extend(self, registration: Registration, seconds: int) -> None:
        _must_be_held(registration)
        until = self.now + timedelta(seconds=seconds)
        if registration.hold_expires_at is None or registration.hold_expires_at < until:
            registration.hold_expires_at = until
            self._changed(registration)

    def _reclaim(self, registration: Registration, seconds: int) -> None:
        """Hold the spots of an expired hold again, if they are free. This is the only way out of EXPIRED.

        Its terms stay, unless the event is free now: then nothing is owed.
        """
        if registration.status is CONFIRMED and registration.price_agorot == 0:
            return
        if registration.status is not EXPIRED:
            self._extend(registration, seconds)
            return
        if self.event.status is EventStatus.CLOSED:
            raise EventNotOpen(self.event.id, self.event.status)
        if self._started:
            raise EventStarted(self.event.id)
        if registration.phone in self._phones:
            raise AlreadyRegistered(self.event.id)
        if registration.spots > self.event.available or self._must_queue:
            raise EventFull(self.event.id, "gave the spots of this expired hold to others")
        if registration.price_agorot is None or self.event.price_agorot == 0:
            self._agree(registration)
        self._seat(registration, seconds)
        self._phones.add(registration.phone)

    # The event itself

    def _change(self, command: ChangeEvent) -> Event:
        self.event = self.event.change(command.fields, self.now)
        if self.event.price_agorot == 0:
            self._confirm_every_hold()
        self._promote()
        return self.event

    def _confirm_every_hold(self) -> None:
        """Confirm every hold of an event that became free: with nothing to pay, each would only expire."""
        for registration in [row for row in self._registrations.values() if row.status is PENDING]:
            registration.price_agorot = 0
            self._confirm(registration)

    @property
    def _started(self) -> bool:
        return self.now >= self.event.starts_at

    # Promotion

    def _promote(self) -> None:
        """Give free spots to the waitlist. Runs after every change that may free a spot or unblock the queue."""
        if self.event.status is EventStatus.CLOSED or self._started:
            return
        for registration in list(picks(self._waiting.values(), self.event.available, self.event.waitlist_policy)):
            self._leave(registration)
            self._agree(registration)
            self._seat(registration, self._rules.offer_seconds)
            self.promoted.append(registration)

    def _agree(self, registration: Registration) -> None:
        """Copy the event's terms: these are charged and refunded, also when the event changes later."""
        registration.price_agorot = self.event.price_agorot
        registration.currency = self.event.currency
        registration.cancellation_deadline_hours = self.event.cancellation_deadline_hours

    # Bookkeeping: every change of a counter goes through the next four methods

    def _seat(self, registration: Registration, hold_seconds: int) -> None:
        if registration.price_agorot == 0:
            self._enter(registration, CONFIRMED)
            self._count(confirmed=registration.spots)
            return
        self._enter(registration, PENDING)
        registration.hold_expires_at = self.now + timedelta(seconds=hold_seconds)
        self._count(held=registration.spots)

    def _wait(self, registration: Registration) -> None:
        self._enter(registration, WAITLISTED)
        self._count(waitlisted=registration.spots, waitlist_length=1, waitlist_sequence=1)
        registration.waitlist_seq = self.event.waitlist_sequence
        self._waiting[registration.id] = registration

    def _leave(self, registration: Registration) -> None:
        """Subtract a registration from the counter of its status."""
        match registration.status:
            case RegistrationStatus.CONFIRMED:
                self._count(confirmed=-registration.spots)
            case RegistrationStatus.PENDING_PAYMENT:
                self._count(held=-registration.spots)
            case RegistrationStatus.WAITLISTED:
                self._count(waitlisted=-registration.spots, waitlist_length=-1)
                self._waiting.pop(registration.id, None)

    def _count(self, **deltas: int) -> None:
        self.event = replace(self.event, **{name: getattr(self.event, name) + by for name, by in deltas.items()})

    def _enter(self, registration: Registration, status: RegistrationStatus, refund_agorot: int | None = None) -> None:
        registration.status = status
        self.transitions[registration.id] = Transition(registration, self._cause, refund_agorot)
        self._changed(registration)

    def _changed(self, registration: Registration) -> None:
        if registration.id not in self.added:
            self.changed[registration.id] = registration

    def _find(self, registration_id: UUID) -> Registration:
        registration = self._registrations.get(registration_id)
        if registration is None:
            raise RegistrationNotFound(str(registration_id))
        return registration


def _must_be_held(registration: Registration) -> None:
    if registration.status is EXPIRED:
        raise HoldExpired(registration.id)
    if registration.status is CANCELLED:
        raise AlreadyOver(registration.id, registration.status)
    if registration.status is not PENDING:
        raise NotAHold(registration.id, registration.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision on one batch: one outcome per command, in their order, and the ledger after the last of them.

    ``began`` and ``ended`` are nanoseconds of the wall clock.
    """

    commands: Sequence[Command]
    outcomes: list[Outcome | ServiceError]
    ledger: SeatLedger
    began: int
    ended: int
