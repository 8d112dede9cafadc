"""Read typed settings once from the environment."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ticketcap_chassis.production import Rule, violations
from ticketcap_chassis.rpc.connection_age import ConnectionAge
from ticketcap_chassis.version import VERSION

_MIN_SECRET_LENGTH = 32
_UNSAFE: Final = "unsafe_in_production"


def _host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - the ports there are
        raise ValueError("must be host:port")
    return value


def check_secret(value: SecretStr) -> SecretStr:
    """Return ``value``; raise ValueError when it is too short for a secret."""
    if len(value.get_secret_value()) < _MIN_SECRET_LENGTH:
        raise ValueError(f"must have at least {_MIN_SECRET_LENGTH} characters")
    return value


def _host_and_port_or_nothing(value: str) -> str:
    return _host_and_port(value) if value else value


Address = Annotated[str, AfterValidator(_host_and_port)]
"""host:port"""

OptionalAddress = Annotated[str, AfterValidator(_host_and_port_or_nothing)]
"""host:port, or empty"""

Secret = Annotated[SecretStr, AfterValidator(check_secret)]
"""At least 32 characters; never printed."""


class ServiceSettings(BaseSettings):
    """The settings of every service. A field's name in capitals is its variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    production_rules: ClassVar[tuple[Rule, ...]] = ()
    """All rules of production for this service."""

    deployment_environment: Literal["development", "staging", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_seconds: float = Field(default=10.0, ge=0, le=300)
    """Longest time in seconds for calls to finish while the service drains."""

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        if self.in_production and (broken := violations(self, self.production_rules)):
            raise PydanticCustomError(_UNSAFE, "{broken}", {"broken": "\n".join(broken)})
        return self

    @property
    def in_production(self) -> bool:
        """Whether the rules of production apply."""
        return self.deployment_environment == "production"


class ServedSettings(ServiceSettings):
    """The settings of a service that serves gRPC and answers with metrics."""

    metrics_address: OptionalAddress = ""
    """Address of the page /metrics for Prometheus; empty: no page."""
    connection_age_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """The age at which a client's gRPC connection takes no new call, so that its client finds added replicas."""
    connection_grace_seconds: float = Field(default=90.0, ge=1, le=86_400)
    """The time that the calls of such a connection have to end; longer than the longest call or stream."""

    @property
    def connection_age(self) -> ConnectionAge:
        """The limit of a gRPC connection's age."""
        return ConnectionAge(seconds=self.connection_age_seconds, grace=self.connection_grace_seconds)


_Settings = TypeVar("_Settings", bound=BaseSettings)


def load(kind: type[_Settings]) -> _Settings:
    """Read settings of ``kind`` from the environment; stop the process with the names of invalid variables."""
    try:
        return kind()
    except ValidationError as error:
        sys.exit(explain(error))


def explain(error: ValidationError) -> str:
    """Return which variables are invalid and why, without their values."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        if problem["type"] == _UNSAFE:
            lines += problem["msg"].split("\n")  # each line names its variable
            continue
        variable = "_".join(str(part) for part in problem["loc"]).upper()
        lines.append(f"{variable or 'settings'}: {problem['msg'].removeprefix('Value error, ')}")
    if len(lines) == 1:
        return f"the environment's settings are wrong: {lines[0]}"
    return "the environment's settings are wrong:\n  " + "\n  ".join(lines)


def release(environ: Mapping[str, str] = os.environ, version: str = VERSION) -> str:
    """Return the release for logs, telemetry and Sentry: ``ticketcap@<version>+<git sha>``.

    SENTRY_RELEASE replaces it. The sha is GIT_SHA, which the build sets, or "dev".
    """
    return environ.get("SENTRY_RELEASE") or f"ticketcap@{version}+{environ.get('GIT_SHA', 'dev') or 'dev'}"
