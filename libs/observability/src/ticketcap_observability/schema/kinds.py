"""What a name in the schema is: a span, an attribute, a metric with its labels, or a log event."""

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Self

OTHER: Final = "_OTHER"
"""The value that a label has once it had as many different ones as it may."""

REGISTRATION: Final = "registration"
PAYMENT: Final = "payment"
GATEWAY: Final = "gateway"
WITH_DATABASE: Final = "registration, payment"
EVERY: Final = "every service"


class _Name(str):
    """A name that is used as the text it is, and knows what it means. It does not change."""

    __slots__ = ("description",)
    description: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self}: {name} is fixed, the schema does not change")


class Attribute(_Name):
    """An attribute of a span. ``type`` is what its values are."""

    __slots__ = ("type",)
    type: str

    def __new__(cls, name: str, type_: str, description: str) -> Self:
        """Return the attribute."""
        made = super().__new__(cls, name)
        object.__setattr__(made, "type", type_)
        object.__setattr__(made, "description", description)
        return made


class SpanName(_Name):
    """A span of our own: who makes it, and which attributes of ours it has."""

    __slots__ = ("attributes", "service")
    service: str
    attributes: tuple[Attribute, ...]

    def __new__(cls, name: str, service: str, description: str, *attributes: Attribute) -> Self:
        """Return the span's name."""
        made = super().__new__(cls, name)
        object.__setattr__(made, "service", service)
        object.__setattr__(made, "description", description)
        object.__setattr__(made, "attributes", attributes)
        return made


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a metric: one of ``values``, or, when there are none, at most ``limit`` different texts."""

    name: str
    values: tuple[str, ...] = ()
    limit: int = 0

    @property
    def bound(self) -> int:
        """How many values it can have, _OTHER included."""
        return len(self.values) or self.limit + 1


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric; ``kind`` tells which. Units are UCUM; those in braces are notes and no part of the Prometheus name."""

    name: str
    unit: str
    service: str
    description: str
    labels: tuple[Label, ...] = ()
    kind: ClassVar[str] = "metric"
    suffix: ClassVar[str] = ""

    @property
    def prometheus(self) -> str:
        """The name that Prometheus knows it by, as the collector would spell it too.

        https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
        """
        base = re.sub(r"[^a-zA-Z0-9]+", "_", self.name)
        unit = {"s": "_seconds", "By": "_bytes"}.get(self.unit, "")
        return base + ("" if base.endswith(unit) else unit) + self.suffix


@dataclass(frozen=True, slots=True)
class CounterMetric(Metric):
    """Counts what has happened."""

    kind: ClassVar[str] = "counter"
    suffix: ClassVar[str] = "_total"


@dataclass(frozen=True, slots=True)
class HistogramMetric(Metric):
    """How values spread; ``buckets`` are upper bounds in the metric's unit."""

    buckets: tuple[float, ...] = ()
    kind: ClassVar[str] = "histogram"


@dataclass(frozen=True, slots=True)
class GaugeMetric(Metric):
    """What is so now. ``series`` is the number of different sets of labels that one look may tell."""

    series: int = 100
    kind: ClassVar[str] = "gauge"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A log line of ours: its name is the line's ``event``; ``fields`` are what it may say beside it."""

    name: str
    level: str
    service: str
    description: str
    fields: tuple[str, ...] = ()
