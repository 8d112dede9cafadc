"""Test the services under the real collector, Jaeger and Prometheus.

`make backends` builds the two that Debian has not, and runs these tests.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from deploy.grafana.panels import without_variables
from tests.canary.people import People, Planted
from tests.deploy import raw_otlp
from tests.deploy.backends import Backends, backends
from tests.deploy.monitoring import Monitoring, monitoring
from tests.deploy.test_dashboards import queries
from tests.deploy.test_dashboards_live import BACKENDS_ONLY, figures
from tests.deploy.test_runbooks import RUNBOOKS, blocks
from tests.stack_under_test import stack
from tests.traces.world import World, trace_id_of, until

pytestmark = [pytest.mark.backends, pytest.mark.timeout(300)]

REGISTER = "POST /api/v1/schools/{school}/events/{event}/registrations"
RETURN = "GET /api/v1/payments/yaadpay/return"
SEARCHES = sorted({search for path in RUNBOOKS for search in blocks(path, "jaeger")})
POLL = "ticketcap.registration.v1.RegistrationService/ListChanges"
RARE = ("payment", "payment.reconcile")
"""Made for what hung for minutes; services/payment/tests/test_payment_jobs.py has it."""
LOST = "sum by (exporter) (rate(otelcol_exporter_send_failed_spans_total[5m]))"
QUERIES = sorted({query for _, query in queries() if any(name in query for name in BACKENDS_ONLY)} - {LOST})
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Watched:
    """A system that runs, and all that receives its telemetry."""

    world: World
    receives: Backends
    prometheus: Monitoring
    began: float


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("backends")
    began = time.time()
    with backends(folder) as receives:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receives.otlp}
        with stack(folder, settings) as running, monitoring(folder, receives.pages, scrape_seconds=0.3) as prometheus:
            yield Watched(World(running), receives, prometheus, began)


# Traces


def test_jaeger_shows_a_payment_from_the_browser_to_the_seat(watched: Watched) -> None:
    """Three services in one tree: each span has its parent in it, one has none; over HTTP, gRPC, SQL and to YaadPay."""
    back = watched.world.way_back(watched.world.opened(watched.world.hold()))
    answer = watched.world.get(back)
    assert answer.status_code == 303
    trace = watched.receives.trace(trace_id_of(answer), RETURN, "payment.capture", "seats.write")
    assert {process["serviceName"] for process in trace["processes"].values()} == {
        "gateway",
        "payment",
        "registration",
    }
    names = {span["spanID"]: span["operationName"] for span in trace["spans"]}
    assert [span["operationName"] for span in trace["spans"] if not span["references"]] == [RETURN]
    parents = {
        span["operationName"]: names[reference["spanID"]]
        for span in trace["spans"]
        for reference in span["references"]
        if reference["refType"] == "CHILD_OF"
    }
    assert parents["payment.return"] == "ticketcap.payment.v1.PaymentService/SettleReturn"
    assert parents["POST yaadpay commitTrans"] == "payment.capture"
    assert not [span["warnings"] for span in trace["spans"] if span["warnings"]]


def test_jaeger_finds_a_refusal_by_its_status(watched: Watched) -> None:
    """As the runbooks search: by service, operation and the tag ``error``; what went well is not among it."""
    good = trace_id_of(watched.world.get("/api/v1/schools/herzl/events"))
    watched.world.fault("commitTrans", "http_500")
    failed = watched.world.get(watched.world.way_back(watched.world.opened(watched.world.hold())))
    watched.world.no_faults()
    watched.receives.trace(trace_id_of(failed), RETURN, "payment.capture")
    watched.receives.trace(good)
    since = {"start": int(watched.began * _MICROSECONDS), "end": int(time.time() * _MICROSECONDS), "limit": 50}
    search = {"service": "payment", "tags": '{"error":"true"}', **since}
    found = {trace["traceID"] for trace in watched.receives.query("/api/traces", **search)}
    assert trace_id_of(failed) in found
    assert good not in found


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_of_a_runbook_is_answered(watched: Watched, search: str) -> None:
    """Jaeger takes each parameter, and what is searched for by name is a name that the services use."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(search).query).items()}
    hours = re.fullmatch(r"(\d+)([mh])", asked.pop("lookback"))
    assert hours
    seconds = int(hours[1]) * {"m": 60, "h": 3600}[hours[2]]
    now = int(time.time() * _MICROSECONDS)
    found = watched.receives.query("/api/traces", start=now - seconds * _MICROSECONDS, end=now, **asked)
    least = _duration(asked.get("minDuration", "0ms"))
    for trace in found or []:
        # Jaeger asks of a trace, not of one span, that it has them all.
        spans = [s for s in trace["spans"] if trace["processes"][s["processID"]]["serviceName"] == asked["service"]]
        tags = {(tag["key"], str(tag["value"]).lower()) for span in spans for tag in span["tags"]}
        assert asked.get("operation") in {None, *(span["operationName"] for span in spans)}
        assert json.loads(asked.get("tags", "{}")).items() <= tags
        assert max(span["duration"] for span in spans) >= least * _MICROSECONDS


