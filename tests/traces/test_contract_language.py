"""Test that a contract fails for each possible difference of a trace."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.traces.contract import Trace, contract

TREE = """
    http GET /api/v1/payments/{id} 200
      rpc payment GetPayment OK school.slug=herzl
        sql directory.payment
        ? sql tenant.enter
        span payment.return payment.id=$payment payment.state=CAPTURED school.slug=herzl -> $opened
"""
METHOD = "ticketcap.payment.v1.PaymentService/GetPayment"
RPC = {"rpc.system.name": "grpc", "rpc.method": METHOD, "rpc.response.status_code": "OK"}
VALUES = {"payment": "p1", "opened": "t0"}


def span(number: int, parent: int, service: str, kind: str, name: str, **attributes: Any) -> dict[str, Any]:
    return {
        "span_id": str(number),
        "parent_id": str(parent) if parent else "",
        "service": service,
        "kind": kind,
        "name": name,
        "status": "UNSET",
        "start": 1,
        "end": 2,
        "events": [],
        "links": [],
        "attributes": attributes,
    }


def spans() -> list[dict[str, Any]]:
    http = {"http.request.method": "GET", "url.scheme": "http", "http.route": "/", "http.response.status_code": 200}
    sql = {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.query.text": "SELECT"}
    own = {"payment.id": "p1", "payment.state": "CAPTURED", "school.slug": "herzl"}
    target = {"server.address": "127.0.0.1", "server.port": 1}
    trace = [
        span(1, 0, "gateway", "SERVER", "GET /api/v1/payments/{id}", **http),
        span(2, 1, "gateway", "CLIENT", METHOD, **RPC, **target),
        span(3, 2, "payment", "SERVER", METHOD, **RPC, **{"school.slug": "herzl"}),
        span(4, 3, "payment", "CLIENT", "directory.payment", **sql),
        span(5, 3, "payment", "INTERNAL", "payment.return", **own),
    ]
    trace[4]["links"] = [{"trace_id": "t0", "span_id": "9"}]
    return trace


def test_a_fulfilled_contract_has_no_differences() -> None:
    """With the optional span, and without it."""
    trace = spans()
    assert Trace(trace, VALUES).differences(contract(TREE)) == []
    trace.append({**trace[3], "span_id": "6", "name": "tenant.enter"})
    assert Trace(trace, VALUES).differences(contract(TREE)) == []


def changed(number: int, **parts: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(trace: list[dict[str, Any]]) -> None:
        trace[number - 1].update(parts)

    return change


def with_attributes(number: int, **attributes: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(trace: list[dict[str, Any]]) -> None:
        trace[number - 1]["attributes"].update({key.replace("__", "."): value for key, value in attributes.items()})

    return change


def without(number: int, attribute: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda trace: trace[number - 1]["attributes"].pop(attribute)


BREAKS: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "a span is missing": lambda trace: trace.remove(trace[3]),
    "a leaf is missing": lambda trace: trace.remove(trace[4]),
    "a span is there twice": lambda trace: trace.append({**trace[3], "span_id": "6"}),
    "a span that nobody expects": lambda trace: trace.append({**trace[3], "span_id": "6", "name": "seats.lock"}),
    "another parent": changed(4, parent_id="2"),
    "no parent": changed(4, parent_id=""),
    "another kind": changed(3, kind="INTERNAL"),
    "another service": changed(5, service="registration"),
    "another name": changed(5, name="payment.create"),
    "an error that is none": changed(3, status="ERROR"),
    "another status on the wire": with_attributes(3, rpc__response__status_code="NOT_FOUND"),
    "an error without a type": with_attributes(2, rpc__response__status_code="UNAVAILABLE"),
    "an attribute of ours is missing": without(5, "payment.state"),
    "an attribute of ours that the contract does not have": with_attributes(3, event__id="e"),
    "an attribute that no schema has": with_attributes(4, row="x"),
    "an attribute of another span": with_attributes(5, batch__size=1),
    "another value": with_attributes(5, payment__id="p2"),
    "another type": with_attributes(5, payment__state=1),
    "an attribute of the conventions is missing": without(2, "server.address"),
    "a link is missing": changed(5, links=[]),
    "a link to another trace": changed(5, links=[{"trace_id": "t1", "span_id": "9"}]),
    "a link too many": changed(4, links=[{"trace_id": "t0", "span_id": "9"}]),
    "an exception that nobody expects": changed(4, events=[{"name": "exception", "attributes": {}}]),
    "it ends before it begins": changed(4, end=0),
}


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS.keys())
def test_a_broken_contract_is_reported(breaks: Callable[[list[dict[str, Any]]], None]) -> None:
    """One difference is enough."""
    trace = spans()
    breaks(trace)
    assert Trace(trace, VALUES).differences(contract(TREE))


@pytest.mark.parametrize("text", ["", "http GET", "span nothing.known", "http GET / 200\n    sql x", "sql x\nsql y"])
def test_what_is_no_contract_is_refused(text: str) -> None:
    """At once, not as a contract that every trace fulfils."""
    with pytest.raises((ValueError, KeyError)):
        contract(text)
