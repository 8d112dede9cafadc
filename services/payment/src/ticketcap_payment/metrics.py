"""The instruments of the payment service."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.metrics import CallbackOptions, Observation
from ticketcap_observability import Telemetry, schema

_AMOUNT_BUCKETS: Final = (1, 5, 10, 25, 50, 100, 200, 300, 500, 1000, 2500, 5000, 10_000)
"""ILS."""
_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Metrics:
    """What is counted, and what is looked at when somebody asks."""

    def __init__(self, telemetry: Telemetry) -> None:
        meter = telemetry.meter
        self._created = meter.create_counter(schema.PAYMENT_CREATED)
        self._completed = meter.create_counter(schema.PAYMENT_COMPLETED)
        self._failed = meter.create_counter(schema.PAYMENT_FAILED)
        self._refused = meter.create_counter(schema.PAYMENT_RETURN_REFUSED)
        self._processing = telemetry.duration(schema.PAYMENT_PROCESSING_TIME, _SECONDS)
        self._amount = meter.create_histogram(
            schema.PAYMENT_AMOUNTS, unit="{ILS}", explicit_bucket_boundaries_advisory=list(_AMOUNT_BUCKETS)
        )
        self._unsettled: Mapping[tuple[str, str], int] = {}
        self._escalated: Mapping[str, int] = {}
        self._lag = 0.0
        self._observe(telemetry)

    def created(self) -> None:
        """A payment was opened."""
        self._created.add(1)

    def completed(self, amount_agorot: int, currency: str) -> None:
        """Money was taken."""
        self._completed.add(1)
        if currency == "ILS":
            self._amount.record(amount_agorot / 100)

    def failed(self, reason: str) -> None:
        """A payment ended without money; ``reason`` is one of few words."""
        self._failed.add(1, {"reason": reason})

    def return_refused(self, reason: str) -> None:
        """A return was not believed; ``reason`` is one of few words."""
        self._refused.add(1, {"reason": reason})

    def processed(self, seconds: float, outcome: str) -> None:
        """So long it took from the return to the capture's outcome."""
        self._processing.record(seconds, {"outcome": outcome})

    def backlog(self, unsettled: Mapping[tuple[str, str], int], escalated: Mapping[str, int], lag: float) -> None:
        """What hangs now; told until the next look."""
        self._unsettled, self._escalated, self._lag = unsettled, escalated, lag

    def _observe(self, telemetry: Telemetry) -> None:
        gauges: dict[str, Callable[[], Iterable[Observation]]] = {
            schema.PAYMENT_UNSETTLED: lambda: [
                Observation(number, {"kind": kind, "age": age}) for (kind, age), number in self._unsettled.items()
            ],
            schema.PAYMENT_ESCALATED: lambda: [
                Observation(self._escalated.get(kind, 0), {"kind": kind})
                for kind in ("payment", "refund", "return", "seat")
            ],
            schema.OUTBOX_LAG: lambda: [Observation(self._lag)],
        }
        for name, look in gauges.items():
            telemetry.meter.create_observable_gauge(name, [_callback(look)])


def _callback(look: Callable[[], Iterable[Observation]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: look()
