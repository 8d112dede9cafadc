"""Build the parts of the stack, each with its needs and variables."""

import dataclasses
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ticketcap_local import monitoring
from ticketcap_local.part import Part
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_local.postgres_part import PostgresPart
from ticketcap_local.process import CommandPart, Environment, ServicePart
from ticketcap_local.ready import grpc_serving, http_ok
from ticketcap_local.settings import HOST, StackSettings
from ticketcap_local.state import StateFolder

_REGISTRATION: Final = "registration"
_PAYMENT: Final = "payment"
# The vendor's public test terminal; the simulator accepts it.
_TERMINAL: Final = {
    "YAADPAY_MASOF": "0010131918",
    "YAADPAY_KEY": "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
    "YAADPAY_PASSP": "yaad",
}

Ready = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that a part needs, and the variable that moves it."""

    name: str
    port: int
    variable: str


def needed_ports(settings: StackSettings) -> list[NeededPort]:
    """Return the ports that must be free before any part starts."""
    replaced = {
        "yaadpay": settings.yaadpay_base_url is not None,
        "postgres": settings.database_url is not None,
        "otlp_grpc": settings.otlp_endpoint is not None,
        "otlp_http": settings.otlp_endpoint is not None,
        "prometheus": not settings.with_monitoring,
        "alertmanager": not settings.with_monitoring,
    }
    names = [field.name.removesuffix("_port") for field in dataclasses.fields(settings) if "_port" in field.name]
    return [
        NeededPort(name.replace("_", " "), getattr(settings, f"{name}_port"), f"TICKETCAP_{name.upper()}_PORT")
        for name in names
        if not replaced.get(name)
    ]


def parts(settings: StackSettings, state: StateFolder) -> list[Part]:
    """Return the parts in the order of `ticketcap status`; they stop in the reverse order."""
    return _Stack(settings, state).parts()


class _Stack:
    """Builds the parts for one set of settings."""

    def __init__(self, settings: StackSettings, state: StateFolder) -> None:
        self._settings = settings
        self._state = state
        self._secrets = state.secrets()
        data_dir = settings.state_dir / "postgres" / "data"
        self._postgres = EmbeddedPostgres(data_dir, settings.postgres_port) if settings.database_url is None else None

    def parts(self) -> list[Part]:
        """Return the parts that no setting replaces."""
        settings = self._settings
        own: list[Part] = []
        if self._postgres is not None:
            own.append(PostgresPart(server=self._postgres, databases=[_REGISTRATION, _PAYMENT]))
        if settings.otlp_endpoint is None:
            own.append(self._traces())
        if settings.yaadpay_base_url is None:
            own.append(self._yaadpay())
        watchers = monitoring.parts(settings, self._state) if settings.with_monitoring else []
        schemas = [self._schema("schema", _REGISTRATION), self._schema("payment-schema", _PAYMENT)]
        return [*own, *schemas, self._registration(), self._payment(), self._gateway(), *watchers]

    def _traces(self) -> Part:
        settings = self._settings
        return self._service(
            "traces",
            "ticketcap_local.sink",
            lambda: {
                "TICKETCAP_OTLP_GRPC_PORT": str(settings.otlp_grpc_port),
                "TICKETCAP_OTLP_HTTP_PORT": str(settings.otlp_http_port),
            },
            address=settings.traces_url,
            ready=http_ok(settings.otlp_http_port, "/api/traces?limit=1"),
        )

    def _yaadpay(self) -> Part:
        settings = self._settings
        return self._service(
            "yaadpay",
            "ticketcap_yaadpay_simulator",
            lambda: {
                "LISTEN_ADDRESS": f"{HOST}:{settings.yaadpay_port}",
                "SIMULATOR_STATE": str(settings.state_dir / "yaadpay.sqlite"),
                "SIMULATOR_SUCCESS_URL": f"{settings.gateway_url}/api/v1/payments/yaadpay/return",
            },
            address=f"{settings.yaadpay_url}/simulator/",
            ready=http_ok(settings.yaadpay_port, "/simulator/health"),
        )

    def _schema(self, name: str, database: str) -> Part:
        return CommandPart(
            name=name,
            argv=[*_module(f"ticketcap_{database}"), "migrate"],
            env=lambda: {**self._common(), "DATABASE_URL": self._database_url(database)},
            needs=["postgres"] if self._postgres is not None else [],
            log_file=self._state.logs / f"{name}.log",
        )

    def _registration(self) -> Part:
        settings = self._settings
        return self._service(
            "registration",
            "ticketcap_registration",
            lambda: {
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "MANAGE_TOKEN_SECRET": self._secrets["MANAGE_TOKEN_SECRET"],
                "DATABASE_URL": self._database_url(_REGISTRATION),
                "LISTEN_ADDRESS": f"{HOST}:{settings.registration_port}",
                "METRICS_ADDRESS": f"{HOST}:{settings.registration_metrics_port}",
            },
            address=f"{HOST}:{settings.registration_port}",
            needs=["schema"],
            ready=grpc_serving(settings.registration_port),
        )

    def _payment(self) -> Part:
        settings = self._settings
        simulated = {"YAADPAY_BASE_URL": f"{settings.yaadpay_url}/p/", **_TERMINAL}
        return self._service(
            "payment",
            "ticketcap_payment",
            lambda: {
                **({} if settings.yaadpay_base_url else simulated),
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "DATABASE_URL": self._database_url(_PAYMENT),
                "REGISTRATION_TARGET": f"{HOST}:{settings.registration_port}",
                "LISTEN_ADDRESS": f"{HOST}:{settings.payment_port}",
                "METRICS_ADDRESS": f"{HOST}:{settings.payment_metrics_port}",
            },
            address=f"{HOST}:{settings.payment_port}",
            # It waits for registration and YaadPay by itself, so that all start at the same time.
            needs=["payment-schema"],
            ready=grpc_serving(settings.payment_port),
        )

    def _gateway(self) -> Part:
        settings = self._settings
        return self._service(
            "gateway",
            "ticketcap_gateway",
            lambda: {
                "JWT_SECRET": self._secrets["JWT_SECRET"],
                "REGISTRATION_TARGET": f"{HOST}:{settings.registration_port}",
                "PAYMENT_TARGET": f"{HOST}:{settings.payment_port}",
                "PUBLIC_URL": settings.gateway_url,
                "LISTEN_ADDRESS": f"{HOST}:{settings.gateway_port}",
                "METRICS_ADDRESS": f"{HOST}:{settings.gateway_metrics_port}",
            },
            address=settings.gateway_url,
            # It waits for registration by itself, so that both start at the same time.
            needs=["schema"],
            ready=http_ok(settings.gateway_port, "/readyz"),
        )

    def _service(
        self, name: str, module: str, env: Environment, *, address: str, ready: Ready, needs: Sequence[str] = ()
    ) -> Part:
        return ServicePart(
            name=name,
            argv=_module(module),
            env=lambda: {**self._common(), **env()},
            address=address,
            needs=needs,
            ready=ready,
            log_file=self._state.logs / f"{name}.log",
        )

    def _database_url(self, name: str) -> str:
        external = {_REGISTRATION: self._settings.database_url, _PAYMENT: self._settings.payment_database_url}[name]
        return external or (self._postgres.url(name) if self._postgres else "")

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
