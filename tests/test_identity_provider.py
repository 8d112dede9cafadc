"""Test that parents still pay while the identity provider is down."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from ticketcap_testing.identity_provider import AUDIENCE, ISSUER, IdentityProvider

from tests.stack_under_test import EVENTS, Stack
from tests.stack_under_test import stack as run_stack
from tests.test_payments_end_to_end import PRICE, held, opened, paid, paid_on_the_page

PATIENCE = 20.0


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def stack(provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "JWT_SECRET": "",
        "JWT_JWKS_URL": provider.url,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_JWKS_REFRESH_SECONDS": "0.5",
        "SERVICE_TOKEN": provider.token("SERVICE", None),
    }

    def tokens(role: str, school: str | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {provider.token(role, school)}"}

    with run_stack(tmp_path_factory.mktemp("stack"), settings, tokens=tokens) as running:
        yield running


@pytest.fixture(autouse=True)
def _provider_is_up(provider: IdentityProvider, stack: Stack) -> Iterator[None]:
    yield
    if not provider.listens:
        provider.start()
    until(lambda: set(checks(stack).values()) == {"ok"})


def until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came to this"
        time.sleep(0.05)
    return found


def checks(stack: Stack) -> dict[str, str]:
    found: dict[str, str] = stack.client.get("/api/health").json()["checks"]
    return found


def status(stack: Stack, hold: dict[str, Any]) -> str:
    headers = {"X-Manage-Token": hold["manage_token"]}
    return str(stack.client.get(f"/api/v1/registrations/{hold['id']}", headers=headers).json()["status"])


def test_parents_pay_with_the_last_good_keys(stack: Stack, provider: IdentityProvider) -> None:
    """A hold becomes a confirmed seat long after the provider went down. Organisers work as well."""
    stack.open_event("before", price_agorot=PRICE)
    assert checks(stack)["identity"] == "ok"
    provider.stop()
    until(lambda: checks(stack)["identity"] == "stale")
    hold = held(stack, "before")
    paid(stack, hold)
    assert status(stack, hold) == "CONFIRMED"
    assert stack.client.get(f"{EVENTS}/before/registrations", headers=stack.token("VIEWER")).status_code == 200
    health = stack.client.get("/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")


def test_a_seat_that_is_paid_for_waits_for_the_keys_and_no_longer(stack: Stack, provider: IdentityProvider) -> None:
    """Registration starts without keys: health is 503, free events work, and the paid seat comes by itself."""
    stack.open_event("paid", price_agorot=PRICE)
    stack.open_event("free")
    hold, late = held(stack, "paid", 1), held(stack, "paid", 2)
    page = opened(stack, hold).json()["redirect_url"]
    back = urlsplit(paid_on_the_page(stack, page))
    provider.stop()
    stack.registration.kill()
    stack.registration.start()
    until(lambda: checks(stack)["registration"] == "ok")
    assert checks(stack)["registration_identity"] == "failing"
    assert stack.client.get("/api/health").status_code == 503
    assert stack.register("free", 3).status_code == 201
    refused = opened(stack, late)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    stack.client.get(f"{back.path}?{back.query}")
    assert status(stack, hold) == "PENDING_PAYMENT"
    provider.start()
    until(lambda: status(stack, hold) == "CONFIRMED")
    assert until(lambda: opened(stack, late).status_code == 201)
