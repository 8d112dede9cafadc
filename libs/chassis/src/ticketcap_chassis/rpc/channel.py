"""Open a channel to another service: deadlines, identity, trace context, safe retries."""

import json
from collections.abc import Sequence
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
# The callee must have time to answer before the caller's own deadline.
_SLACK_SECONDS: Final = 0.01


def open_channel(
    target: str,
    *,
    service: str,
    retried: Sequence[str],
    telemetry: Telemetry,
    identity: ServiceIdentity | None = None,
) -> grpc.aio.Channel:
    """Return a channel to ``target`` (host:port) for ``service``, by its full name; its calls carry ``identity``.

    ``retried`` are the methods that may be sent again after UNAVAILABLE or when the server was not reached: those
    without effect, or with an idempotency key.
    """
    options = [*OPTIONS, ("grpc.service_config", json.dumps(_service_config(service, retried)))]
    interceptors = [
        *telemetry.grpc_client_interceptors(target),
        _UnaryCalls(_Prepare(DEFAULT_TIMEOUT_SECONDS, identity)),
        # A stream without a deadline stays open until one side ends it.
        _ServerStreams(_Prepare(None, identity)),
    ]
    return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)


def _service_config(service: str, retried: Sequence[str]) -> dict[str, Any]:
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": service, "method": method} for method in retried]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": policy}] if names else [],
        # Under overload retries stop: each failure costs a token, ten successes earn one.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


@dataclass(frozen=True, slots=True)
class _Prepare:
    """Give a call its deadline and the calling service's token.

    The deadline in seconds is the call's own or ``default``, and at most the rest of the current caller's.
    """

    default: float | None
    identity: ServiceIdentity | None

    def __call__(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        timeout = details.timeout if details.timeout is not None else self.default
        left = deadlines.remaining()
        if left is not None:
            timeout = max(0.0, left - _SLACK_SECONDS if timeout is None else min(timeout, left - _SLACK_SECONDS))
        metadata = details.metadata
        if self.identity is not None:
            metadata = grpc.aio.Metadata(*(metadata or ()), (SERVICE_AUTHORIZATION, self.identity.bearer))
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
        return await continuation(self._prepare(client_call_details), request)


class _ServerStreams(grpc.aio.UnaryStreamClientInterceptor):
    """Prepare every server stream."""

    def __init__(self, prepare: _Prepare) -> None:
        self._prepare = prepare

    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Pass the prepared call on."""
        return await continuation(self._prepare(client_call_details), request)
