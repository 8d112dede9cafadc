"""Build the parts of the stack, each with its needs and variables."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ticketcap_local import monitoring
from ticketcap_local.part import Part
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.postgres_part import PostgresPart
from ticketcap_local.process import CommandPart, ServicePart
from ticketcap_local.ready import grpc_serving, http_ok
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.state import StateFolder

_REGISTRATION_DATABASE: Final = "registration"
_PAYMENT_DATABASE: Final = "payment"
# The vendor's public test terminal; the simulator accepts it.
_TERMINAL: Final = {
    "YAADPAY_MASOF": "0010131918",
    "YAADPAY_KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
    "YAADPAY_PASSP": "yaad",
}


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that a part needs, and the variable that moves it."""

    name: str
    port: int
    variable: str


def needed_ports(settings: StackSettings) -> list[NeededPort]:
    """Return the ports that must be free before any part starts."""
    ports = [
        NeededPort("gateway", settings.gateway_port, "TICKETCAP_GATEWAY_PORT"),
        NeededPort("registration", settings.registration_port, "TICKETCAP_REGISTRATION_PORT"),
        NeededPort("payment", settings.payment_port, "TICKETCAP_PAYMENT_PORT"),
    ]
    if settings.yaadpay_base_url is None:
        ports.append(NeededPort("YaadPay simulator", settings.yaadpay_port, "TICKETCAP_YAADPAY_PORT"))
    for name in ("gateway", "registration", "payment"):
        port = getattr(settings, f"{name}_metrics_port")
        ports.append(NeededPort(f"{name}, metrics", port, f"TICKETCAP_{name.upper()}_METRICS_PORT"))
    if settings.database_url is None:
        ports.append(NeededPort("postgres", settings.postgres_port, "TICKETCAP_POSTGRES_PORT"))
    if settings.otlp_endpoint is None:
        ports.append(NeededPort("traces, gRPC", settings.otlp_grpc_port, "TICKETCAP_OTLP_GRPC_PORT"))
        ports.append(NeededPort("traces, HTTP", settings.otlp_http_port, "TICKETCAP_OTLP_HTTP_PORT"))
    if settings.with_monitoring:
        ports.append(NeededPort("prometheus", settings.prometheus_port, "TICKETCAP_PROMETHEUS_PORT"))
        ports.append(NeededPort("alertmanager", settings.alertmanager_port, "TICKETCAP_ALERTMANAGER_PORT"))
    return ports


def parts(settings: StackSettings, state: StateFolder) -> list[Part]:
    """Return the parts in the order of `ticketcap status`; they stop in the reverse order."""
    return Stack(settings, state).parts()


