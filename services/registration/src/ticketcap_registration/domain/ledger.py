"""The seat rules: applies commands to one event in order, and remembers what changed.

A ledger lives for one transaction, while the event's row is locked. It is told
everything it needs beforehand and does no I/O, so the rules are here and
nowhere else.
"""

from collections.abc import Mapping, Sequence
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
    IdempotencyKeyReused,
    NotAHold,
    RefundAboveCost,
    RegistrationNotFound,
)
from ticketcap_registration.domain.event import Event
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
    """The first answer to a claim; it stays what it was, whatever happens to the registration later."""

    id: UUID
    status: RegistrationStatus
    confirmation_code: str
    spots: int
    waitlist_position: int | None = None
    hold_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the store kept of a claim that came before with the same key."""

    fingerprint: str
    answer: ClaimAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knew when the transaction began, as far as its commands need it.

    ``registrations`` are those that the commands name and the holds that are
    due; ``waiting`` is the part of the waitlist that can matter, oldest first.
    """

    now: datetime
    answers: Mapping[str, StoredAnswer] = field(default_factory=dict)
    live_phones: frozenset[str] = frozenset()
    registrations: Sequence[Registration] = ()
    waiting: Sequence[Registration] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim's answer, and whether it is the repeat of an earlier one."""

    answer: ClaimAnswer
    replayed: bool


Outcome = Claimed | Registration | Event | None
"""Claim: Claimed. Cancel and the hold commands: the Registration. ChangeEvent: the Event. ExpireHolds: None."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A registration that came into its status now, and the traceparent of what caused it.

    ``refund_agorot`` is what a cancelled one gets back at most; None: everything that it paid.
    """

    registration: Registration
    traceparent: str
    refund_agorot: int | None = None


