"""Check tokens and health while the identity provider is down."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from ticketcap_testing.gateway import RunningGateway, running_gateway
from ticketcap_testing.identity_provider import AUDIENCE, ISSUER, IdentityProvider
from ticketcap_testing.service_fakes import PAYMENT_ID, FakePayment, FakeRegistration

STATS = "/api/v1/schools/herzl/stats"
EVENT = "/api/v1/schools/herzl/events/football"
PATIENCE = 15.0


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


def settings(provider: IdentityProvider) -> dict[str, Any]:
    return {
        "jwt_jwks_url": provider.url,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "service_token": SecretStr(provider.token("SERVICE")),
        "jwt_jwks_seconds": 1.0,
        "jwt_jwks_refresh_seconds": 0.2,
    }


@pytest.fixture
async def gateway(
    registration: FakeRegistration, payment: FakePayment, provider: IdentityProvider
) -> AsyncIterator[RunningGateway]:
    async with running_gateway(registration.target, payment_target=payment.target, **settings(provider)) as running:
        yield running


async def health_is(client: httpx.AsyncClient, identity: str) -> httpx.Response:
    """Wait until health says so of the gateway's keys."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.get("/api/health")
            if answer.json()["checks"]["identity"] == identity:
                return answer
            await asyncio.sleep(0.05)


def bearer(provider: IdentityProvider, role: str = "VIEWER", **more: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {provider.token(role, **more)}"}


async def test_tokens_hold_while_the_provider_is_down_and_health_says_that_keys_are_stale(
    client: httpx.AsyncClient, provider: IdentityProvider
) -> None:
    """200 before, during and after; the gateway serves, so /api/health stays 200 and names the state."""
    healthy = await health_is(client, "ok")
    assert (healthy.status_code, healthy.json()["checks"]["registration_identity"]) == (200, "ok")
    assert (await client.get(STATS, headers=bearer(provider))).status_code == 200
    provider.stop()
    stale = await health_is(client, "stale")
    assert (stale.status_code, stale.json()["status"]) == (200, "healthy")
    assert (await client.get(STATS, headers=bearer(provider))).status_code == 200
    assert (await client.get(f"/api/v1/payments/{PAYMENT_ID}", headers=bearer(provider, "OWNER"))).status_code == 200
    # Only the provider could say whether there is such a key; for two seconds its last answer still counts.
    new = bearer(provider, kid="two")
    async with asyncio.timeout(PATIENCE):
        while (unknown := await client.get(STATS, headers=new)).status_code != 503:
            await asyncio.sleep(0.1)
    assert unknown.headers["retry-after"]
    provider.start()
    await health_is(client, "ok")


async def test_without_keys_health_is_503_and_what_needs_no_token_goes_on(
    registration: FakeRegistration, payment: FakePayment, provider: IdentityProvider
) -> None:
    """A gateway that starts while the provider is down: /readyz keeps it in, and it recovers by itself."""
    provider.stop()
    async with (
        running_gateway(registration.target, payment_target=payment.target, **settings(provider)) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        assert (await health_is(client, "failing")).status_code == 503
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get(EVENT)).status_code == 200
        refused = await client.get(STATS, headers=bearer(provider))
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        provider.start()
        assert (await health_is(client, "ok")).status_code == 200
        assert (await client.get(STATS, headers=bearer(provider))).status_code == 200


async def test_a_service_without_keys_shows_in_health(client: httpx.AsyncClient, payment: FakePayment) -> None:
    """Each service fetches the keys for itself."""
    await health_is(client, "ok")
    assert payment.set_health is not None
    await payment.set_health("identity", serving=False)
    answer = await client.get("/api/health")
    assert (answer.status_code, answer.json()["checks"]["payment_identity"]) == (503, "failing")


async def test_a_silent_provider_costs_a_caller_its_own_deadline_at_most(
    registration: FakeRegistration, provider: IdentityProvider
) -> None:
    """REQUEST_SECONDS, also for many at once, and one question for all of them."""
    provider.fault = "silent"
    overrides = settings(provider) | {"jwt_jwks_seconds": 10.0, "request_seconds": 0.3}
    async with (
        running_gateway(registration.target, **overrides) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=PATIENCE) as client,
        asyncio.timeout(PATIENCE / 2),
    ):
        token = bearer(provider)
        answers = await asyncio.gather(*(client.get(STATS, headers=token) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {503}
    assert provider.requests == 1
