"""Make instruments from the schema, and bound the number of their series.

A label or a value that the definition does not list raises UnknownLabel when ``strict`` (in tests). In production it is
left out and counted in ``telemetry.dropped``; it never fails a request.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ticketcap_observability._fast.meter import FastMeter
from ticketcap_observability.redaction import redact
from ticketcap_observability.schema.kinds import OTHER, CounterMetric, GaugeMetric, HistogramMetric, Label, Metric
from ticketcap_observability.schema.metrics import DROPPED

Reading = tuple[float, Mapping[str, str]]
"""One value of a gauge and its labels."""
Look = Callable[[], Iterable[Reading]]

_Series = tuple[tuple[str, str], ...]
_LONGEST_VALUE: Final = 200


class UnknownLabel(TypeError):
    """A label or a value that the metric's definition does not list, or a label that is missing."""


class _Labels:
    """The labels of one metric. Sets that the definition allows are remembered: they are a bounded number."""

    def __init__(self, definition: Metric, drop: Callable[[str], None], *, strict: bool) -> None:
        self._definition = definition
        self._drop = drop
        self._strict = strict
        self._allowed: dict[_Series, dict[str, str]] = {}
        self._values: defaultdict[str, set[str]] = defaultdict(set)

    def of(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return ``labels`` as they may go out."""
        series = tuple(labels.items())
        allowed = self._allowed.get(series)
        return self._check(series) if allowed is None else allowed

    def _check(self, series: _Series) -> dict[str, str]:
        listed = {label.name: label for label in self._definition.labels}
        names = [name for name, _ in series]
        if set(names) != listed.keys():
            self._reject("unknown_label", f"has labels {sorted(listed)}, not {sorted(names)}")
        allowed = {name: self._value(listed[name], value) for name, value in sorted(series) if name in listed}
        if allowed == dict(series):
            # Only a set that goes out unchanged, so that rejected values can't fill the memory.
            self._allowed[series] = allowed
        return allowed

    def _value(self, label: Label, value: str) -> str:
        if label.values:
            if value not in label.values:
                self._reject("unknown_value", f"has {label.name} in {label.values}, not {value!r}")
                return OTHER
            return value
        seen = self._values[label.name]
        value = redact(str(value)[:_LONGEST_VALUE])
        if value not in seen:
            if len(seen) >= label.limit:
                self._drop("label_limit")
                return OTHER
            seen.add(value)
        return value

    def _reject(self, reason: str, why: str) -> None:
        if self._strict:
            raise UnknownLabel(f"{self._definition.name} {why}: change the schema or the call")
        self._drop(reason)


class Counter:
    """A counter with the labels of its definition."""

    def __init__(self, inner: metrics.Counter, labels: _Labels) -> None:
        self._inner = inner
        self._labels = labels

    def add(self, amount: int = 1, /, **labels: str) -> None:
        """Count ``amount`` more. Raises UnknownLabel in tests only."""
        self._inner.add(amount, self._labels.of(labels))


class Histogram:
    """A histogram with the unit and the labels of its definition."""

    def __init__(self, inner: metrics.Histogram, labels: _Labels) -> None:
        self._inner = inner
        self._labels = labels

    def record(self, value: float, context: Context | None = None, /, **labels: str) -> None:
        """Record one measurement; its exemplar is the span of ``context``, or the current one.

        Raises UnknownLabel in tests only.
        """
        self._inner.record(value, self._labels.of(labels), context)


class _Gauge:
    """A gauge: the sum of the values that its looks report under the same labels."""

    def __init__(self, definition: GaugeMetric, drop: Callable[[str], None], *, strict: bool) -> None:
        self.looks: list[Look] = []
        self.failure: Exception | None = None
        self._definition = definition
        self._drop = drop
        self._names = {label.name for label in definition.labels}
        self._strict = strict

    def observe(self, _options: CallbackOptions) -> list[Observation]:
        sums: dict[_Series, float] = {}
        for look in self.looks:
            for value, labels in look():
                self._add(sums, value, labels)
        return [Observation(value, dict(key)) for key, value in sums.items()]

    def _add(self, sums: dict[_Series, float], value: float, labels: Mapping[str, str]) -> None:
        if labels.keys() != self._names:
            if self._strict:
                self.failure = UnknownLabel(f"{self._definition.name} has labels {sorted(self._names)}, not {labels}")
            self._drop("unknown_label")
            return
        key = tuple(sorted((name, redact(text)) for name, text in labels.items()))
        if key not in sums and len(sums) >= self._definition.series:
            self._drop("label_limit")
            return
        sums[key] = sums.get(key, 0) + value


class Instruments:
    """The instruments of one process: one for each definition."""

    def __init__(self, meter: Meter, *, strict: bool, fast: FastMeter | None = None) -> None:
        self._meter = meter
        self._fast = fast
        self._strict = strict
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._conventional: dict[str, metrics.Histogram] = {}
        self._gauges: dict[str, _Gauge] = {}
        # First: no instrument can be made while metrics are read, and a gauge may have to count something then.
        self._dropped = self.counter(DROPPED)

    def counter(self, definition: CounterMetric) -> Counter:
        """Return the counter of ``definition``."""
        if definition.name not in self._counters:
            inner = self._meter.create_counter(definition.name, definition.unit, definition.description)
            self._counters[definition.name] = Counter(inner, self._labels(definition))
        return self._counters[definition.name]

    def histogram(self, definition: HistogramMetric) -> Histogram:
        """Return the histogram of ``definition``."""
        if definition.name not in self._histograms:
            labels = self._labels(definition)
            self._histograms[definition.name] = Histogram(self.conventional(definition), labels)
        return self._histograms[definition.name]

    def conventional(self, definition: HistogramMetric) -> metrics.Histogram:
        """Return OpenTelemetry's own instrument, for attributes that the conventions name; the caller bounds them."""
        if definition.name not in self._conventional:
            self._conventional[definition.name] = self._make_histogram(definition)
        return self._conventional[definition.name]

    def gauge(self, definition: GaugeMetric, look: Look) -> None:
        """Call ``look`` at each read of metrics. It runs in another thread and must be quick; looks add up."""
        gauge = self._gauges.get(definition.name)
        if gauge is None:
            gauge = self._gauges[definition.name] = _Gauge(definition, self._drop, strict=self._strict)
            self._meter.create_observable_gauge(
                definition.name, [gauge.observe], definition.unit, definition.description
            )
        gauge.looks.append(look)

    def failures(self) -> list[Exception]:
        """Return the errors of gauges; their thread could not raise them."""
        return [gauge.failure for gauge in self._gauges.values() if gauge.failure is not None]

    def _make_histogram(self, definition: HistogramMetric) -> metrics.Histogram:
        if self._fast is not None:
            return self._fast.histogram(definition)
        buckets = definition.buckets
        return self._meter.create_histogram(
            definition.name, definition.unit, definition.description, explicit_bucket_boundaries_advisory=buckets
        )

    def _labels(self, definition: Metric) -> _Labels:
        return _Labels(definition, self._drop, strict=self._strict)

    def _drop(self, reason: str) -> None:
        self._dropped.add(1, signal="metrics", reason=reason)
