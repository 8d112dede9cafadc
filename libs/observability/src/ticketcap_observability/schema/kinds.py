"""Define the kinds of names: span, attribute, metric, label, log event."""

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Self

OTHER: Final = "_OTHER"
"""The value of a label after its limit of different values."""

REGISTRATION: Final = "registration"
PAYMENT: Final = "payment"
GATEWAY: Final = "gateway"
WITH_DATABASE: Final = "registration, payment"
EVERY: Final = "every service"


class _Name(str):
    """A text with a description. It is immutable."""

    __slots__ = ("description",)
    description: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self}: {name} is fixed: the schema is immutable")


class Attribute(_Name):
    """An attribute of a span; ``type`` is that of its values."""

    __slots__ = ("type",)
    type: str

    def __new__(cls, name: str, type_: str, description: str) -> Self:
        """Return the attribute."""
        attribute = super().__new__(cls, name)
        object.__setattr__(attribute, "type", type_)
        object.__setattr__(attribute, "description", description)
        return attribute


class SpanName(_Name):
    """A span of TicketCap: the service that starts it, and its own attributes."""

    __slots__ = ("attributes", "service")
    service: str
    attributes: tuple[Attribute, ...]

    def __new__(cls, name: str, service: str, description: str, *attributes: Attribute) -> Self:
        """Return the span's name."""
        span_name = super().__new__(cls, name)
        object.__setattr__(span_name, "service", service)
        object.__setattr__(span_name, "description", description)
        object.__setattr__(span_name, "attributes", attributes)
        return span_name


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric: one of ``values``; without them at most ``limit`` different texts."""

    name: str
    values: tuple[str, ...] = ()
    limit: int = 0

    @property
    def bound(self) -> int:
        """The number of values that it can have, _OTHER included."""
        return len(self.values) or self.limit + 1


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a ``kind``. Units are UCUM; a unit in braces is no part of the Prometheus name."""

    name: str
    unit: str
    service: str
    description: str
    labels: tuple[Label, ...] = ()
    kind: ClassVar[str] = "metric"
    suffix: ClassVar[str] = ""

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, spelled as the collector would spell it.

        https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
        """
        base = re.sub(r"[^a-zA-Z0-9]+", "_", self.name)
        unit = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return base + ("" if base.endswith(unit) else unit) + self.suffix


@dataclass(frozen=True, slots=True)
class CounterMetric(Metric):
    """A count of things that happened."""

    kind: ClassVar[str] = "counter"
    suffix: ClassVar[str] = "_total"


@dataclass(frozen=True, slots=True)
class HistogramMetric(Metric):
    """A distribution of values; ``buckets`` are upper bounds in the metric's unit."""

    buckets: tuple[float, ...] = ()
    kind: ClassVar[str] = "histogram"


@dataclass(frozen=True, slots=True)
class GaugeMetric(Metric):
    """A current value. One look may report at most ``series`` sets of labels."""

    series: int = 100
    kind: ClassVar[str] = "gauge"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A log line of TicketCap: ``name`` is its event, ``fields`` are its possible fields."""

    name: str
    level: str
    service: str
    description: str
    fields: tuple[str, ...] = ()
