"""The instruments of the payment service."""

import time
from collections.abc import Mapping
from typing import Final

from ticketcap_observability import Telemetry, schema

_ESCALATED: Final = ("payment", "refund", "return", "seat")


class Metrics:
    """What is counted, and what is looked at when somebody asks."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._created = telemetry.counter(schema.PAYMENT_CREATED)
        self._completed = telemetry.counter(schema.PAYMENT_COMPLETED)
        self._failed = telemetry.counter(schema.PAYMENT_FAILED)
        self._refused = telemetry.counter(schema.PAYMENT_RETURN_REFUSED)
        self._processing = telemetry.histogram(schema.PAYMENT_PROCESSING_TIME)
        self._amount = telemetry.histogram(schema.PAYMENT_AMOUNTS)
        self._unsettled: Mapping[tuple[str, str], int] = {}
        self._escalated: Mapping[str, int] = {}
        self._lag = 0.0
        self._feed_read_at = time.monotonic()
        telemetry.gauge(schema.PAYMENT_UNSETTLED, self._look_at_unsettled)
        telemetry.gauge(schema.PAYMENT_ESCALATED, self._look_at_escalated)
        telemetry.gauge(schema.OUTBOX_LAG, lambda: [(self._lag, {})])
        telemetry.gauge(schema.FEED_AGE, lambda: [(time.monotonic() - self._feed_read_at, {})])

    def created(self) -> None:
        """A payment was opened."""
        self._created.add()

    def completed(self, amount_agorot: int, currency: str) -> None:
        """Money was taken."""
        self._completed.add()
        if currency == "ILS":
            self._amount.record(amount_agorot / 100)

    def failed(self, reason: str) -> None:
        """A payment ended without money; ``reason`` is one of few words."""
        self._failed.add(reason=reason)

    def return_refused(self, reason: str) -> None:
        """A return was not believed; ``reason`` is one of few words."""
        self._refused.add(reason=reason)

    def processed(self, seconds: float, outcome: str) -> None:
        """So long it took from the return to the capture's outcome."""
        self._processing.record(seconds, outcome=outcome)

    def feed_read(self) -> None:
        """The changes of registrations were read to their end."""
        self._feed_read_at = time.monotonic()

    def backlog(self, unsettled: Mapping[tuple[str, str], int], escalated: Mapping[str, int], lag: float) -> None:
        """What hangs now; told until the next look."""
        self._unsettled, self._escalated, self._lag = unsettled, escalated, lag

    def _look_at_unsettled(self) -> list[tuple[float, dict[str, str]]]:
        return [(number, {"kind": kind, "age": age}) for (kind, age), number in self._unsettled.items()]

    def _look_at_escalated(self) -> list[tuple[float, dict[str, str]]]:
        # A kind of which nothing waits is told as well: an alert needs to see it go back to 0.
        return [(self._escalated.get(kind, 0), {"kind": kind}) for kind in _ESCALATED]
