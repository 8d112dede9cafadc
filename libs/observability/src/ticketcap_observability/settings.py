"""What the standard OTEL_* variables say, checked: a wrong value stops the service with the variable's name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

Protocol = Literal["grpc", "http/protobuf"]

_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_PRODUCTION_RATIO: Final = 0.1
_DAY_MS: Final = 86_400_000
_HEADER_NAME: Final = re.compile(r"[a-z0-9_.-]+")


class TelemetrySettingError(ValueError):
    """A variable holds what it must not; the message names it."""

    def __init__(self, variable: str, must: str) -> None:
        super().__init__(f"{variable}: {must}")
        self.variable = variable


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where telemetry goes and how much of it. Times are in seconds."""

    service_name: str
    traces_endpoint: str | None = None
    metrics_endpoint: str | None = None
    logs_endpoint: str | None = None
    logs_level: str = "INFO"
    logs_ratio: float = 1.0
    protocol: Protocol = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict)
    sampling_ratio: float = 1.0
    metric_interval: float = 60.0
    resource: Mapping[str, str] = field(default_factory=dict)
    disabled: bool = False

    @classmethod
    def read(cls, environ: Mapping[str, str], service_name: str) -> "TelemetrySettings":
        """Read the variables; raise TelemetrySettingError for the first that does not hold."""
        protocol = _protocol(environ)
        disabled = _flag(environ, "OTEL_SDK_DISABLED")
        ratio = _sampling_ratio(environ)
        return cls(
            service_name=environ.get("OTEL_SERVICE_NAME") or service_name,
            traces_endpoint=_endpoint(environ, "TRACES", protocol),
            metrics_endpoint=_endpoint(environ, "METRICS", protocol),
            logs_endpoint=_endpoint(environ, "LOGS", protocol),
            logs_level=_level(environ, "LOG_EXPORT_LEVEL"),
            logs_ratio=_number(environ, "LOG_EXPORT_RATIO", 1.0, low=0, high=1),
            protocol=protocol,
            headers=_headers(environ),
            sampling_ratio=0.0 if disabled else ratio,
            metric_interval=_number(environ, "OTEL_METRIC_EXPORT_INTERVAL", 60_000, low=100, high=_DAY_MS) / 1000,
            resource=_pairs(environ, "OTEL_RESOURCE_ATTRIBUTES"),
            disabled=disabled,
        )


def _protocol(environ: Mapping[str, str]) -> Protocol:
    name = "OTEL_EXPORTER_OTLP_PROTOCOL"
    match environ.get(name) or "http/protobuf":
        case "grpc":
            return "grpc"
        case "http/protobuf":
            return "http/protobuf"
        case _:
            raise TelemetrySettingError(name, "must be grpc or http/protobuf")


def _endpoint(environ: Mapping[str, str], signal: str, protocol: Protocol) -> str | None:
    """Return the full address of one signal; a signal's own variable is taken as it is."""
    own = f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"
    if environ.get(own):
        return _address(environ[own], own)
    shared = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not shared:
        return None
    address = _address(shared, "OTEL_EXPORTER_OTLP_ENDPOINT")
    return address if protocol == "grpc" else f"{address.rstrip('/')}/v1/{signal.lower()}"


def _address(value: str, variable: str) -> str:
    try:
        parts = urlsplit(value)
        # Reading the port checks it.
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise TelemetrySettingError(variable, "must be an address like http://127.0.0.1:4318")
    return value


def _sampling_ratio(environ: Mapping[str, str]) -> float:
    """Return the share of new traces that are kept; a trace that came in keeps its caller's decision."""
    name = "OTEL_TRACES_SAMPLER"
    production = environ.get("DEPLOYMENT_ENVIRONMENT") == "production"
    sampler = environ.get(name)
    if sampler and sampler not in _SAMPLERS:
        raise TelemetrySettingError(name, f"must be one of {', '.join(_SAMPLERS)}")
    default = _PRODUCTION_RATIO if production and not sampler else 1.0
    if sampler and sampler.endswith("always_off"):
        return 0.0
    if sampler and sampler.endswith("always_on"):
        return 1.0
    return _number(environ, "OTEL_TRACES_SAMPLER_ARG", default, low=0, high=1)


def _number(environ: Mapping[str, str], variable: str, default: float, *, low: float, high: float) -> float:
    value = environ.get(variable)
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        raise TelemetrySettingError(variable, "must be a number") from None
    if not low <= number <= high:
        raise TelemetrySettingError(variable, f"must be at least {low} and at most {high}")
    return number


def _level(environ: Mapping[str, str], variable: str) -> str:
    value = environ.get(variable) or "INFO"
    if value not in _LEVELS:
        raise TelemetrySettingError(variable, f"must be one of {', '.join(_LEVELS)}")
    return value


def _flag(environ: Mapping[str, str], variable: str) -> bool:
    value = (environ.get(variable) or "false").lower()
    if value not in {"true", "false"}:
        raise TelemetrySettingError(variable, "must be true or false")
    return value == "true"


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    """Return headers that both protocols can send: a wrong one would fail each export, long after the start."""
    name = "OTEL_EXPORTER_OTLP_HEADERS"
    headers = {key.lower(): value for key, value in _pairs(environ, name).items()}
    for key, value in headers.items():
        if not (_HEADER_NAME.fullmatch(key) and value.isascii() and value.isprintable()):
            raise TelemetrySettingError(name, "must hold header names, and values of printable ASCII")
    return headers


def _pairs(environ: Mapping[str, str], variable: str) -> dict[str, str]:
    pairs = {}
    for item in filter(None, (part.strip() for part in environ.get(variable, "").split(","))):
        key, equals, value = item.partition("=")
        if not (key.strip() and equals):
            raise TelemetrySettingError(variable, "must be key=value pairs with commas between")
        pairs[key.strip()] = unquote(value.strip())
    return pairs
