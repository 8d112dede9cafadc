"""Every HTTP call's trace, as it arrives over OTLP, and what follows a request in traces of its own."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack_under_test import stack as run_stack
from tests.traces import good_calls
from tests.traces.afterwards import RUSH, Afterwards
from tests.traces.calls import CALLS, refusals
from tests.traces.cases import Case
from tests.traces.contract import Trace, contract
from tests.traces.play import SETTINGS, Played, play
from tests.traces.world import World

ALL = (*good_calls.CASES, *refusals())
# A documented status without a contract, and why it has none.
NOT_PLAYED = {
    408: "the connection refuses who sends too slowly, before there is a request",
    429: "thousands of calls at once are for the load tests",
    500: "only the test error is raised on purpose; faults in handlers are the canary's",
    # What is documented for a family of calls, where a call of it has no input that could be wrong.
    403: "",
    404: "",
    422: "",
}
MUST_HAVE_401_403 = {call.operation for call in CALLS if call.role}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with run_stack(tmp_path_factory.mktemp("stack"), SETTINGS) as running:
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
        for status in operation["responses"]
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
    assert Trace(world.spans(afterwards.killed)).differences(contract(cut_off)) == []


def test_a_change_is_linked_to_the_cancellation_and_the_refund_to_the_change(
    played: dict[str, Played], afterwards: Afterwards
) -> None:
    """Three traces, one story."""
    assert afterwards.changed
    assert afterwards.refunded
    assert afterwards.changed.root["kind"] == "CONSUMER"
    assert afterwards.refunded.names & {"POST yaadpay CancelTrans", "POST yaadpay zikoyAPI"}
