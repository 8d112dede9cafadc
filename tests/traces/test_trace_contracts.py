"""Test every HTTP call's trace as it arrives over OTLP.

With TRACES_THROUGH=collector, as `make backends` runs them, what the real collector passes on.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.deploy.backends import through_the_collector
from tests.stack_under_test import EVENTS, straight
from tests.stack_under_test import stack as run_stack
from tests.traces import good_calls
from tests.traces.afterwards import RUSH, Afterwards
from tests.traces.calls import CALLS, refusals
from tests.traces.cases import PARTS, Case
from tests.traces.contract import Trace, contract
from tests.traces.forged import FORGED, GOOD, OVERSIZED, TRACE_ID
from tests.traces.play import SETTINGS, Played, play
from tests.traces.world import World, trace_id_of, until

ALL = (*good_calls.CASES, *refusals())
# A documented status without a contract, and why it has none.
NOT_PLAYED = {
    408: "the connection refuses who sends too slowly, before there is a request",
    429: "thousands of calls at once are for the load tests",
    500: "only the test error is raised on purpose; faults in handlers are the canary's",
    # Statuses documented for a family of calls, where this call has no input that could be wrong.
    403: "",
    404: "",
    422: "",
}
MUST_HAVE_401_403 = {call.operation for call in CALLS if call.role}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    way = through_the_collector if os.environ.get("TRACES_THROUGH") == "collector" else straight
    with run_stack(tmp_path_factory.mktemp("stack"), SETTINGS, way=way) as running:
        yield World(running)


@pytest.fixture(scope="module")
def afterwards() -> Afterwards:
    return Afterwards()


@pytest.fixture(scope="module")
def played(world: World, afterwards: Afterwards) -> dict[str, Played]:
    return play(world, ALL, lambda: afterwards.begin(world))


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_call_leaves_the_trace_that_its_contract_says(played: dict[str, Played], case: Case) -> None:
    """Services, names, kinds, parents, links, attributes and statuses; nothing is missing and nothing is more."""
    how = played[case.name]
    assert how.answered is not None, how.error
    assert how.answered.response.status_code == case.status, how.answered.response.reason_phrase
    trace = Trace(how.spans, how.answered.values)
    differences = trace.differences(case.contract)
    assert not differences, "\n".join([*differences, "", str(trace)])


def test_every_call_has_its_contracts(world: World, played: dict[str, Played]) -> None:
    """Each operation of the document, with each status that it documents and that can be brought about."""
    assert len({case.name for case in ALL}) == len(ALL)
    contracted = Counter((case.operation, case.status) for case in ALL)
    document: dict[str, Any] = world.get("/openapi.json").json()
    documented = {
        (operation["operationId"], int(status))
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        # The connection answers these before there is a request that could have a trace.
        if "$ref" not in response
    }
    missing = documented - contracted.keys()
    assert {name for name, _ in documented} <= {name for name, _ in contracted}
    assert {each for each in missing if each[1] not in NOT_PLAYED} == set()
    assert {name for name, status in missing if status in {401, 403} and name in MUST_HAVE_401_403} == set()


def _batches(world: World) -> list[dict[str, Any]]:
    return [
        span
        for trace in world.newest("registration.batch")
        for span in trace["spans"]
        if span["name"] == "registration.batch"
    ]


def test_a_batch_and_the_requests_that_it_serves_are_linked(
    world: World, played: dict[str, Played], afterwards: Afterwards
) -> None:
    """Both ways, each request once, in a rush; and each claim still hangs on its own request."""
    traces = {trace_id: world.spans(trace_id) for trace_id in afterwards.claims}
    batches = {span["span_id"]: span for span in _batches(world)}
    served: Counter[str] = Counter()
    for spans in traces.values():
        by_name = {span["name"]: span for span in spans if span["name"] != "registration.batch"}
        [link] = by_name["registration.transaction"]["links"]
        assert by_name["registration.create"]["parent_id"] in {
            span["span_id"] for span in spans if not span["parent_id"]
        }
        back = [each["span_id"] for each in batches[link["span_id"]]["links"]]
        assert back.count(by_name["registration.transaction"]["span_id"]) == 1
        served[link["span_id"]] += 1
    assert sum(served.values()) == RUSH
    assert max(served.values()) > 1, "nothing was batched"
    for span_id, count in served.items():
        batch = batches[span_id]
        assert batch["attributes"]["batch.size"] == len(batch["links"]) == count


def test_what_yaadpay_could_not_answer_is_delivered_later_with_a_link(
    world: World, played: dict[str, Played], afterwards: Afterwards
) -> None:
    """By the service itself, in a trace of its own, linked to the request that brought the return."""
    assert afterwards.delivered_later
    first = [span for span in world.spans(afterwards.unverified) if span["name"] == "POST yaadpay VERIFY"]
    assert [span["attributes"]["error.type"] for span in first] == ["500", "500"]
    assert afterwards.delivered_later.root["kind"] == "CONSUMER"
    assert afterwards.delivered_later.names >= {"POST yaadpay VERIFY", "outbox.done"}


def test_what_a_killed_process_had_committed_is_delivered_with_a_link(
    world: World, played: dict[str, Played], afterwards: Afterwards
) -> None:
    """To the request that was cut off between the commit and the delivery."""
    assert afterwards.delivered_by_the_next
    assert afterwards.delivered_by_the_next.names >= {"POST yaadpay VERIFY", "outbox.done"}
    cut_off = """
        http GET /api/v1/payments/yaadpay/return 503
          call payment SettleReturn UNAVAILABLE
    """
    # Of the killed process only what it had sent by then has arrived, if anything.
    of_gateway = [span for span in world.spans(afterwards.killed) if span["service"] == "gateway"]
    assert Trace(of_gateway).differences(contract(cut_off)) == []


def test_a_change_is_linked_to_the_cancellation_and_the_refund_to_the_change(
    played: dict[str, Played], afterwards: Afterwards
) -> None:
    """Three traces, one story."""
    assert afterwards.changed
    assert afterwards.refunded
    assert afterwards.changed.root["kind"] == "CONSUMER"
    assert afterwards.refunded.names & {"POST yaadpay CancelTrans", "POST yaadpay zikoyAPI"}


GOT_EVENT = """
    http GET /api/v1/schools/{school}/events/{event} 200 school.slug=herzl
      rpc registration GetEvent OK school.id school.slug=herzl
        use event
        sql tenant.enter
        sql SELECT events
