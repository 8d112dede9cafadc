"""Tell callers apart, so that each has a share of a server.

A TicketCap service names itself in ``service-authorization``, beside the token
of the person that it calls for. Every other caller is its address, because
unverified tokens can be invented, and its token too, so that
one token does not have as many shares as addresses.
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

from ticketcap_chassis.errors import Busy, ServiceError
from ticketcap_chassis.holders import Holders
from ticketcap_chassis.identity import SERVICES, KeyState, TokenVerifier, bearer_token
from ticketcap_chassis.service_identity import ServiceIdentity

HEADER: Final = "service-authorization"
_IPV6_PREFIX: Final = 64
_KEPT_TOKENS: Final = 64
_KEPT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """The maker of a call: the names under which it holds a place."""

    names: tuple[str, ...]
    is_service: bool


class Callers:
    """Names callers. Without a verifier none of them is a service."""

    def __init__(self, verifier: TokenVerifier | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._verifier = verifier
        self._clock = clock
        # Verified tokens of services, and until when they count: a service makes a new one every few minutes.
        self._services: dict[str, tuple[str, float]] = {}

    async def of(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        """Return who makes a call."""
        metadata = dict(context.invocation_metadata() or ())
        service = await self._service(bearer_token(str(metadata.get(HEADER, ""))))
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
            # The call is served all the same, as that of an unverified caller.
            return ""
        if principal.role not in SERVICES:
            return ""
        if len(self._services) >= _KEPT_TOKENS:
            self._services.clear()
        self._services[token] = principal.subject, self._clock() + _KEPT_SECONDS
        return principal.subject


class Gate:
    """Counts calls of one kind, ``limit`` at once, and refuses a caller that has its share.

    A service may have three quarters of all. Callers that are no services may
    have half of all together, and one of them an eighth.
    """

    def __init__(self, limit: int, kind: str) -> None:
        self._limit = limit
        self._kind = kind
        self._services = Holders(most=limit, share=max(1, limit * 3 // 4))
        self._others = Holders(most=max(1, limit // 2), share=max(1, limit // 8))

    def enter(self, caller: Caller) -> AbstractContextManager[None]:
        """Hold a place while the code inside runs; raises Busy when there is none for this caller."""
        shares = self._services if caller.is_service else self._others
        if self._services.held + self._others.held >= self._limit or shares.is_full:
            raise Busy(f"{self._limit} {self._kind} are served at once; try again", reason="TOO_MANY_CALLS")
        if shares.used_up(caller.names):
            raise Busy(
                f"this caller has {shares.share} {self._kind} under way; wait for some to end", reason="TOO_MANY_CALLS"
            )
        return shares.hold(caller.names)


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


def _identified(details: grpc.aio.ClientCallDetails, identity: ServiceIdentity) -> grpc.aio.ClientCallDetails:
    (_, bearer) = identity.metadata()[0]
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=details.timeout,
        metadata=grpc.aio.Metadata(*(details.metadata or ()), (HEADER, bearer)),
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class IdentifiedUnary(grpc.aio.UnaryUnaryClientInterceptor):
    """Says on every unary call which service makes it."""

    def __init__(self, identity: ServiceIdentity) -> None:
        self._identity = identity

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Pass the call on with the service's token."""
        return await continuation(_identified(client_call_details, self._identity), request)


class IdentifiedStream(grpc.aio.UnaryStreamClientInterceptor):
    """Says on every server stream which service opens it."""

    def __init__(self, identity: ServiceIdentity) -> None:
        self._identity = identity

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Pass the call on with the service's token."""
        return await continuation(_identified(client_call_details, self._identity), request)
