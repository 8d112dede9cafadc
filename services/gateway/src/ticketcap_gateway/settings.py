"""What the environment tells the gateway."""

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, field_validator
from pydantic_settings import NoDecode
from ticketcap_chassis.service_identity import CallerSettings
from ticketcap_chassis.settings import Address, OptionalAddress, ServiceSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRODUCTION_REGISTRATIONS_PER_HOUR: Final = 20
_NETWORKS: Final[TypeAdapter[tuple[Network, ...]]] = TypeAdapter(tuple[Network, ...])


class GatewaySettings(ServiceSettings, CallerSettings):
    """Every limit of the gateway, once. Sizes are in bytes, times in seconds."""

    listen_address: Address = "127.0.0.1:8080"
    metrics_address: OptionalAddress = "127.0.0.1:9460"
    """Where Prometheus reads /metrics; nothing: nowhere."""
    registration_target: str = Field(default="127.0.0.1:50051", min_length=1)
    payment_target: str = Field(default="127.0.0.1:50052", min_length=1)
    public_url: str = "http://127.0.0.1:8080"
    """Where people reach this gateway; links to its pages begin with it."""

    registrations_per_hour: int | None = Field(default=None, ge=0, le=1_000_000)
    """Public writes of a kind of one client address in an hour; 0 is no limit. Unset: 20, and none in development."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    """Whose X-Forwarded-For counts; addresses or networks, separated by commas."""

    max_body_bytes: int = Field(default=65_536, ge=1_024, le=16_777_216)
    max_header_bytes: int = Field(default=16_384, ge=1_024, le=1_048_576)
    max_connections: int = Field(default=2_048, ge=1, le=65_536)
    max_connections_per_address: int = Field(default=512, ge=1, le=65_536)
    """Of one peer, an IPv6 /64 being one; trusted proxies speak for many, and have no such limit."""
    max_requests_per_address: int = Field(default=512, ge=1, le=65_536)
    """Under way at once for one client address; behind a trusted proxy its client's."""
    max_streams: int = Field(default=500, ge=0, le=65_536)
    max_streams_per_address: int = Field(default=50, ge=0, le=65_536)
    """Of one client address; behind a trusted proxy its client's."""
    max_waiting_claims: int = Field(default=4_096, ge=1, le=65_536)

    request_seconds: float = Field(default=10.0, gt=0, le=300)
    """The deadline of a request; it travels to the services."""
    payment_seconds: float = Field(default=25.0, gt=0, le=300)
    """The deadline of what YaadPay may have to be asked for: a page, a refund, a finding."""
    return_seconds: float = Field(default=15.0, gt=0, le=300)
    """The deadline of who comes back from YaadPay; settling goes on after it."""
    read_seconds: float = Field(default=10.0, gt=0, le=300)
    """How long a client may take to send a request's headers, and then its body."""
    write_seconds: float = Field(default=30.0, gt=0, le=300)
    """How long a client may take nothing of an answer before it is cut off."""
    keep_alive_seconds: int = Field(default=30, ge=1, le=3_600)
    export_seconds: float = Field(default=60.0, gt=0, le=600)
    heartbeat_seconds: float = Field(default=15.0, gt=0, le=300)
    drain_delay_seconds: float = Field(default=0.0, ge=0, le=60)
    """How long /readyz says no before the listener closes, so that a load balancer sees it."""

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
        """The limit that holds for one client address; None is no limit."""
        if self.registrations_per_hour is not None:
            return self.registrations_per_hour or None
        return None if self.deployment_environment == "development" else _PRODUCTION_REGISTRATIONS_PER_HOUR

    @property
    def has_test_error(self) -> bool:
        """Whether /api/test-error exists."""
        return not self.in_production if self.test_error_enabled is None else self.test_error_enabled
