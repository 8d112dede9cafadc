"""What the metrics hear of a batch that was committed."""

from collections import Counter
from collections.abc import Sequence

from ticketcap_observability import Telemetry, schema

from ticketcap_registration.domain.ledger import Claimed
from ticketcap_registration.domain.states import RegistrationStatus
from ticketcap_registration.lanes.seat_transaction import Committed


class SeatMetrics:
    """Counts once for a whole batch, whatever its size."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._created = telemetry.counter(schema.REGISTRATION_CREATED)
        self._confirmed = telemetry.counter(schema.REGISTRATION_CONFIRMED)
        self._waitlisted = telemetry.counter(schema.REGISTRATION_WAITLISTED)
        self._promoted = telemetry.counter(schema.WAITLIST_PROMOTION)
        self._expired = telemetry.counter(schema.HOLD_EXPIRED)
        self._filled = telemetry.counter(schema.CAPACITY_REACHED)
        self._waits = telemetry.histogram(schema.WAITLIST_WAIT)
        self._size = telemetry.histogram(schema.LANE_BATCH_SIZE)
        self._wait = telemetry.histogram(schema.LANE_WAIT)

    def begun(self, commands: int, waited_seconds: float) -> None:
        """Tell of a batch that begins."""
        self._size.record(commands)
        self._wait.record(waited_seconds)

    def committed(self, committed: Committed) -> None:
        """Tell what became true."""
        decided = committed.decided
        claims = claimed(committed.outcomes)
        for counter, count in (
            (self._created, claims.total()),
            (self._confirmed, claims[RegistrationStatus.CONFIRMED] + decided.confirmed),
            (self._waitlisted, claims[RegistrationStatus.WAITLISTED]),
            (self._promoted, len(decided.promoted)),
            (self._expired, len(decided.expired)),
            (self._filled, int(decided.filled)),
        ):
            if count:
                counter.add(count)
        for seconds in decided.waits:
            self._waits.record(seconds)


def claimed(outcomes: Sequence[object]) -> Counter[RegistrationStatus]:
    """Count the claims that made a registration, by its status; a repeat of an earlier one made none."""
    return Counter(
        outcome.answer.status for outcome in outcomes if isinstance(outcome, Claimed) and not outcome.replayed
    )
