"""Pick the waitlisted registrations that get freed spots."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ticketcap_registration.domain.commands import Cancel, ChangeEvent, Command, ReleaseHold
from ticketcap_registration.domain.event import Event
from ticketcap_registration.domain.registration import Registration
from ticketcap_registration.domain.states import COUNTED, RegistrationStatus, WaitlistPolicy


def picks(waiting: Iterable[Registration], available: int, policy: WaitlistPolicy) -> Iterator[Registration]:
    """Yield the registrations to promote into ``available`` spots. ``waiting`` is oldest first.

    FIRST_FIT skips a registration that does not fit: the number of spots only shrinks, so it does not fit later
    either. STRICT_FIFO stops at the first one that does not fit.
    """
    for registration in waiting:
        if available == 0:
            return
        if registration.spots <= available:
            available -= registration.spots
            yield registration
        elif policy is WaitlistPolicy.STRICT_FIFO:
            return


@dataclass(frozen=True, slots=True)
class Candidates:
    """The part of a waitlist that a decision needs; loading all of it would be slow.

    At most ``spots`` can be free, and at most ``leaving`` waiting registrations can be cancelled before. Under
    FIRST_FIT the oldest ``spots // size + leaving`` of each size can matter; under STRICT_FIFO the oldest
    ``spots + leaving``, and one more that may block. A change of the policy needs the candidates of both: due holds
    expire under the old one.
    """

    policies: frozenset[WaitlistPolicy]
    spots: int
    leaving: int


def candidates(event: Event, loaded: Sequence[Registration], commands: Sequence[Command]) -> Candidates | None:
    """Return the part of the waitlist that ``commands`` can need, None when they can't promote any of it.

    ``loaded`` are the registrations that the commands name and the holds that are due.
    """
    ends = {command.registration_id for command in commands if isinstance(command, Cancel | ReleaseHold)}
    changes = [command.fields for command in commands if isinstance(command, ChangeEvent)]
    freed = sum(row.spots for row in loaded if row.status in COUNTED)
    leaving = sum(row.status is RegistrationStatus.WAITLISTED and row.id in ends for row in loaded)
    if event.waitlist_length == 0 or not (freed or leaving or changes):
        return None
    raised = sum(max(0, fields.get("capacity", 0) - event.capacity) for fields in changes)
    policies = {event.waitlist_policy, *(fields.get("waitlist_policy", event.waitlist_policy) for fields in changes)}
    return Candidates(frozenset(policies), event.available + freed + raised, leaving)
