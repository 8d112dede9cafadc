"""Test that baggage and answers tell synthetic schools apart, within bounds."""

from collections.abc import Iterator

import pytest
from opentelemetry import baggage, context
from opentelemetry.context import Context
from ticketcap_observability import (
    Telemetry,
    _schools,
    collect_synthetic_schools,
    read_synthetic_metadata,
    schema,
    set_school,
    synthetic_label,
    synthetic_metadata,
)

TRUE = {"school_synthetic": "true"}
FALSE = {"school_synthetic": "false"}


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    """Give each test an empty baggage and an empty memory."""
    _schools._remembered.clear()
    token = context.attach(Context())
    yield
    context.detach(token)
    _schools._remembered.clear()
    _schools._of_call.set(None)


def test_a_synthetic_school_is_on_the_span_and_in_the_baggage() -> None:
    """An ordinary one has neither the attribute nor the entry."""
    telemetry = Telemetry.in_memory()
    for slug, synthetic in (("probe", True), ("herzl", False)):
        with telemetry.tracer.start_as_current_span(slug):
            set_school(slug, None, synthetic)
            assert synthetic_label() == (TRUE if synthetic else FALSE)
            assert ("school.synthetic" in baggage.get_all()) is synthetic
    probe, herzl = telemetry.spans
    assert probe.attributes == {schema.SCHOOL_SLUG: "probe", schema.SCHOOL_SYNTHETIC: True}
    assert herzl.attributes == {schema.SCHOOL_SLUG: "herzl"}


def test_the_database_overrules_the_baggage_of_a_caller() -> None:
    """A caller hides no real school: the span says so too."""
    telemetry = Telemetry.in_memory()
    claimed = baggage.set_baggage("school.synthetic", "true", baggage.set_baggage("school.slug", "herzl"))
    context.attach(claimed)
    with telemetry.tracer.start_as_current_span("call"):
        set_school("herzl")
        assert synthetic_label() == TRUE
        set_school("herzl", None, synthetic=False)
        assert synthetic_label() == FALSE
    [span] = telemetry.spans
    assert span.attributes == {schema.SCHOOL_SLUG: "herzl", schema.SCHOOL_SYNTHETIC: False}


def test_the_baggage_of_another_school_counts_for_nothing() -> None:
    """It names its own school only."""
    context.attach(baggage.set_baggage("school.synthetic", "true", baggage.set_baggage("school.slug", "probe")))
    set_school("herzl")
    assert synthetic_label() == FALSE


def test_an_answer_makes_later_calls_recognisable() -> None:
    """The service names the synthetic schools of a call; its caller remembers them by their slug."""
    collect_synthetic_schools()
    set_school("probe", None, synthetic=True)
    answer = synthetic_metadata()
    assert answer == (("ticketcap-synthetic-school", "probe"),)
    _schools._remembered.clear()
    context.attach(Context())
    read_synthetic_metadata(answer)
    assert synthetic_label() == TRUE
    context.attach(Context())
    set_school("probe")
    assert synthetic_label() == TRUE


def test_an_answer_about_another_school_changes_nothing_here() -> None:
    """A batch belongs to many callers."""
    set_school("herzl")
    read_synthetic_metadata([("ticketcap-synthetic-school", "probe"), ("grpc-status-details-bin", b"x")])
    assert synthetic_label() == FALSE


def test_the_memory_and_the_answer_are_bounded() -> None:
    """The oldest school is forgotten first."""
    collect_synthetic_schools()
    for number in range(2000):
        set_school(f"probe-{number}", None, synthetic=True)
    assert len(_schools._remembered) == 1024
    assert "probe-1999" in _schools._remembered
    assert "probe-0" not in _schools._remembered
    assert len(synthetic_metadata()) == 16
