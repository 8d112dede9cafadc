"""Who the client is, and how often it may write."""

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticketcap_chassis.errors import Busy
from ticketcap_gateway.limits import RateLimiter, client_address, subscriber
from ticketcap_gateway.testing import REGISTRATION_ID, FakeRegistration, bearer, running_gateway

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
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("2001:db8::1", ["2a00::5"], "2a00::5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    """What a client writes into X-Forwarded-For itself never counts."""
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
    """Whoever waits Retry-After seconds is let in then."""
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
    limiter = RateLimiter(1, max_addresses=100)
    for number in range(1000):
        limiter.use(f"192.0.2.{number}")
    assert len(limiter) == 100
    with pytest.raises(Busy):
        limiter.use("192.0.2.999")


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
