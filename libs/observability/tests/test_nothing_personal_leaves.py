"""Plant personal data in telemetry and search the exported bytes."""

import json
import os
import subprocess
import sys

from otlp_receiver import OtlpReceiver

PLANTED = {
    "phones": ["050-123-4567", "+972 52 765 4321", "03-6123456"],
    "e-mail": ["dana.cohen@school.co.il"],
    "id": ["123456782"],
    "card": ["4111 1111 1111 1111"],
    "key": ["7110eda4d09e062aa5e4a390b0a572ac0d2c0220"],
    "token": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkYW5hIn0.c2lnbmF0dXJl"],
    "header": ["Bearer abcdefghij"],
    "name": ["דנה כהן"],
    "manage token": ["mt_0123456789"],
}
ALL = [text for texts in PLANTED.values() for text in texts]

SERVICE = """
import asyncio, json, logging, sys
from opentelemetry import baggage
from opentelemetry.trace import Link, Status, StatusCode
from ticketcap_observability import Telemetry, configure_logging, get_logger, schema
from ticketcap_observability._propagation import Propagator

inject = Propagator().inject
planted, hidden = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def fail(text):
    raise ValueError(text)

async def main():
    configure_logging("shop", "1", "DEBUG")
    telemetry = Telemetry.start("shop", "1", metrics_address="127.0.0.1:0")
    log = get_logger("shop")
    for text in planted:
        with telemetry.tracer.start_as_current_span(f"look up {text}") as span:
            span.set_attribute("query", f"SELECT 1 WHERE x = '{text}'")
            span.set_attribute("values", [text, "harmless"])
            span.set_attribute(text, 1)
            span.add_event(f"heard {text}", {"said": text})
            span.add_link(span.get_span_context(), {"who": text})
            try:
                fail(text)
            except ValueError as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                log.error("failed", exc_info=error, why=str(error), nested={"a": [text]}, error=error)
                logging.getLogger("lib").exception("of a library: %s", text, extra={"more": text})
            telemetry.counter(schema.PAYMENT_FAILED).add(1, reason=text, school_synthetic="false")
            telemetry.duration(schema.HTTP_SERVER_DURATION).record(1, {"http.route": text})
            school = {"school_id": text, "school_slug": text, "school_synthetic": "false"}
            telemetry.gauge(schema.ACTIVE_EVENTS, lambda school=school: [(1, school)])
            print("carried", inject(baggage.set_baggage("said", text)), flush=True)
    with telemetry.tracer.start_as_current_span("by a message") as span:
        try:
            fail(f"no place for {hidden[0][1]}")
        except ValueError as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            log.error("failed", exc_info=error)
    for key, text in hidden:
        with telemetry.tracer.start_as_current_span("by key", attributes={key: text}):
            log.info("x", **{key: text}, request={key: text})
            logging.getLogger("lib").warning(f"{key}={text!r}", extra={"person": {key: text}})
            print("carried", inject(baggage.set_baggage(key, text)), flush=True)
    log.info("alive", event_id="0192f3c4-1111-7abc-8def-0123456789ab", code="K7MNP2Q4")
    await telemetry.shutdown()

asyncio.run(main())
"""


def test_nothing_personal_leaves() -> None:
    """Spans, their events, links, errors and status; log lines on stdout and over OTLP; metrics; baggage."""
    by_shape = [text for kind, texts in PLANTED.items() if kind not in {"name", "manage token"} for text in texts]
    by_key = [("name", PLANTED["name"][0]), ("manage_token", PLANTED["manage token"][0])]
    with OtlpReceiver() as receiver:
        done = subprocess.run(
            [sys.executable, "-c", SERVICE, json.dumps(by_shape), json.dumps(by_key)],
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                "OTEL_METRICS_EXPORTER": "otlp",
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    left = {
        "stdout": done.stdout.encode(),
        **{path: b"".join(bodies) for path, bodies in receiver.bodies.items()},
    }
    assert all(left.values()), "something was not exported at all"
    found = [(place, text) for place, data in left.items() for text in ALL if text.encode() in data]
    digits = ["0501234567", "972527654321", "4111111111111111"]
    found += [(place, text) for place, data in left.items() for text in digits if text.encode() in data]
    assert found == []
    for place in ("stdout", "/v1/logs"):
        assert b"0192f3c4-1111-7abc-8def-0123456789ab" in left[place]
        assert b"K7MNP2Q4" in left[place]
