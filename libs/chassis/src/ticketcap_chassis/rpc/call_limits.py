"""Limit how many calls each caller has at once.

A TicketCap service names itself in ``service-authorization``, beside the token of the person that it calls for. Every
other caller has two names: its address, because unverified tokens can be invented, and its token, so that one token
does not have as many shares as addresses.
"""

import hashlib
import ipaddress
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import grpc.aio

from ticketcap_chassis.concurrency.fair_quota import FairQuota
from ticketcap_chassis.errors import Busy, ServiceError
from ticketcap_chassis.identity.roles import SERVICES
from ticketcap_chassis.identity.service_identity import SERVICE_AUTHORIZATION
from ticketcap_chassis.identity.tokens import KeyState, TokenVerifier, bearer_token

_IPV6_PREFIX: Final = 64
_MAX_SERVICES: Final = 64
_SERVICE_SECONDS: Final = 30.0
"""How long a verified token of a service is not verified again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How many calls of a kind are served at once; further calls get RESOURCE_EXHAUSTED with RetryInfo."""

    unary: int = 2048
    streams: int = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """The maker of a call, by the names under which its calls are counted."""

    names: tuple[str, ...]
    is_service: bool


class Callers:
    """Identify the callers of calls. Without a verifier no caller counts as a service."""

    def __init__(self, verifier: TokenVerifier | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._verifier = verifier
        self._clock = clock
        # Services by their verified tokens, each until a time: a service signs a new token every few minutes.
        self._services: dict[str, tuple[str, float]] = {}

    async def of(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """Return the caller of the call that ``context`` belongs to."""
        metadata = dict(context.invocation_metadata() or ())
        service = await self._service(bearer_token(str(metadata.get(SERVICE_AUTHORIZATION, ""))))
        if service:
            return Caller((f"service {service}",), is_service=True)
        names = [f"address {_address(context.peer())}"]
        token = bearer_token(str(metadata.get("authorization", "")))
        if token:
            names.append(f"token {hashlib.sha256(token.encode()).hexdigest()}")
        return Caller(tuple(names), is_service=False)

    async def _service(self, token: str) -> str:
        if not token or self._verifier is None:
            return ""
        name, until = self._services.get(token, ("", 0.0))
        if self._clock() < until:
            return name
        if self._verifier.keys is KeyState.MISSING:
            # Verifying would wait for the identity provider, and most calls need no token.
            return ""
        try:
            principal = await self._verifier.verify(token)
        except ServiceError:
            # The call is served nevertheless, with the share of an unverified caller.
            return ""
        if principal.role not in SERVICES:
            return ""
        if len(self._services) >= _MAX_SERVICES:
            self._services.clear()
        self._services[token] = principal.subject, self._clock() + _SERVICE_SECONDS
        return principal.subject


class Gate:
    """Limit calls of one kind to ``limit`` at once, fairly.

    One service may have three quarters of them. Other callers together may have half, and one of them an eighth.
    """

    def __init__(self, limit: int, kind: str) -> None:
        self._limit = limit
        self._kind = kind
        self._services = FairQuota(most=limit, share=max(1, limit * 3 // 4))
        self._others = FairQuota(most=max(1, limit // 2), share=max(1, limit // 8))

    def enter(self, caller: Caller) -> AbstractContextManager[None]:
        """Return a context manager that counts the call while it runs; raise Busy when no slot is left for ``caller``.

        The slot is taken on entering, so enter before the next await.
        """
        quota = self._services if caller.is_service else self._others
        if self._services.held + self._others.held >= self._limit or quota.is_full:
            raise Busy(f"{self._limit} {self._kind} are served at once; try again", reason="TOO_MANY_CALLS")
        if quota.used_up(caller.names):
            raise Busy(
                f"this caller has {quota.share} {self._kind} under way; wait for some to end", reason="TOO_MANY_CALLS"
            )
        return quota.hold(caller.names)


def _address(peer: str) -> str:
    """Return the address in gRPC's spelling of a peer, without its port; of IPv6 the /64, which is one subscriber."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind
    host = unquote(rest).rpartition(":")[0].strip("[]")
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
