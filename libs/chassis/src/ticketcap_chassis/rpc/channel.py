"""Open a channel to another service: deadlines, identity, trace context, safe retries."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio
from ticketcap_observability import Telemetry

from ticketcap_chassis import deadlines
from ticketcap_chassis.identity.service_identity import SERVICE_AUTHORIZATION, ServiceIdentity

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
OPTIONS: Final[list[tuple[str, int]]] = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A killed server is back within a second or two: gRPC's own backoff would wait for minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
]
AFFINITY_HEADER: Final = "x-event"
"""Routes a call and means nothing else: any caller can write anything into it."""
# Without this variable gRPC takes the hash from xDS alone, and every call fails. It is read with a service config.
_HEADER_AS_HASH: Final = "GRPC_EXPERIMENTAL_RING_HASH_SET_REQUEST_HASH_KEY"
# The callee must have time to answer before the caller's own deadline.
_SLACK_SECONDS: Final = 0.01


def open_channel(
    target: str,
    *,
    service: str,
    retried: Sequence[str],
    telemetry: Telemetry,
    identity: ServiceIdentity | None = None,
    affinity: Callable[[Any], str] | None = None,
) -> grpc.aio.Channel:
    """Return a channel to ``target`` for ``service``, by its full name; its calls carry ``identity``.

    ``target`` is host:port or another of gRPC's names, such as ``ipv4:host:port,host:port``. Calls are spread over its
    addresses. With ``affinity`` all requests for which it returns the same key (ASCII) go to one of them; those
    without a key ("") are spread.

    ``retried`` are the methods that may be sent again after UNAVAILABLE or when the server was not reached: those
    without effect, or with an idempotency key.
    """
    options = [*OPTIONS, ("grpc.service_config", json.dumps(_service_config(service, retried, affinity is not None)))]
    if affinity is not None:
        os.environ[_HEADER_AS_HASH] = "true"
    interceptors = [
        *telemetry.grpc_client_interceptors(target),
        _UnaryCalls(_Prepare(DEFAULT_TIMEOUT_SECONDS, identity, affinity)),
        # A stream without a deadline stays open until one side ends it.
        _ServerStreams(_Prepare(None, identity, affinity)),
    ]
    return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)


def _service_config(service: str, retried: Sequence[str], has_affinity: bool) -> dict[str, Any]:
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": service, "method": method} for method in retried]
    policies: list[dict[str, Any]] = [{"round_robin": {}}]
    if has_affinity:
        policies = [{"ring_hash_experimental": {"requestHashHeader": AFFINITY_HEADER}}]
    return {
        "loadBalancingConfig": policies,
        "methodConfig": [{"name": names, "retryPolicy": policy}] if names else [],
        # Under overload retries stop: each failure costs a token, ten successes earn one.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


@dataclass(frozen=True, slots=True)
class _Prepare:
    """Give a call its deadline, the calling service's token and the key of its replica.

    The deadline in seconds is the call's own or ``default``, and at most the rest of the current caller's.
    """

    default: float | None
    identity: ServiceIdentity | None
    affinity: Callable[[Any], str] | None

    def __call__(self, details: grpc.aio.ClientCallDetails, request: Any) -> grpc.aio.ClientCallDetails:
        timeout = details.timeout if details.timeout is not None else self.default
        left = deadlines.remaining()
        if left is not None:
            timeout = max(0.0, left - _SLACK_SECONDS if timeout is None else min(timeout, left - _SLACK_SECONDS))
        metadata = details.metadata
        if self.identity is not None:
            metadata = grpc.aio.Metadata(*(metadata or ()), (SERVICE_AUTHORIZATION, self.identity.bearer))
        if self.affinity is not None and (key := self.affinity(request)):
            metadata = grpc.aio.Metadata(*(metadata or ()), (AFFINITY_HEADER, key))
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _UnaryCalls(grpc.aio.UnaryUnaryClientInterceptor):
    """Prepare every unary call."""

    def __init__(self, prepare: _Prepare) -> None:
        self._prepare = prepare

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Pass the prepared call on."""
        return await continuation(self._prepare(client_call_details, request), request)


class _ServerStreams(grpc.aio.UnaryStreamClientInterceptor):
    """Prepare every server stream."""

    def __init__(self, prepare: _Prepare) -> None:
        self._prepare = prepare

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Pass the prepared call on."""
        return await continuation(self._prepare(client_call_details, request), request)
