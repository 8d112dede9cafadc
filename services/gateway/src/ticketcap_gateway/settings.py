"""Read the gateway's settings from the environment."""

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, field_validator
from pydantic_settings import NoDecode
from ticketcap_chassis.identity.identity_settings import CALLER_RULES, CallerSettings
from ticketcap_chassis.production import Rule, is_https, is_local
from ticketcap_chassis.settings import Address, OptionalAddress, ServiceSettings

from ticketcap_gateway.edge.addresses import Network

# A whole school registers from one address: its Wi-Fi, or its carrier's.
_PRODUCTION_REGISTRATIONS_PER_HOUR: Final = 300
_REFUSED_RETURNS_PER_HOUR: Final = 20
_NETWORKS: Final[TypeAdapter[tuple[Network, ...]]] = TypeAdapter(tuple[Network, ...])
# By IP version. Every address in such a network decides which client it speaks for.
_WIDEST_PREFIX: Final = {4: 8, 6: 32}
_PRIVATE_IPV6: Final = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))


def _is_narrow(network: Network) -> bool:
    if isinstance(network, ipaddress.IPv6Network) and any(network.subnet_of(private) for private in _PRIVATE_IPV6):
        return True
    return network.prefixlen >= _WIDEST_PREFIX[network.version]


PRODUCTION_RULES: Final = (
    *CALLER_RULES,
    Rule(
        "PUBLIC_URL",
        "must be the https address under which people reach this gateway",
        lambda settings: is_https(settings.public_url) and not is_local(urlsplit(settings.public_url).hostname or ""),
    ),
    Rule(
        "TRUSTED_PROXIES",
        "must name the proxies' own networks, at most /8 (IPv6: /32) wide: any address in them may claim to be another",
        lambda settings: all(_is_narrow(network) for network in settings.trusted_proxies),
    ),
    Rule(
        "TEST_ERROR_ENABLED",
        "must not be switched on: /api/test-error fails on purpose",
        lambda settings: not settings.test_error_enabled,
    ),
)
"""Production's demands on this service."""


class GatewaySettings(CallerSettings, ServiceSettings):
    """The settings of the gateway, all of its limits included. Sizes are in bytes, times in seconds."""

    production_rules = PRODUCTION_RULES

    listen_address: Address = "127.0.0.1:8080"
    metrics_address: OptionalAddress = "127.0.0.1:9460"
    """The address of /metrics for Prometheus; empty: off."""
    registration_target: str = Field(default="127.0.0.1:50051", min_length=1)
    payment_target: str = Field(default="127.0.0.1:50052", min_length=1)
    public_url: str = "http://127.0.0.1:8080"
    """The gateway's address for people; links to its pages begin with it."""

    registrations_per_hour: int | None = Field(default=None, ge=0, le=1_000_000)
    """Public writes of a kind, of one client address to one event or registration, in an hour; 0 is no limit.

    Unset: 300, and none in development.
    """
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Proxies whose X-Forwarded-For counts: addresses or networks, separated by commas."""

    max_body_bytes: int = Field(default=65_536, ge=1_024, le=16_777_216)
    max_header_bytes: int = Field(default=16_384, ge=1_024, le=1_048_576)
    max_connections: int = Field(default=2_048, ge=1, le=65_536)
    max_connections_per_address: int = Field(default=512, ge=1, le=65_536)
    """Connections of one peer; an IPv6 /64 is one peer. Trusted proxies speak for many clients, and are exempt."""
    max_requests_per_address: int = Field(default=512, ge=1, le=65_536)
    """Requests in progress for one client address; behind a trusted proxy, its client's."""
    max_streams: int = Field(default=500, ge=0, le=65_536)
    max_event_streams: int = Field(default=400, ge=1, le=65_536)
    """Streams of one event; less than MAX_STREAMS, so that other events can be watched."""
    max_streams_per_address: int = Field(default=50, ge=0, le=65_536)
    """Streams of one client address; behind a trusted proxy, its client's."""
    max_waiting_claims: int = Field(default=4_096, ge=1, le=65_536)
    max_event_claims: int = Field(default=1_536, ge=1, le=65_536)
    """Claims of one event that wait or are in flight; less than MAX_CONNECTIONS, so that others can connect."""

    request_seconds: float = Field(default=10.0, gt=0, le=300)
    """The deadline of a request; it travels to the services."""
    payment_seconds: float = Field(default=25.0, gt=0, le=300)
    """The deadline of calls that may wait for YaadPay: opening a payment, refunds, resolutions."""
    return_seconds: float = Field(default=15.0, gt=0, le=300)
    """The deadline of a return from YaadPay; settling continues after it."""
    read_seconds: float = Field(default=10.0, gt=0, le=300)
    """The time for a request's headers, and again for its body."""
    write_seconds: float = Field(default=30.0, gt=0, le=300)
    """The time after which a client that reads nothing of an answer is cut off."""
    keep_alive_seconds: int = Field(default=30, ge=1, le=3_600)
    export_seconds: float = Field(default=60.0, gt=0, le=600)
    watch_renew_seconds: float = Field(default=60.0, gt=0, le=3_600)
    """The age at which a new stream of seats replaces one from the registration service."""
    heartbeat_seconds: float = Field(default=15.0, gt=0, le=300)
    drain_delay_seconds: float = Field(default=0.0, ge=0, le=60)
    """The time that /readyz answers 503 before the listener closes, so that a load balancer sees it."""

    test_error_enabled: bool | None = None
    """Whether /api/test-error exists. Unset: everywhere but in production."""

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        beyond = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
        if parts.scheme not in {"http", "https"} or not parts.hostname or beyond:
            raise ValueError("must be scheme and host, like https://tickets.example.org")
        return value.rstrip("/")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return _NETWORKS.validate_python([part.strip() for part in value.split(",") if part.strip()])

    @property
    def public_writes_per_hour(self) -> int | None:
        """The limit of one client address for one event or registration; None is no limit."""
        if self.registrations_per_hour is not None:
            return self.registrations_per_hour or None
        return None if self.deployment_environment == "development" else _PRODUCTION_REGISTRATIONS_PER_HOUR

    @property
    def refused_returns_per_hour(self) -> int | None:
        """The limit of returns that YaadPay did not send, for one client address; None is no limit."""
        limit = self.public_writes_per_hour
        return None if limit is None else min(limit, _REFUSED_RETURNS_PER_HOUR)

    @property
    def has_test_error(self) -> bool:
        """Whether /api/test-error exists."""
        return not self.in_production if self.test_error_enabled is None else self.test_error_enabled
