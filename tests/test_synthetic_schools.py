"""Test that every service tells a synthetic school's requests apart."""

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.stack_under_test import Stack
from tests.stack_under_test import stack as run_stack

REGISTER = "/api/v1/schools/{school}/events/{event}/registrations"
PAY = "/api/v1/registrations/{id}/payments"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system with metrics pages."""
    with run_stack(tmp_path_factory.mktemp("stack"), settings={"METRICS_ADDRESS": "127.0.0.1"}) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["synthetic", "ordinary"])
def school(stack: Stack, request: pytest.FixtureRequest) -> tuple[str, bool]:
    """A school of the test's own with a paid event, and whether it is synthetic."""
    slug, synthetic = f"school-{secrets.token_hex(4)}", bool(request.param)
    answer = stack.client.post(
        "/api/v1/schools",
        json={"slug": slug, "name": "בית ספר", "synthetic": synthetic},
        headers=stack.token("SUPER_ADMIN", None),
    )
    assert (answer.status_code, answer.json()["synthetic"]) == (201, synthetic)
    event = {"slug": "trip", "title": "טיול", "starts_at": "2030-01-01T10:00:00Z", "capacity": 9, "price_agorot": 4990}
    answer = stack.client.post(f"/api/v1/schools/{slug}/events", json=event, headers=stack.token("OWNER", slug))
    assert answer.status_code == 201
    return slug, synthetic


def test_every_service_recognises_a_synthetic_school(stack: Stack, school: tuple[str, bool]) -> None:
    """The gateway, registration and payment: each on its spans, and in its metrics by a label."""
    slug, synthetic = school
    before = {name: counts(stack, name) for name in ("gateway", "registration", "payment")}
    claimed, registration = claim(stack, slug, "trip")
    assert claimed.status_code == 201, claimed.text
    spans = stack.trace(_trace_id(claimed), "registration.create", f"POST {REGISTER}", "registration.batch")
    paid = stack.client.post(
        f"/api/v1/registrations/{registration['id']}/payments", headers={"X-Manage-Token": registration["manage_token"]}
    )
    assert paid.status_code == 201, paid.text
    payment_spans = stack.trace(_trace_id(paid), "payment.create", f"POST {PAY}")
    if synthetic:
        assert marked(spans) >= {f"POST {REGISTER}", "registration.create", "registration.batch"}
        # The gateway learned the school of a call by an id from the service's answer.
        assert marked(payment_spans) >= {f"POST {PAY}", "payment.create"}
    else:
        assert not marked([*spans, *payment_spans])
    label = {"school_synthetic": str(synthetic).lower()}
    for service, metric, labels in (
        ("gateway", "api_request_count_total", {"method": "POST", "route": REGISTER}),
        ("gateway", "api_request_count_total", {"method": "POST", "route": PAY}),
        ("registration", "registration_created_total", {}),
        ("payment", "payment_created_total", {}),
    ):
        series = _series(metric, {**labels, **label})
        assert_soon(partial(_increased, stack, service, series, before[service].get(series, 0)))
    other = _series("payment_created_total", {"school_synthetic": str(not synthetic).lower()})
    assert counts(stack, "payment").get(other, 0) == before["payment"].get(other, 0)


def test_a_failed_request_of_a_synthetic_school_is_recognised(stack: Stack, school: tuple[str, bool]) -> None:
    """Also one that fails before registration reads the school's event."""
    slug, synthetic = school
    answer, _ = claim(stack, slug, "nowhere")
    assert answer.status_code == 404
    spans = stack.trace(_trace_id(answer), "registration.create", f"POST {REGISTER}")
    assert marked(spans) >= {f"POST {REGISTER}", "registration.create"} if synthetic else not marked(spans)


def claim(stack: Stack, school: str, event: str) -> tuple[httpx.Response, dict[str, Any]]:
    body = {"name": "דנה כהן", "phone": "052-1234567", "spots": 1}
    answer = stack.client.post(f"/api/v1/schools/{school}/events/{event}/registrations", json=body)
    return answer, answer.json()


def marked(spans: list[dict[str, Any]]) -> set[str]:
    """Return the names of the spans of a synthetic school."""
    return {span["name"] for span in spans if span["attributes"].get("school.synthetic")}


def counts(stack: Stack, service: str) -> dict[str, float]:
    """Return every sample of a service's metrics page."""
    page = httpx.get(stack.metrics[service], trust_env=False).text
    return {_series(sample.name, sample.labels): sample.value for family in parse(page) for sample in family.samples}


def _increased(stack: Stack, service: str, series: str, before: float) -> bool:
    return counts(stack, service).get(series, 0) == before + 1


def _series(name: str, labels: dict[str, str]) -> str:
    return f"{name}{sorted(labels.items())}"


def _trace_id(answer: httpx.Response) -> str:
    return answer.headers["traceresponse"].split("-")[1]


def assert_soon(holds: Callable[[], bool]) -> None:
    """Wait five seconds for a metrics page, which is computed twice a second."""
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
