"""Makes typed instruments out of the schema, and keeps the number of their series bounded.

What a definition does not know raises UnknownLabel when ``strict`` (in tests);
else it is left out, counted in ``telemetry.dropped``, and never fails a request.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics.export import Metric as Metrics

from ticketcap_observability import histograms
from ticketcap_observability.histograms import AddingHistogram
from ticketcap_observability.redaction import redact
from ticketcap_observability.schema.kinds import OTHER, CounterMetric, GaugeMetric, HistogramMetric, Label, Metric
from ticketcap_observability.schema.metrics import DROPPED

Reading = tuple[float, Mapping[str, str]]
"""One value of a gauge and its labels."""
Series = tuple[tuple[str, str], ...]
"""A set of labels, sorted by name."""
Look = Callable[[], Iterable[Reading]]

_LONGEST_VALUE: Final = 200


class UnknownLabel(TypeError):
    """A label, or a value of one, that the metric's definition does not know, or one that is missing."""


class _Labels:
    """The labels that one metric may have; remembers each set that it has let through."""

    def __init__(self, definition: Metric, drop: Callable[[str], None], *, strict: bool) -> None:
        self._definition = definition
        self._drop = drop
        self._strict = strict
        self._known: dict[Series, Series] = {}
        self._values: defaultdict[str, set[str]] = defaultdict(set)

    def of(self, labels: Mapping[str, str]) -> Series:
        """Return ``labels`` as they may go out."""
        series = tuple(labels.items())
        known = self._known.get(series)
        return self._learn(series) if known is None else known

    def _learn(self, series: Series) -> Series:
        wanted = {label.name: label for label in self._definition.labels}
        given = [name for name, _ in series]
        if set(given) != wanted.keys():
            self._refuse("unknown_label", f"has labels {sorted(wanted)}, not {sorted(given)}")
        allowed = tuple(sorted((name, self._value(wanted[name], value)) for name, value in series if name in wanted))
        if set(allowed) == set(series):
            # Only what was let through as it is: there are as many such sets as the definition allows, no more.
            self._known[series] = allowed
        return allowed

    def _value(self, label: Label, value: str) -> str:
        if label.values:
            if value not in label.values:
                self._refuse("unknown_value", f"has {label.name} in {label.values}, not {value!r}")
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

    def _refuse(self, reason: str, why: str) -> None:
        if self._strict:
            raise UnknownLabel(f"{self._definition.name} {why}: change the schema or the call")
        self._drop(reason)


class Counter:
    """Counts; see the definition for its labels.

    It adds up by itself and is asked when metrics are read: the SDK's own
    counter takes ten times as long for each call.
    """

    def __init__(self, labels: _Labels) -> None:
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[Series, int] = {}

    def add(self, amount: int = 1, /, **labels: str) -> None:
        """Count ``amount`` more. Raises UnknownLabel in tests only."""
        series = self._labels.of(labels)
        with self._lock:
            self._counts[series] = self._counts.get(series, 0) + amount

    def observe(self, _options: CallbackOptions) -> list[Observation]:
        """Tell what was counted."""
        with self._lock:
            return [Observation(count, dict(series)) for series, count in self._counts.items()]


class Histogram:
    """Measures; see the definition for its unit and labels."""

    def __init__(self, inner: AddingHistogram | None, labels: _Labels) -> None:
        self._inner = inner
        self._labels = labels
        self._held: dict[Series, histograms.Series] = {}

    def record(self, value: float, context: Context | None = None, /, **labels: str) -> None:
        """Take one measurement, with the span of ``context`` or of now as its exemplar.

        Raises UnknownLabel in tests only.
        """
        series = self._labels.of(labels)
        if self._inner is None:
            return
        held = self._held.get(series)
        if held is None:
            held = self._held[series] = self._inner.series(dict(series))
        held.add(value, context)


class _Gauge:
    """Adds up what all its looks say under the same labels."""

    def __init__(self, definition: GaugeMetric, drop: Callable[[str], None], *, strict: bool) -> None:
        self.looks: list[Look] = []
        self.failure: Exception | None = None
        self._definition = definition
        self._drop = drop
        self._names = {label.name for label in definition.labels}
        self._strict = strict

    def observe(self, _options: CallbackOptions) -> list[Observation]:
        sums: dict[Series, float] = {}
        for look in self.looks:
            for value, labels in look():
                self._add(sums, value, labels)
        return [Observation(value, dict(key)) for key, value in sums.items()]

    def _add(self, sums: dict[Series, float], value: float, labels: Mapping[str, str]) -> None:
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
    """Every instrument of one process; one per definition, however often it is asked for.

    Nothing is measured by histograms when nobody will read them (``read`` is False).
    """

    def __init__(self, meter: Meter, *, strict: bool, read: bool = True) -> None:
        self._meter = meter
        self._strict = strict
        self._read = read
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._adding: dict[str, AddingHistogram] = {}
        self._gauges: dict[str, _Gauge] = {}
        # At once: while metrics are read no instrument can be made, and a gauge may have something to count then.
        self._dropped = self.counter(DROPPED)

    def counter(self, definition: CounterMetric) -> Counter:
        """Return the counter."""
        made = self._counters.get(definition.name)
        if made is None:
            made = self._counters[definition.name] = Counter(self._labels(definition))
            self._meter.create_observable_counter(
                definition.name, [made.observe], definition.unit, definition.description
            )
        return made

    def histogram(self, definition: HistogramMetric) -> Histogram:
        """Return the histogram."""
        made = self._histograms.get(definition.name)
        if made is None:
            inner = self._added_up(definition) if self._read else None
            made = self._histograms[definition.name] = Histogram(inner, self._labels(definition))
        return made

    def conventional(self, definition: HistogramMetric) -> metrics.Histogram:
        """Return OpenTelemetry's own kind of histogram, whose attributes only the conventions name and code bounds."""
        return self._added_up(definition) if self._read else metrics.NoOpHistogram(definition.name)

    def measured(self) -> list[Metrics]:
        """Return what histograms have measured; the meter knows nothing of them."""
        return [metric for each in list(self._adding.values()) if (metric := each.metric()) is not None]

    def _added_up(self, definition: HistogramMetric) -> AddingHistogram:
        made = self._adding.get(definition.name)
        if made is None:
            made = self._adding[definition.name] = AddingHistogram(definition)
        return made

    def gauge(self, definition: GaugeMetric, look: Look) -> None:
        """Ask ``look`` whenever metrics are read. It runs in another thread, must be quick, and looks add up."""
        gauge = self._gauges.get(definition.name)
        if gauge is None:
            gauge = self._gauges[definition.name] = _Gauge(definition, self._drop, strict=self._strict)
            self._meter.create_observable_gauge(
                definition.name, [gauge.observe], definition.unit, definition.description
            )
        gauge.looks.append(look)

    def failures(self) -> list[Exception]:
        """Return what gauges were refused for, which their thread could not raise."""
        return [gauge.failure for gauge in self._gauges.values() if gauge.failure is not None]

    def _labels(self, definition: Metric) -> _Labels:
        return _Labels(definition, self._drop, strict=self._strict)

    def _drop(self, reason: str) -> None:
        self._dropped.add(1, signal="metrics", reason=reason)
