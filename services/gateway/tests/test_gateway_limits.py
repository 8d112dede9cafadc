"""Check client addresses and rate limits."""

import asyncio
import ipaddress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from ticketcap_chassis.errors import (
    Aborted,
    AlreadyExists,
    Busy,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from ticketcap_gateway.edge.addresses import client_address, subscriber
from ticketcap_gateway.edge.rate_limits import RateLimiter
from ticketcap_testing.gateway import running_gateway
from ticketcap_testing.service_fakes import EVENT_ID, REGISTRATION_ID, FakeRegistration, bearer

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
CLAIM = {"name": "Noa Levi", "phone": "050-123-4567", "spots": 2}
REGISTRATIONS = "/api/v1/schools/herzl/events/football/registrations"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.2.2.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", ["198.51.100.1:50123"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1:80, 198.51.100.1:50123, 10.2.2.2:443"], "198.51.100.1"),
        ("10.0.0.1", ["[2a00::5]"], "2a00::5"),
        ("10.0.0.1", ["[2a00::5]:443"], "2a00::5"),
        ("10.0.0.1", ['"[2a00::5]:443"'], "2a00::5"),
        ("10.0.0.1", ["2a00::5%eth0"], "2a00::5"),
        ("10.0.0.1", ["[::ffff:198.51.100.1]:443"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, [2001:db8::7]:443"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, , 1.2.3.4.5:6, [::1, 10.2.2.2:"], "198.51.100.1"),
        ("10.0.0.1", ["unknown, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, _7c3f"], "_7c3f"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["_" + "x" * 64], "10.0.0.1"),
        ("203.0.113.9", ["198.51.100.1:50123"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("2001:db8::1", ["2a00::5"], "2a00::5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    """A client's own entries in X-Forwarded-For never count."""
    assert client_address(peer, forwarded, PROXIES) == client


def test_an_ipv6_household_is_one_subscriber() -> None:
    """Addresses of one /64 share their limit."""
    assert subscriber("2a00:1:2:3::1") == subscriber("2a00:1:2:3:ffff::2") != subscriber("2a00:1:2:4::1")
    assert subscriber("::ffff:192.0.2.1") == subscriber("192.0.2.1") == "192.0.2.1"


class Clock:
    """A clock that a test moves."""

    now = 7200.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_window_slides() -> None:
    """The limit holds over any window, and Retry-After is exactly long enough."""
    clock = Clock()
    limiter = RateLimiter(3, window=60, clock=clock)
    for _ in range(3):
        limiter.use("a")
    with pytest.raises(Busy) as refused:
        limiter.use("a")
    limiter.use("b")
    wait = refused.value.retry_after
    assert wait is not None
    clock.now += wait - 0.5
    with pytest.raises(Busy):
        limiter.use("a")
    clock.now += 0.6
    limiter.use("a")


@given(st.lists(st.floats(min_value=0, max_value=40), max_size=60))
def test_waiting_as_told_is_always_enough(pauses: list[float]) -> None:
    """A client that waits Retry-After seconds is admitted."""
    clock = Clock()
    limiter = RateLimiter(4, window=60, clock=clock)
    for pause in pauses:
        clock.now += pause
        try:
            limiter.use("a")
        except Busy as refused:
            clock.now += (refused.retry_after or 0) + 1e-6
            limiter.use("a")


def test_memory_is_bounded() -> None:
    """The address seen longest ago is forgotten first."""
    limiter = RateLimiter(1, max_windows=100, max_repeats=100)
    for number in range(1000):
        with limiter.one_use(f"192.0.2.{number}", "event", request=number.to_bytes(2, "big")):
            pass
    assert len(limiter) == 100
    with pytest.raises(Busy):
        limiter.use("192.0.2.999", "event")


def test_a_use_is_given_back_once_and_to_its_own_window() -> None:
    """Also when the window has become the previous one, or has slid out."""
    clock = Clock()
    limiter = RateLimiter(1, window=60, clock=clock)
    use = limiter.use("a")
    use.cancel()
    limiter.use("a")
    use.cancel()
    with pytest.raises(Busy):
        limiter.use("a")
    clock.now += 3600
    late = limiter.use("a")
    clock.now += 61
    late.cancel()
    later = limiter.use("a")
    clock.now += 180
    limiter.use("a")
    later.cancel()
    with pytest.raises(Busy):
        limiter.use("a")


FAILED: list[BaseException] = [
    Unavailable("away"),
    DeadlineExceeded("late"),
    InternalError("broken"),
    Busy("full", reason="TOO_MANY_CLAIMS"),
    Aborted("again", reason="IDEMPOTENCY_IN_FLIGHT"),
    InvalidInput.of("phone", "is wrong"),
    RuntimeError("unexpected"),
    asyncio.CancelledError(),
]
REFUSED: list[BaseException] = [
    NotFound("none"),
    PermissionDenied("not yours"),
    AlreadyExists("registered"),
    FailedPrecondition("full"),
    InvalidInput("another body", reason="IDEMPOTENCY_KEY_REUSED"),
]


def _try(limiter: RateLimiter, error: BaseException, request: bytes) -> None:
    with pytest.raises(type(error)), limiter.one_use("a", "event", request=request):
        raise error


@pytest.mark.parametrize("error", FAILED, ids=repr)
def test_a_failed_try_costs_nothing(error: BaseException) -> None:
    """However often; a refusal costs one use, and its repeat with the same key and body none."""
    limiter = RateLimiter(1)
    for number in range(5):
        _try(limiter, error, bytes([number]))
        _try(limiter, error, b"the same")
    with limiter.one_use("a", "event", request=b"the same"):
        pass
    with limiter.one_use("a", "event", request=b"the same"):
        pass
    with pytest.raises(Busy), limiter.one_use("a", "event", request=b"another"):
        pass


@pytest.mark.parametrize("error", REFUSED, ids=repr)
def test_a_refusal_costs_one_use_of_its_event(error: BaseException) -> None:
    """Another event is not locked by it, and a repeat of the refused request is free."""
    limiter = RateLimiter(1)
    _try(limiter, error, b"first")
    _try(limiter, error, b"first")
    with pytest.raises(Busy), limiter.one_use("a", "event", request=b"second"):
        pass
    with limiter.one_use("a", "another event", request=b"second"):
        pass


async def test_a_family_that_meets_a_failure_is_served_afterwards(registration: FakeRegistration) -> None:
    """503 as often as the limit and more, with one key and without one; then the place; then the next family's 429."""
    async with (
        running_gateway(registration.target, registrations_per_hour=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        key = {"idempotency-key": "6f1c0c8a-3f2e-4f0b-9d55-0d9d7f6c2b11"}
        registration.failures["RegisterBatch"] = Unavailable("away")
        for headers in (key, key, {}, key):
            assert (await client.post(REGISTRATIONS, json=CLAIM, headers=headers)).status_code == 503
        registration.failures.clear()
        assert (await client.post(REGISTRATIONS, json=CLAIM, headers=key)).status_code == 201
        assert (await client.post(REGISTRATIONS, json=CLAIM)).status_code == 429
        # The answer was lost: the same request again is served at the limit, another body under its key is not.
        assert (await client.post(REGISTRATIONS, json=CLAIM, headers=key)).status_code == 201
        other = CLAIM | {"phone": "050-123-4568"}
        assert (await client.post(REGISTRATIONS, json=other, headers=key)).status_code == 429


async def test_a_replay_that_another_replica_counted_is_free(registration: FakeRegistration) -> None:
    """The service says that it is one."""
    async with (
        running_gateway(registration.target, registrations_per_hour=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        registration.replayed = True
        for number in range(3):
            headers = {"idempotency-key": f"6f1c0c8a-{number}"}
            assert (await client.post(REGISTRATIONS, json=CLAIM, headers=headers)).status_code == 201
        registration.replayed = False
        assert [(await client.post(REGISTRATIONS, json=CLAIM)).status_code for _ in range(2)] == [201, 429]


async def test_an_event_does_not_lock_another(registration: FakeRegistration) -> None:
    """They share neither uses nor refusals; an event's id counts in any spelling."""
    async with (
        running_gateway(registration.target, registrations_per_hour=2) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        registration.rejected_names["Noa Levi"] = FailedPrecondition("full", reason="EVENT_FULL")
        assert [(await client.post(REGISTRATIONS, json=CLAIM)).status_code for _ in range(3)] == [409, 409, 429]
        registration.rejected_names.clear()
        for event in ("lecture", EVENT_ID.upper()):
            path = f"/api/v1/schools/herzl/events/{event}/registrations"
            assert [(await client.post(path, json=CLAIM)).status_code for _ in range(3)] == [201, 201, 429]
        path = f"/api/v1/schools/herzl/events/{EVENT_ID}/registrations"
        assert (await client.post(path, json=CLAIM)).status_code == 429


PRODUCTION = {
    "deployment_environment": "production",
    "public_url": "https://tickets.example.org",
    "jwt_jwks_url": "https://127.0.0.1:1/jwks",
    "jwt_audience": "ticketcap",
    "service_token": SecretStr("a token of the provider"),
}


@pytest.mark.parametrize(
    "environment", [{"deployment_environment": "staging"}, PRODUCTION], ids=["staging", "production"]
)
async def test_a_schools_wifi_does_not_meet_the_default(
    registration: FakeRegistration, environment: dict[str, Any]
) -> None:
    """25 parents behind one address, at once: all are served, and all may cancel."""
    async with (
        running_gateway(registration.target, **environment) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        claims = [CLAIM | {"phone": f"050-12345{number}"} for number in range(10, 35)]
        answers = await asyncio.gather(*(client.post(REGISTRATIONS, json=claim) for claim in claims))
        assert [answer.status_code for answer in answers] == [201] * 25
        cancel = f"/api/v1/registrations/{REGISTRATION_ID}/cancel"
        holder = {"x-manage-token": "token"}
        answers = await asyncio.gather(*(client.post(cancel, headers=holder) for _ in claims))
        assert [answer.status_code for answer in answers] == [200] * 25


@pytest.mark.parametrize("client_header", ["{}", "{}:50123", "[2a00:1:2:{}::1]", "[2a00:1:2:{}::1]:443", "{}, unknown"])
async def test_clients_behind_a_proxy_are_told_apart(registration: FakeRegistration, client_header: str) -> None:
    """However the proxy writes their addresses."""
    proxies = (ipaddress.ip_network("127.0.0.0/8"),)
    async with (
        running_gateway(registration.target, registrations_per_hour=1, trusted_proxies=proxies) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        for number in (1, 2):
            name = str(number) if "2a00" in client_header else f"198.51.100.{number}"
            headers = {"x-forwarded-for": client_header.format(name)}
            answers = [await client.post(REGISTRATIONS, json=CLAIM, headers=headers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [201, 429]


async def test_public_writes_are_limited_by_address(registration: FakeRegistration) -> None:
    """REGISTRATIONS_PER_HOUR: the next one is a 429 with Retry-After, for this address and this kind only."""
    async with (
        running_gateway(
            registration.target, registrations_per_hour=2, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),)
        ) as gateway,
        httpx.AsyncClient(base_url=gateway.url, headers={"x-forwarded-for": "198.51.100.1"}) as client,
    ):
        wrong = await client.post(REGISTRATIONS, json=CLAIM | {"spots": 0})
        assert wrong.status_code == 422
        assert [(await client.post(REGISTRATIONS, json=CLAIM)).status_code for _ in range(3)] == [201, 201, 429]
        refused = await client.post(REGISTRATIONS, json=CLAIM)
        assert refused.json()["code"] == "RATE_LIMITED"
        assert 0 < int(refused.headers["retry-after"]) <= 7200
        other = await client.post(REGISTRATIONS, json=CLAIM, headers={"x-forwarded-for": "9.9.9.9, 198.51.100.2"})
        assert other.status_code == 201
        cancel = f"/api/v1/registrations/{REGISTRATION_ID}/cancel"
        holder = {"x-manage-token": "token"}
        assert [(await client.post(cancel, headers=holder)).status_code for _ in range(3)] == [200, 200, 429]
        assert (await client.post(cancel, headers=bearer("MANAGER"))).status_code == 200


async def test_forwarded_addresses_of_strangers_do_not_count(registration: FakeRegistration) -> None:
    """Without TRUSTED_PROXIES a client can't choose its address."""
    async with (
        running_gateway(registration.target, registrations_per_hour=1) as gateway,
        httpx.AsyncClient(base_url=gateway.url) as client,
    ):
        answers = [
            await client.post(REGISTRATIONS, json=CLAIM, headers={"x-forwarded-for": f"198.51.100.{number}"})
            for number in range(2)
        ]
    assert [answer.status_code for answer in answers] == [201, 429]