class Stack:
    """Builds the parts for one set of settings."""

    def __init__(self, settings: StackSettings, state: StateFolder) -> None:
        self._settings = settings
        self._state = state
        self._secrets = state.secrets()
        data_dir = settings.state_dir / "postgres" / "data"
        self._postgres = EmbeddedPostgres(data_dir, settings.postgres_port) if settings.database_url is None else None

    def parts(self) -> list[Part]:
        """Return the parts that no setting replaces."""
        own: list[Part] = []
        if self._postgres is not None:
            own.append(PostgresPart(server=self._postgres, databases=[_REGISTRATION_DATABASE, _PAYMENT_DATABASE]))
        if self._settings.otlp_endpoint is None:
            own.append(self._traces())
        if self._settings.yaadpay_base_url is None:
            own.append(self._yaadpay())
        own.append(self._schema("schema", "ticketcap_registration", self._database_url))
        own.append(self._schema("payment-schema", "ticketcap_payment", self._payment_database_url))
        watchers = monitoring.parts(self._settings, self._state) if self._settings.with_monitoring else []
        return [*own, self._registration(), self._payment(), self._gateway(), *watchers]

    def _traces(self) -> Part:
        settings = self._settings
        ports = {
            "TICKETCAP_OTLP_GRPC_PORT": str(settings.otlp_grpc_port),
            "TICKETCAP_OTLP_HTTP_PORT": str(settings.otlp_http_port),
        }
        return ServicePart(
            name="traces",
            argv=_module("ticketcap_local.sink"),
            env=lambda: {**self._common(), **ports},
            address=settings.traces_url,
            ready=http_ok(settings.otlp_http_port, "/api/traces?limit=1"),
            log_file=self._state.logs / "traces.log",
        )

    def _yaadpay(self) -> Part:
        settings = self._settings
        return ServicePart(
            name="yaadpay",
            argv=_module("ticketcap_yaadpay_simulator"),
            env=lambda: {
                **self._common(),
                "LISTEN_ADDRESS": f"{HOST}:{settings.yaadpay_port}",
                "SIMULATOR_STATE": str(settings.state_dir / "yaadpay.sqlite"),
                "SIMULATOR_SUCCESS_URL": f"{settings.gateway_url}/api/v1/payments/yaadpay/return",
            },
            address=f"{settings.yaadpay_url}/simulator/",
            ready=http_ok(settings.yaadpay_port, "/simulator/health"),
            log_file=self._state.logs / "yaadpay.log",
        )

    def _schema(self, name: str, module: str, database_url: Callable[[], str]) -> Part:
        return CommandPart(
            name=name,
            argv=[*_module(module), "migrate"],
            env=lambda: {**self._common(), "DATABASE_URL": database_url()},
            needs=["postgres"] if self._postgres is not None else [],
            log_file=self._state.logs / f"{name}.log",
        )

    def _registration(self) -> Part:
        port = self._settings.registration_port
        return ServicePart(
            name="registration",
            argv=_module("ticketcap_registration"),
            env=lambda: {
                **self._common(),
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "MANAGE_TOKEN_SECRET": self._secrets["MANAGE_TOKEN_SECRET"],
                "DATABASE_URL": self._database_url(),
                "LISTEN_ADDRESS": f"{HOST}:{port}",
                "METRICS_ADDRESS": f"{HOST}:{self._settings.registration_metrics_port}",
            },
            address=f"{HOST}:{port}",
            needs=["schema"],
            ready=grpc_serving(port),
            log_file=self._state.logs / "registration.log",
        )

    def _payment(self) -> Part:
        settings = self._settings
        simulated = {"YAADPAY_BASE_URL": f"{settings.yaadpay_url}/p/", **_TERMINAL}
        return ServicePart(
            name="payment",
            argv=_module("ticketcap_payment"),
            env=lambda: {
                **self._common(),
                **({} if settings.yaadpay_base_url else simulated),
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "DATABASE_URL": self._payment_database_url(),
                "REGISTRATION_TARGET": f"{HOST}:{settings.registration_port}",
                "LISTEN_ADDRESS": f"{HOST}:{settings.payment_port}",
                "METRICS_ADDRESS": f"{HOST}:{settings.payment_metrics_port}",
            },
            address=f"{HOST}:{settings.payment_port}",
            # It waits for registration and YaadPay by itself, so that all start at the same time.
            needs=["payment-schema"],
            ready=grpc_serving(settings.payment_port),
            log_file=self._state.logs / "payment.log",
        )

    def _gateway(self) -> Part:
        settings = self._settings
        return ServicePart(
            name="gateway",
            argv=_module("ticketcap_gateway"),
            env=lambda: {
                **self._common(),
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "REGISTRATION_TARGET": f"{HOST}:{settings.registration_port}",
                "PAYMENT_TARGET": f"{HOST}:{settings.payment_port}",
                "PUBLIC_URL": settings.gateway_url,
                "LISTEN_ADDRESS": f"{HOST}:{settings.gateway_port}",
                "METRICS_ADDRESS": f"{HOST}:{settings.gateway_metrics_port}",
            },
            address=settings.gateway_url,
            needs=["schema"],
            # It waits for registration by itself, so that both start at the same time.
            ready=http_ok(settings.gateway_port, "/readyz"),
            log_file=self._state.logs / "gateway.log",
        )

    def _database_url(self) -> str:
        return self._settings.database_url or (self._postgres.url(_REGISTRATION_DATABASE) if self._postgres else "")

    def _payment_database_url(self) -> str:
        external = self._settings.payment_database_url
        return external or (self._postgres.url(_PAYMENT_DATABASE) if self._postgres else "")

    def _common(self) -> Mapping[str, str]:
        settings = self._settings
        return {
            "DEPLOYMENT_ENVIRONMENT": "development",
            "GRPC_VERBOSITY": "ERROR",
            "OTEL_EXPORTER_OTLP_ENDPOINT": settings.otlp_endpoint or f"http://{HOST}:{settings.otlp_http_port}",
            # Docstrings take 6 MB of each service.
            "PYTHONOPTIMIZE": "2",
            # Stored bytecode halves a warm start, so it overrides the developer's own setting.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX") or str(self._state.bytecode),
        }


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
