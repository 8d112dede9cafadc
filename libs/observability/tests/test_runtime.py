"""Check the metrics of the process."""

import asyncio
import time

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from ticketcap_observability import Telemetry
from ticketcap_observability._metrics.instruments import Instruments
from ticketcap_observability._metrics.process import observe


def test_memory_processors_and_files_are_told() -> None:
    """Whenever metrics are read."""
    reader = InMemoryMetricReader()
    observe(Instruments(MeterProvider([reader], shutdown_on_exit=False).get_meter("t"), strict=True))
    data = reader.get_metrics_data()
    assert data is not None
    [scope] = data.resource_metrics[0].scope_metrics
    values = {metric.name: vars(next(iter(metric.data.data_points)))["value"] for metric in scope.metrics}
    assert values["process.memory.usage"] > 10_000_000
    assert values["process.open_file_descriptors"] >= 3
    assert values["process.cpu.utilization"] >= 0
    assert 0 <= values["process.uptime"] < 10


async def test_a_blocked_event_loop_is_seen() -> None:
    """The test sleeps in the loop for longer than a request may wait."""
    telemetry = Telemetry.in_memory()
    watching = asyncio.create_task(telemetry.watch_loop())
    await asyncio.sleep(0.4)
    time.sleep(0.3)  # noqa: ASYNC251 - that is the fault
    await asyncio.sleep(0.1)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    [point] = telemetry.points("eventloop.lag")
    assert point.max > 0.1