class SeatLedger:
    """One event's seats during one transaction."""

    def __init__(self, event: Event, known: Known, rules: SeatRules) -> None:
        self.event = event
        self.now: Final = known.now
        self.added: Final[dict[UUID, Registration]] = {}
        self.changed: Final[dict[UUID, Registration]] = {}
        self.transitions: Final[dict[UUID, Transition]] = {}
        self.answers: Final[dict[UUID, tuple[Claim, ClaimAnswer]]] = {}
        self.promoted: Final[list[Registration]] = []
        self.expired: Final[list[Registration]] = []
        self._rules = rules
        self._stored = dict(known.answers)
        self._phones = set(known.live_phones)
        self._waiting = {registration.id: registration for registration in known.waiting}
        # One object per row: what a command names may also be waiting.
        self._registrations = self._waiting | {row.id: self._waiting.get(row.id, row) for row in known.registrations}
        self._before = event
        self._cause = ""

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.added or self.changed) or self.event is not self._before

    def apply(self, commands: Sequence[Command]) -> list[Outcome | ServiceError]:
        """Apply every command in order; one that the rules refuse changes nothing and fails alone."""
        self._expire_due()
        outcomes = [self._try(command) for command in commands]
        if self.touched:
            self.event = replace(self.event, version=self.event.version + 1)
        return [self.event if isinstance(outcome, Event) else self._settled(outcome) for outcome in outcomes]

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
                return self._settle_hold(command)
            case ChangeEvent():
                return self._change(command)
            case ExpireHolds():
                return None

    def _settled(self, outcome: Outcome | ServiceError) -> Outcome | ServiceError:
        """Give a claim the state that it has at the end: a later command may have promoted it."""
        if not isinstance(outcome, Claimed):
            return outcome
        registration = self.added.get(outcome.answer.id)
        if registration is None or registration.status is outcome.answer.status:
            return outcome
        claim, _ = self.answers[registration.id]
        return self._answered(registration, claim)

    # Claims

    def _claim(self, claim: Claim) -> Claimed:
        if claim.idempotency_key in self._stored:
            return _replay(self._stored[claim.idempotency_key], claim)
        self._must_take_registrations()
        if claim.spots > self.event.max_spots_per_registration:
            raise InvalidInput.of("spots", f"must be at most {self.event.max_spots_per_registration}")
        if claim.person.phone in self._phones:
            raise AlreadyRegistered(self.event.id)
        registration = self._placed(claim)
        self._phones.add(claim.person.phone)
        return self._answered(registration, claim)

    def _must_take_registrations(self) -> None:
        if self.event.status is not EventStatus.OPEN:
            raise EventNotOpen(self.event.id, self.event.status)
        if self._started:
            raise EventStarted(self.event.id)

    def _placed(self, claim: Claim) -> Registration:
        """Make the registration, in a seat if it fits and nobody must go first, else on the waitlist."""
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

    def _answered(self, registration: Registration, claim: Claim) -> Claimed:
        answer = ClaimAnswer(
            id=registration.id,
            status=registration.status,
            confirmation_code=registration.confirmation_code,
            spots=registration.spots,
            waitlist_position=self.event.waitlist_length if registration.status is WAITLISTED else None,
            hold_expires_at=registration.hold_expires_at,
        )
        self.answers[registration.id] = (claim, answer)
        self._stored[claim.idempotency_key] = StoredAnswer(claim.fingerprint, answer)
        return Claimed(answer, replayed=False)

    # Giving spots back

    def _cancel(self, command: Cancel) -> Registration:
        registration = self._named(command.registration_id)
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
        """Hold the holder to the later of two deadlines: as it was agreed, and as the event has it now."""
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
        """Take a live registration to a final state; its spots go to the waitlist at once."""
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

    def _settle_hold(self, command: HoldCommand) -> Registration:
        registration = self._named(command.registration_id)
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
        """The one way out of EXPIRED: its payment arrived, and the spots are still there.

        Its terms stay what they were, unless the event is free now: then nothing is owed.
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
        self.event = self.event.changed(command.fields, self.now)
        if self.event.price_agorot == 0:
            self._confirm_every_hold()
        self._promote()
        return self.event

    def _confirm_every_hold(self) -> None:
        """Let a free event have no holds: with nothing to pay, each of them would only expire."""
        for registration in [row for row in self._registrations.values() if row.status is PENDING]:
            registration.price_agorot = 0
            self._confirm(registration)

    @property
    def _started(self) -> bool:
        return self.now >= self.event.starts_at

    # Promotion

    def _promote(self) -> None:
        """Give free spots to those who wait. Follows whatever may free a spot or unblock the queue."""
        if self.event.status is EventStatus.CLOSED or self._started:
            return
        for registration in list(picks(self._waiting.values(), self.event.available, self.event.waitlist_policy)):
            self._leave(registration)
            self._agree(registration)
            self._seat(registration, self._rules.offer_seconds)
            self.promoted.append(registration)

    def _agree(self, registration: Registration) -> None:
        """Copy the event's terms of this moment: whatever changes later, these are charged and refunded."""
        registration.price_agorot = self.event.price_agorot
        registration.currency = self.event.currency
        registration.cancellation_deadline_hours = self.event.cancellation_deadline_hours

    # Bookkeeping: every change of a counter goes through the four below

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
        """Take a registration out of the count that it is in."""
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

    def _named(self, registration_id: UUID) -> Registration:
        registration = self._registrations.get(registration_id)
        if registration is None:
            raise RegistrationNotFound(str(registration_id))
        return registration


def _replay(stored: StoredAnswer, claim: Claim) -> Claimed:
    if stored.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    # The same id: this very claim, run again because its first commit went unheard.
    return Claimed(stored.answer, replayed=stored.answer.id != claim.id)


def _must_be_held(registration: Registration) -> None:
    if registration.status is EXPIRED:
        raise HoldExpired(registration.id)
    if registration.status is CANCELLED:
        raise AlreadyOver(registration.id, registration.status)
    if registration.status is not PENDING:
        raise NotAHold(registration.id, registration.status)
