"""Check that one caller can't take all of a server's calls."""

import time
from contextlib import ExitStack
from typing import Any

import jwt
import pytest
from ticketcap_chassis.errors import Busy
from ticketcap_chassis.identity.service_identity import SERVICE_AUTHORIZATION
from ticketcap_chassis.identity.tokens import ISSUER, TokenVerifier
from ticketcap_chassis.rpc.call_limits import Caller, Callers, Gate

SECRET = "a secret for tests only, never for anything else"
VERIFIER = TokenVerifier(secret=SECRET)


class Context:
    """The metadata and peer of a call."""

    def __init__(self, peer: str, **metadata: str) -> None:
        self._peer = peer
        self._metadata = [(name.replace("_", "-"), value) for name, value in metadata.items()]

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self._metadata


def token(role: str, *, secret: str = SECRET) -> str:
    claims = {"sub": "gateway", "role": role, "iss": ISSUER, "exp": int(time.time()) + 86_400, "school": "herzl"}
    return f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"


async def names(context: Any, verifier: TokenVerifier | None = VERIFIER) -> Caller:
    return await Callers(verifier).of(context)


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("ipv4:192.0.2.1:50000", "address 192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50000", "address 2001:db8::/64"),
        ("ipv6:[2001:db8::2]:50001", "address 2001:db8::/64"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:50000", "address 192.0.2.1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:50000", "address fe80::/64"),
        ("unix:", "address unix"),
        ("nonsense", "address nonsense"),
    ],
)
async def test_a_caller_without_a_token_is_its_address(peer: str, name: str) -> None:
    """Callers on any port are one address; an IPv6 /64 is one address."""
    assert await names(Context(peer)) == Caller((name,), is_service=False)


async def test_a_person_is_address_and_token() -> None:
    """The token is not verified yet, and its readable form is not stored."""
    one = await names(Context("ipv4:192.0.2.1:1", authorization="Bearer secret"))
    other = await names(Context("ipv4:192.0.2.2:1", authorization="Bearer secret"))
    assert one.names[0] != other.names[0]
    assert one.names[1] == other.names[1]
    assert "secret" not in " ".join(one.names)


async def test_a_service_is_known_by_a_verified_token_of_its_role() -> None:
    """Not by one that is forged or of another role, nor where nothing verifies."""
    peer = "ipv4:192.0.2.1:1"
    assert await names(Context(peer, **{SERVICE_AUTHORIZATION: token("SERVICE")})) == Caller(
        ("service gateway",), is_service=True
    )
    address = Caller(("address 192.0.2.1",), is_service=False)
    for bad in (token("SERVICE", secret="x" * 40), token("OWNER"), "Bearer nonsense", ""):
        assert await names(Context(peer, **{SERVICE_AUTHORIZATION: bad})) == address
    assert await names(Context(peer, **{SERVICE_AUTHORIZATION: token("SERVICE")}), None) == address


async def test_verified_tokens_are_kept_for_a_while() -> None:
    """A service's calls do not verify its token each; memory is bounded."""
    clock = iter(range(1_000))
    callers = Callers(VERIFIER, clock=lambda: float(next(clock)))
    good = token("SERVICE")
    for number in range(100):
        claims = {"sub": str(number), "role": "SERVICE", "iss": ISSUER, "exp": int(time.time()) + 600}
        each = f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"
        caller = await callers.of(Context("ipv4:192.0.2.1:1", **{SERVICE_AUTHORIZATION: each}))  # type: ignore[arg-type]
        assert caller.names == (f"service {number}",)
    assert len(callers._services) <= 64
    for _ in range(100):
        assert (await callers.of(Context("ipv4:192.0.2.1:1", **{SERVICE_AUTHORIZATION: good}))).is_service  # type: ignore[arg-type]


def test_nobody_has_all_places() -> None:
    """A caller has an eighth, callers without a service's token half together, a service three quarters."""
    gate = Gate(16, "calls")
    services = [Caller((f"service {name}",), is_service=True) for name in ("gateway", "payment")]
    others = [Caller((f"address {number}",), is_service=False) for number in range(20)]

    def taken(caller: Caller, stack: ExitStack) -> int:
        for count in range(100):
            try:
                stack.enter_context(gate.enter(caller))
            except Busy:
                return count
        raise AssertionError("there is no limit")

    with ExitStack() as stack:
        assert [taken(other, stack) for other in others[:5]] == [2, 2, 2, 2, 0]
        assert [taken(service, stack) for service in services] == [8, 0]
    with ExitStack() as stack:
        assert [taken(service, stack) for service in services] == [12, 4]
        assert taken(others[0], stack) == 0
    with ExitStack() as stack:
        both = Caller(("address 1", "token 1"), is_service=False)
        assert taken(both, stack) == 2
        assert taken(Caller(("address 2", "token 1"), is_service=False), stack) == 0
        assert taken(others[2], stack) == 2
