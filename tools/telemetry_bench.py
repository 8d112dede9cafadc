"""Measure telemetry's parts in microseconds: spans, instruments, redaction, the page.

The figures are this machine's, of this moment: compare runs, and read orders of magnitude.
"""

import statistics
import time
import timeit
from collections.abc import Callable
from typing import Any

import httpx
from ticketcap_observability import Telemetry, schema
from ticketcap_observability._export.redacted_spans import redacted
from ticketcap_observability.redaction import redact_all

LINE = {
    "event": "lane.retry",
    "event_id": "0192f3c4-1111-7abc-8def-0123456789ab",
    "reason": "CONTENDED",
    "pause_seconds": 0.05,
    "job": "hold_expiry",
}
PERSONAL = {
    "event": "call 050-123 4567 or dana@x.co.il about 4111 1111 1111 1111, id 123456782 at 2026-11-24T22:46:13Z"
}
SPAN: dict[str, Any] = {
    "event.id": "0192f3c4-1111-7abc-8def-0123456789ab",
    "school.id": "herzl",
    "registration.spots": 1,
    "registration.status": "CONFIRMED",
    "registration.confirmationCode": "K7MNP2Q4",
}


def microseconds(work: Callable[[], Any], number: int = 2000) -> float:
    return min(timeit.repeat(work, number=number, repeat=5)) / number * 1e6


def seconds_of(address: str) -> float:
    time.sleep(0.6)
    began = time.perf_counter()
    httpx.get(address, trust_env=False)
    return time.perf_counter() - began


def main() -> None:
    telemetry = Telemetry.start("bench", "1", {}, metrics_address="127.0.0.1:0", set_global=False)
    span: Any = telemetry.tracer.start_span("registration.create", attributes=SPAN)
    duration = telemetry.histogram(schema.REGISTRATION_DURATION)
    count = telemetry.counter(schema.API_REQUEST_COUNT)
    for number in range(50):
        count.add(1, method="GET", route=f"/{number}")
    for name, work in (
        ("redact a log line", lambda: redact_all(LINE)),
        ("redact a line full of personal data", lambda: redact_all(PERSONAL)),
        ("redact a span", lambda: redacted(span)),
        ("histogram.record", lambda: duration.record(0.01, outcome="confirmed")),
        ("counter.add", lambda: count.add(1, method="GET", route="/1")),
    ):
        print(f"{name:40} {microseconds(work):8.1f} us")
    address = f"http://127.0.0.1:{telemetry.metrics_port}/metrics"
    page = httpx.get(address, trust_env=False).content
    # The page is cached for half a second: take each look at another moment.
    took = statistics.median(seconds_of(address) for _ in range(5)) * 1e6
    print(f"{'a page of ' + str(page.count(bytes([10]))) + ' lines':40} {took:8.1f} us")


if __name__ == "__main__":
    main()