"""


def _arrived(world: World, trace_id: str, count: int) -> list[dict[str, Any]]:
    """Wait for at least ``count`` spans: services send theirs apart, so the gateway's may be the last to come."""

    def is_whole() -> bool:
        spans = world.spans(trace_id)
        return len(spans) >= count and [root["service"] for root in Trace(spans).roots] == ["gateway"]

    until(is_whole)
    return world.spans(trace_id)


def test_a_clients_trace_goes_on_and_forces_nothing(world: World, played: dict[str, Played]) -> None:
    """Its trace id and its span as parent; the gateway decides on sampling; its state and its baggage end here."""
    sent = {"traceparent": f"{GOOD[:-2]}00", "tracestate": "vendor=x", "baggage": "school.slug=balfour"}
    answer = world.get(f"{EVENTS}/shared", headers=sent)
    assert (answer.status_code, trace_id_of(answer)) == (200, TRACE_ID)
    trace = Trace(_arrived(world, TRACE_ID, 5))
    assert trace.differences(contract(GOT_EVENT, PARTS)) == []
    assert trace.roots[0]["parent_id"] == "b7ad6b7169203331"


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
def test_a_forged_trace_context_over_http_does_no_harm(
    world: World, played: dict[str, Played], headers: list[tuple[str, bytes]]
) -> None:
    """The answer is the usual one, and its trace is a new one."""
    answer = world.get(f"{EVENTS}/shared", headers=dict(headers))
    assert answer.status_code == 200
    assert trace_id_of(answer) != TRACE_ID
    trace = Trace(_arrived(world, trace_id_of(answer), 5))
    assert trace.differences(contract(GOT_EVENT, PARTS)) == []
    assert trace.roots[0]["parent_id"] == ""


def test_an_oversized_trace_state_is_refused_as_any_header_is(world: World, played: dict[str, Played]) -> None:
    """Over HTTP and over gRPC; the next call is served."""
    assert world.get(f"{EVENTS}/shared", headers=dict(OVERSIZED)).status_code == 431
    with pytest.raises(grpc.RpcError) as refused:
        world.get_event_directly(OVERSIZED)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert world.get(f"{EVENTS}/shared").status_code == 200
    world.get_event_directly([])


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
def test_a_forged_trace_context_over_grpc_does_no_harm(
    world: World, played: dict[str, Played], headers: list[tuple[str, bytes]]
) -> None:
    """The answer is the usual one. gRPC itself rejects text that is no header, so it never leaves the client."""
    sent = [(key, value) for key, value in headers if value.isascii()]
    assert world.get_event_directly(sent) == "shared"
