"""A channel to another service: trace context, the caller's remaining time, retries where they are safe."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc.aio
from ticketcap_observability import Telemetry

from ticketcap_chassis import deadlines
from ticketcap_chassis.callers import IdentifiedStream, IdentifiedUnary
from ticketcap_chassis.service_identity import ServiceIdentity

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
OPTIONS: Final[list[tuple[str, int]]] = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A killed server comes back within a second or two: do not wait for minutes then.
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
    """Return a channel to ``target`` for ``service`` (its full name), on whose calls ``identity`` says who makes them.

    ``retried`` are the methods that may be sent again when the server was not
    reached or said UNAVAILABLE: those without effect, or with an idempotency key.
    """
    options = [*OPTIONS, ("grpc.service_config", json.dumps(_service_config(service, retried)))]
    interceptors = [*telemetry.grpc_client_interceptors(target), DeadlineUnary(), DeadlineStream()]
    if identity is not None:
        interceptors += [IdentifiedUnary(identity), IdentifiedStream(identity)]
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
        # Under overload retries stop by themselves: each failure costs a token, ten successes earn one.
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


def _shortened(details: grpc.aio.ClientCallDetails, default: float | None) -> grpc.aio.ClientCallDetails:
    """Return ``details`` with at most the time that the current caller still waits."""
    timeout = details.timeout if details.timeout is not None else default
    left = deadlines.remaining()
    if left is not None:
        timeout = max(0.0, left - _SLACK_SECONDS if timeout is None else min(timeout, left - _SLACK_SECONDS))
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=timeout,
        metadata=details.metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class DeadlineUnary(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every unary call a deadline: its own, the default, or what is left of the caller's."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Pass the call on with its deadline."""
        return await continuation(_shortened(client_call_details, DEFAULT_TIMEOUT_SECONDS), request)


class DeadlineStream(grpc.aio.UnaryStreamClientInterceptor):
    """Gives a server stream what is left of the caller's deadline, if there is one."""

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Pass the call on with its deadline."""
        return await continuation(_shortened(client_call_details, None), request)