def _duration(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def test_every_operation_that_the_runbooks_search_for_is_one(watched: Watched) -> None:
    """Jaeger has met them: a renamed span would make a search find nothing, for ever."""
    world = watched.world
    world.paid()
    world.fault("commitTrans", "http_500")
    world.get(world.way_back(world.opened(world.hold())))
    world.no_faults()
    operations = {
        (asked["service"][0], asked["operation"][0])
        for search in SEARCHES
        if "operation" in (asked := parse_qs(urlsplit(search).query))
    } - {RARE}

    def met() -> set[tuple[str, str]]:
        return {
            (service, operation["name"])
            for service in ("gateway", "payment", "registration")
            for operation in watched.receives.query("/api/operations", service=service)
        }

    ends = time.monotonic() + 60
    while (missing := operations - met()) and time.monotonic() < ends:
        time.sleep(1)
    assert not missing


# Sampling


def test_errors_slow_ones_and_money_are_kept_whatever_else_is_not(tmp_path: Path) -> None:
    """Sampling keeps whole traces: a quiet root stays when a span below it failed. Plain traces are the control."""
    error = Status(code=Status.STATUS_CODE_ERROR)
    root = raw_otlp.span("root of a failure")
    survivors = [
        root,
        raw_otlp.span("failed", status=error, trace_id=root.trace_id, parent=root.span_id),
        raw_otlp.span("slow", milliseconds=1100),
        raw_otlp.span("money", values={"payment.id": "0198f3c4-7b1e-7cc3-98c4-dc0c0c07398f"}),
    ]
    left = [raw_otlp.span("plain"), raw_otlp.span("nearly slow", milliseconds=900)]
    with backends(tmp_path, TRACE_KEEP_PERCENT="0") as receives:
        raw_otlp.post(receives.otlp, raw_otlp.traces("gateway", [*left, *survivors]))
        for span in survivors:
            receives.trace(span.trace_id.hex(), span.name)
        assert not [span.name for span in left if receives.has(span.trace_id.hex())]
        page = httpx.get(f"http://{receives.pages['otel-collector']}/metrics", trust_env=False).text
        assert 'sampling_global_count_traces_sampled_total{decision="not_sampled",sampled="false"} 2' in _unscoped(page)


def _unscoped(page: str) -> str:
    return page.replace("otelcol_processor_tail_", "")


def test_what_asks_every_second_is_left_unless_it_fails(watched: Watched) -> None:
    """Payment reads registration's changes all the time; Jaeger would show little else."""
    poll: dict[str, raw_otlp.Value] = {"rpc.method": POLL}
    error = Status(code=Status.STATUS_CODE_ERROR)
    left, failure = raw_otlp.span("poll", values=poll), raw_otlp.span("failed poll", values=poll, status=error)
    later = raw_otlp.span("later")
    raw_otlp.post(watched.receives.otlp, raw_otlp.traces("payment", [left, failure, later]))
    for span in (failure, later):
        watched.receives.trace(span.trace_id.hex(), span.name)
    assert not watched.receives.has(left.trace_id.hex())
    assert POLL not in {span["name"] for span in watched.receives.query("/api/operations", service="payment")}


# Personal data


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_the_second_wall_holds_alone(watched: Watched, over: str) -> None:
    """Redact by name and by value, in every text of spans, events and log lines."""
    people = People(seed := int(os.environ.get("CANARY_SEED") or secrets.randbits(32)))
    print(f"CANARY_SEED={seed}")
    request = raw_otlp.traces("wall", [_planted(people)], {"owner": people.emails[0]})
    trace_id = request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex()
    if over == "http":
        raw_otlp.post(watched.receives.otlp, request)
    else:
        raw_otlp.call(watched.receives.otlp_grpc, request)
    line = f"a line about {' and '.join(_recognised(people))}"
    raw_otlp.post(watched.receives.otlp, raw_otlp.logs("wall", [line], {**_hidden(people), "note": line}))
    arrived = json.dumps(watched.receives.trace(trace_id), ensure_ascii=False).encode()
    until(lambda: b"a line about" in watched.receives.logs.sent_to("/v1/logs"))
    assert not _found(people, arrived)
    assert not _found(people, watched.receives.logs.sent_to("/v1/logs"))
    assert b"kept as it is" in arrived
    # The control: the search would have found them.
    assert {planted.kind for planted in _found(people, request.SerializeToString())} == _KINDS
    assert _found(people, line.encode())


_KINDS = {"name", "phone", "e-mail", "id", "card", "KEY", "PassP", "JWT", "token", "idempotency key"}


def _found(people: People, content: bytes) -> list[Planted]:
    return [planted for planted in people.everything() if any(form in content for form in planted.forms())]


def _recognised(people: People) -> list[str]:
    """Return the texts that the redaction recognises by their shape."""
    return [*people.phones, *people.emails, *people.ids, *people.cards, people.key, people.jwt, "Bearer " + people.key]


def _hidden(people: People) -> dict[str, raw_otlp.Value]:
    """Return the texts that the redaction recognises by their attribute's name."""
    return {
        "client_name": people.names[0],
        "parent.name": people.names[1],
        "name": people.names[2],
        "FullName": people.names[3],
        "manage_token": people.tokens[0],
        "pay-token": people.tokens[1],
        "PassP": people.passp,
        "idempotency.key": people.idempotency_keys[0],
        "http.request.header.authorization": people.jwt,
        "yaadpay.key": people.key,
    }


def _planted(people: People) -> Span:
    texts = {f"note.{number}": f"about {text}, again" for number, text in enumerate(_recognised(people))}
    numbers: dict[str, raw_otlp.Value] = {"a.number": int(people.ids[0]), "a.card": int(people.cards[0])}
    harmless: dict[str, raw_otlp.Value] = {
        "event.id": "0198f3c4-7b1e-7cc3-98c4-dc0c0c07398f",
        "plain": "kept as it is",
        "ratio": 0.123456789,
    }
    everything: dict[str, raw_otlp.Value] = {**texts, **numbers, **_hidden(people), **harmless}
    everything["list"] = _recognised(people)
    text = " ".join(_recognised(people))
    event = Span.Event(name=f"event of {text}", attributes=raw_otlp.attributes(everything))
    status = Status(code=Status.STATUS_CODE_ERROR, message=f"failed for {text}")
    return raw_otlp.span(f"GET /{text}", values=everything, events=[event], status=status)


def test_what_is_harmless_passes_the_wall(watched: Watched) -> None:
    """Ids, times, statements, addresses, amounts and fractions arrive as they were sent."""
    values: dict[str, raw_otlp.Value] = {
        "event.id": "0198f3c4-7b1e-7cc3-8123-123456789012",
        "db.query.text": "SELECT id FROM registrations WHERE event_id = $1 AND status = $2",
        "starts.at": "2030-05-01T08:00:00Z",
        "server.address": "127.0.0.1:50051",
        "payment.amount_agorot": 4990,
        "wait.seconds": 0.123456789012,
        "deadline.remaining_ms": 1500,
        "school.slug": "herzl",
        "url.path": "/api/v1/schools/herzl/events/spring-trip/registrations",
    }
    span = raw_otlp.span("POST /api/v1/schools/{school}/events/{event}/registrations", values=values)
    version = {"service.version": "ticketcap@0.1.0+3f786850e387550fdab836ed7e6dc881de23001b"}
    raw_otlp.post(watched.receives.otlp, raw_otlp.traces("harmless", [span], version))
    trace = watched.receives.trace(span.trace_id.hex(), span.name)
    tags = {tag["key"]: tag["value"] for tag in trace["spans"][0]["tags"]}
    assert tags.items() >= values.items()
    process = {tag["key"]: tag["value"] for tag in trace["processes"]["p1"]["tags"]}
    assert process["service.version"] == version["service.version"]


# Metrics and logs


def test_log_lines_arrive_with_the_trace_they_belong_to(watched: Watched) -> None:
    """In Loki's place, over OTLP: each with a service, and one with the trace of a call that failed."""
    world = watched.world
    world.fault("commitTrans", "http_500")
    failed = world.get(world.way_back(world.opened(world.hold())))
    world.no_faults()
    trace_id = bytes.fromhex(trace_id_of(failed))
    until(lambda: trace_id in watched.receives.logs.sent_to("/otlp/v1/logs"), 30)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_about_the_collector_returns_figures(watched: Watched, query: str) -> None:
    """The panels that only the real collector fills."""
    ends = time.time() + 60
    while not (found := figures(watched.prometheus, without_variables(query), watched.began)) and time.time() < ends:
        watched.world.get("/api/v1/schools/herzl/events/no-such-event")
        time.sleep(0.5)
    assert found


def test_a_span_metric_names_a_trace(watched: Watched) -> None:
    """Exemplars: from a slow point of a panel to its trace."""
    until(lambda: "# {" in _spans_page(watched), 60)
    assert "trace_id=" in _spans_page(watched)


def _spans_page(watched: Watched) -> str:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    return httpx.get(f"http://{watched.receives.pages['spans']}/metrics", headers=accept, trust_env=False).text


# Trouble


def test_jaeger_that_is_gone_is_noticed(tmp_path: Path) -> None:
    """Its collector can't pass on: CollectorExportFailing fires, and resolves when Jaeger is there again."""
    with (
        backends(tmp_path) as receives,
        monitoring(tmp_path, receives.pages, hurry=60, scrape_seconds=0.3) as prometheus,
    ):
        prometheus.wait_for_scrapes("otel-collector")
        receives.jaeger.kill()

        def more() -> bool:
            raw_otlp.post(receives.otlp, raw_otlp.traces("gateway", [raw_otlp.span("lost")]))
            time.sleep(0.5)
            return "CollectorExportFailing" in prometheus.firing()

        until(more, 150)
        began = time.time() - 60
        assert LOST in {query for _, query in queries()}
        assert max(figures(prometheus, LOST, began)) > 0
        receives.jaeger.start()
        prometheus.wait_until_resolved("CollectorExportFailing", 90)
        span = raw_otlp.span("after it")
        raw_otlp.post(receives.otlp, raw_otlp.traces("gateway", [span]))
        receives.trace(span.trace_id.hex(), "after it")
