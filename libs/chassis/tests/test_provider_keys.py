"""Check tokens while an identity provider is slow, down or wrong."""

import asyncio
import time
from collections.abc import Iterator

import jwt
import pytest
from ticketcap_chassis import deadlines
from ticketcap_chassis.errors import ServiceError, Unauthenticated, Unavailable
from ticketcap_chassis.identity.tokens import NO_KEYS, KeyLimits, KeyState, TokenVerifier
from ticketcap_testing.identity_provider import AUDIENCE, ISSUER, Fault, IdentityProvider

QUICK = KeyLimits(fetch=2.0, refresh=0.05, stale=0.2, pause=0.05)
CALLERS = 40
PATIENCE = 15.0


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


def verifier_of(provider: IdentityProvider, limits: KeyLimits | None = None) -> TokenVerifier:
    """Return a verifier with the limits that services have, or others."""
    return TokenVerifier(jwks_url=provider.url, issuer=ISSUER, audience=AUDIENCE, limits=limits)


async def until(verifier: TokenVerifier, state: KeyState) -> None:
    """Refresh, as the services do every second, until the keys are in ``state``."""
    async with asyncio.timeout(PATIENCE):
        while verifier.keys is not state:
            await verifier.refresh()
            await asyncio.sleep(0.02)


async def outcome(verifier: TokenVerifier, token: str, seconds: float | None = None) -> str:
    try:
        with deadlines.within(seconds):
            return (await verifier.verify(token)).role
    except ServiceError as error:
        return error.reason


async def test_the_last_good_keys_go_on_serving(provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after the provider went down."""
    verifier = verifier_of(provider)
    assert await outcome(verifier, provider.token()) == "OWNER"
    provider.stop()
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 3600)
    assert await outcome(verifier, provider.token("ADMIN")) == "ADMIN"


async def test_one_fetch_serves_all_callers(provider: IdentityProvider) -> None:
    """However many wait for it."""
    provider.fault = "slow"
    verifier = verifier_of(provider)
    token = provider.token()
    assert set(await asyncio.gather(*(outcome(verifier, token) for _ in range(CALLERS)))) == {"OWNER"}
    assert provider.requests == 1


async def test_callers_wait_within_their_own_deadline(provider: IdentityProvider) -> None:
    """A provider that accepts and says nothing; each caller hears that in its time, not after a queue."""
    provider.fault = "silent"
    verifier = verifier_of(provider)
    token = provider.token()
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*(outcome(verifier, token, 0.2) for _ in range(CALLERS)))
    assert set(outcomes) == {NO_KEYS}
    assert provider.requests == 1


async def test_an_answer_that_comes_byte_by_byte_has_a_limit(provider: IdentityProvider) -> None:
    """Each byte is in time; the whole never ends."""
    provider.fault = "trickle"
    verifier = verifier_of(provider, KeyLimits(fetch=0.3))
    async with asyncio.timeout(PATIENCE):
        assert await outcome(verifier, provider.token()) == NO_KEYS


async def test_a_caller_that_leaves_ends_no_other_callers_fetch(provider: IdentityProvider) -> None:
    """The first caller began it."""
    provider.fault = "slow"
    verifier = verifier_of(provider)
    first, second = (asyncio.create_task(outcome(verifier, provider.token())) for _ in range(2))
    while not provider.requests:
        await asyncio.sleep(0.01)
    first.cancel()
    assert await second == "OWNER"
    assert provider.requests == 1


@pytest.mark.parametrize("fault", ["silent", "trickle", "error", "redirect", "garbage", "empty", "huge"])
async def test_a_wrong_answer_takes_no_key_away(provider: IdentityProvider, fault: Fault) -> None:
    """Nor does it take a caller's time."""
    verifier = verifier_of(provider, KeyLimits(fetch=0.3, refresh=0.05, stale=0.2, pause=0.05))
    await until(verifier, KeyState.OK)
    provider.fault = fault
    await until(verifier, KeyState.STALE)
    assert await outcome(verifier, provider.token()) == "OWNER"
    provider.fault = ""
    await until(verifier, KeyState.OK)


async def test_the_state_tells_what_health_reports(provider: IdentityProvider) -> None:
    """Missing before the first answer, stale after a while without one, and fresh again by itself."""
    provider.stop()
    verifier = verifier_of(provider, QUICK)
    await verifier.refresh()
    assert verifier.keys is KeyState.MISSING
    assert await outcome(verifier, provider.token()) == NO_KEYS
    provider.start()
    await until(verifier, KeyState.OK)
    provider.stop()
    await until(verifier, KeyState.STALE)
    provider.start()
    await until(verifier, KeyState.OK)
    assert TokenVerifier(secret="x" * 40).keys is None


async def test_a_new_key_is_known_at_once_and_a_withdrawn_one_is_refused(provider: IdentityProvider) -> None:
    """The provider changes its keys."""
    verifier = verifier_of(provider, QUICK)
    assert await outcome(verifier, provider.token()) == "OWNER"
    old = provider.token()
    provider.rotate("two")
    await asyncio.sleep(QUICK.pause * 2)
    assert await outcome(verifier, provider.token(kid="two")) == "OWNER"
    assert await outcome(verifier, old) == "TOKEN_INVALID"


async def test_a_new_key_of_a_provider_that_is_down_is_not_the_callers_fault(provider: IdentityProvider) -> None:
    """The token may be good: only the provider could tell."""
    verifier = verifier_of(provider, QUICK)
    await until(verifier, KeyState.OK)
    provider.stop()
    await asyncio.sleep(QUICK.pause * 2)
    assert await outcome(verifier, provider.token(kid="two")) == NO_KEYS
    assert await outcome(verifier, provider.token()) == "OWNER"


async def test_invented_key_ids_do_not_flood_the_provider(provider: IdentityProvider) -> None:
    """One question for all of them; tokens without a key id ask nothing."""
    verifier = verifier_of(provider)
    assert await outcome(verifier, provider.token()) == "OWNER"
    for number in range(CALLERS):
        invented = jwt.encode({"sub": "x"}, "s" * 40, algorithm="HS256", headers={"kid": f"invented-{number}"})
        assert await outcome(verifier, invented) == "TOKEN_INVALID"
    with pytest.raises(Unauthenticated):
        await verifier.verify(jwt.encode({"sub": "x"}, "s" * 40, algorithm="HS256"))
    assert provider.requests <= 2


async def test_a_provider_that_is_away_answers_unavailable(provider: IdentityProvider) -> None:
    """Refused connections too; Retry-After goes along."""
    provider.stop()
    with pytest.raises(Unavailable) as caught:
        await verifier_of(provider).verify(provider.token())
    assert caught.value.retry_after
