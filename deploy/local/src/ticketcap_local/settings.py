"""Read the stack's folder, ports and replacements from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ticketcap_local.errors import CommandError

HOST: Final = "127.0.0.1"


class SettingError(CommandError):
    """A variable has an invalid value; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """The stack's folder and ports; everything listens on loopback only."""

    state_dir: Path = Path(".ticketcap")
    gateway_port: int = 8080
    registration_port: int = 50051
    payment_port: int = 50052
    yaadpay_port: int = 8090
    gateway_metrics_port: int = 9460
    registration_metrics_port: int = 9461
    payment_metrics_port: int = 9462
    postgres_port: int = 15432
    otlp_grpc_port: int = 4317
    otlp_http_port: int = 4318
    prometheus_port: int = 9090
    alertmanager_port: int = 9093
    with_monitoring: bool = False
    """True runs Prometheus and Alertmanager beside the services; ``up --monitoring`` sets it."""
    database_url: str | None = None
    """Replaces the embedded PostgreSQL for the registration service."""
    payment_database_url: str | None = None
    """Replaces it for the payment service; unset: the database ``payment`` beside that of ``database_url``."""
    yaadpay_base_url: str | None = None
    """Replaces the simulator; the terminal's YAADPAY_* must then be set too."""
    otlp_endpoint: str | None = None
    """Replaces the trace sink."""

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "StackSettings":
        """Read TICKETCAP_* and the variables that replace parts; raise SettingError."""
        ports: dict[str, Any] = {
            field.name: _port(environ, f"TICKETCAP_{field.name.upper()}", field.default)
            for field in fields(cls)
            if field.name.endswith("_port") and isinstance(field.default, int)
        }
        registration, payment = _databases(environ)
        return cls(
            state_dir=Path(environ.get("TICKETCAP_STATE_DIR") or ".ticketcap").absolute(),
            database_url=registration,
            payment_database_url=payment,
            yaadpay_base_url=environ.get("YAADPAY_BASE_URL") or None,
            otlp_endpoint=environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
            **ports,
        )

    @property
    def gateway_url(self) -> str:
        """The gateway's address."""
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def yaadpay_url(self) -> str:
        """The simulator's address."""
        return f"http://{HOST}:{self.yaadpay_port}"

    @property
    def traces_url(self) -> str:
        """The address of the sink's traces."""
        return f"http://{HOST}:{self.otlp_http_port}/api/traces"


def _databases(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the URLs of registration's and payment's databases; None for the embedded server."""
    registration, payment = (environ.get(name) or None for name in ("DATABASE_URL", "PAYMENT_DATABASE_URL"))
    if registration is None and payment is None:
        return None, None
    # libpq takes time to load; only an external database needs it.
    from ticketcap_chassis.database.connection_string import WrongConnectionString, beside, connection_parameters

    variable = "DATABASE_URL"
    try:
        next_to_it = beside(registration, "payment") if registration else None
        variable = "PAYMENT_DATABASE_URL"
        if payment:
            connection_parameters(payment)
    except WrongConnectionString as error:
        raise SettingError(f"{variable}: {error}") from None
    return registration, payment or next_to_it


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    value = environ.get(variable) or str(default)
    if not (value.isdecimal() and 0 < int(value) < 65536):  # noqa: PLR2004 - the ports there are
        raise SettingError(f"{variable}: must be a port number")
    return int(value)
