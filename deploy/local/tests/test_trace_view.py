"""Check traces as the terminal shows them."""

from typing import Any

from ticketcap_local.trace_view import lines_of

PLAIN = {"service": "gateway", "start": 0, "end": 2_000_000, "error": False, "attributes": {}, "links": []}


def span(span_id: str, parent_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {**PLAIN, "span_id": span_id, "parent_id": parent_id, "name": name, **more}


def drawn(*spans: dict[str, Any], left_out: int = 0) -> list[str]:
    return [line.plain for line in lines_of({"trace_id": "abc", "spans": list(spans), "left_out": left_out})]


def test_a_trace_is_drawn_as_a_tree() -> None:
    """Duration and service in columns, children under their parents, what has no parent here at the top."""
    head, *lines = drawn(
        span("a", "", "POST /x", end=21_000_000),
        span("b", "a", "ticketcap.registration.v1.RegistrationService/Register", service="registration"),
        span("c", "b", "registration.create", service="registration"),
        span("d", "a", "audit"),
        span("e", "gone", "orphan"),
        left_out=3,
    )
    assert head.startswith("trace abc")
    assert head.endswith("21.0 ms  5 spans")
    assert lines == [
        "     21.0 ms  gateway       POST /x",
        "      2.0 ms  registration  ├─ RegistrationService/Register",
        "      2.0 ms  registration  │  └─ registration.create",
        "      2.0 ms  gateway       └─ audit",
        "      2.0 ms  gateway       orphan",
        "  … 3 more spans exceeded the sink's limits",
    ]


def test_what_matters_of_a_span_stands_behind_it() -> None:
    """Known attributes under short labels, and where the links lead."""
    attributes = {"batch.wait_ms": 1.234, "school.slug": "herzl", "thread.id": 7, "event.spotsAvailable": 0}
    links = [{"trace_id": f"{number:032x}", "span_id": "1"} for number in (1, 2, 3)]
    [_, line] = drawn(span("a", "", "x", attributes=attributes, links=links[:1]))
    assert line.endswith("x  school=herzl  spotsAvailable=0  batch.wait_ms=1.2  ⇢ 00000000000000000000000000000001")
    [_, line] = drawn(span("a", "", "x", links=links))
    assert line.endswith("⇢ 00000000000000000000000000000001  ⇢ and 2 more")


def test_a_loop_of_parents_ends() -> None:
    """Spans that are each other's parents are no reason to hang; a deep tree keeps its lines short."""
    assert len(drawn(span("a", "b", "x"), span("b", "a", "y"))) == 1
    lines = drawn(*(span(str(number), str(number - 1), "deep") for number in range(300)))
    assert len(lines) == 301
    assert max(map(len, lines)) < 120


def test_an_error_is_red() -> None:
    """And only that."""
    lines = lines_of({"trace_id": "abc", "spans": [span("a", "", "x", error=True), span("b", "a", "y")], "left_out": 0})
    styles = [[str(part.style) for part in line.spans] for line in lines[1:]]
    assert ["bold red" in found for found in styles] == [True, False]


def test_levels_below_the_depth_are_counted() -> None:
    """A payment's return has 86 spans; two levels show where its time went."""
    spans = [span("a", "", "GET /x"), span("b", "a", "rpc"), span("c", "b", "sql"), span("d", "b", "sql")]
    lines = [line.plain for line in lines_of({"trace_id": "abc", "spans": spans, "left_out": 0}, depth=2)]
    assert [line.split()[-1] for line in lines[1:3]] == ["/x", "rpc"]
    assert lines[3] == "  … 2 deeper spans; --depth shows more levels"
