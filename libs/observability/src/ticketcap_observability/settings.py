"""Read the standard OTEL_* variables; a wrong value never stops a service.

OpenTelemetry's specification tells implementations to warn of a value that they can't use and to go on with the
default: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. What was not used is kept
with the settings, by the variable's name and never with its value, and ``Telemetry.start`` warns of it once.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
_PROPAGATORS: Final = frozenset({"tracecontext", "baggage"})
_LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
"""Limits of spans and log lines are our own; a wrong value is warned of all the same."""
_PRODUCTION_RATIO: Final = 0.1
_DAY_MS: Final = 86_400_000
_HEADER_NAME: Final = re.compile(r"[a-z0-9_.-]+")
BLANK: Final = "must have no blank at its ends; it is read without"
_SHARED: Final = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files of an encrypted connection to the collector, each "" where there is none: the system's roots, no client."""

    roots: str = ""
    client_key: str = ""
    client_chain: str = ""


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
    tls: TlsFiles = field(default_factory=TlsFiles)
    sampling_ratio: float = 1.0
    metric_interval: float = 60.0
    resource: Mapping[str, str] = field(default_factory=dict)
    disabled: bool = False
    unused: Mapping[str, str] = field(default_factory=dict)
    """Variables whose value is not used, or not as it stands, and what is wrong with it."""

    @classmethod
    def read(cls, environ: Mapping[str, str], service_name: str) -> "TelemetrySettings":
        """Read the variables; where a value can't be used, the default stands."""
        read = _Reader(environ)
        chosen = read.choice(f"{_SHARED}PROTOCOL", ("grpc", "http/protobuf"))
        protocol: Protocol = "grpc" if chosen == "grpc" else "http/protobuf"
        disabled = read.flag("OTEL_SDK_DISABLED")
        ratio = _sampling_ratio(read, production=environ.get("DEPLOYMENT_ENVIRONMENT") == "production")
        resource = read.pairs("OTEL_RESOURCE_ATTRIBUTES")
        _check_what_is_fixed(read)
        return cls(
            service_name=read.text("OTEL_SERVICE_NAME") or resource.get("service.name") or service_name,
            traces_endpoint=_endpoint(read, "TRACES", protocol),
            metrics_endpoint=_endpoint(read, "METRICS", protocol),
            logs_endpoint=_endpoint(read, "LOGS", protocol),
            logs_level=read.choice("LOG_EXPORT_LEVEL", _LEVELS, default="INFO"),
            logs_ratio=read.number("LOG_EXPORT_RATIO", 1.0, low=0, high=1),
            protocol=protocol,
            headers=_headers(read),
            tls=TlsFiles(
                roots=read.file(f"{_SHARED}CERTIFICATE"),
                client_key=read.file(f"{_SHARED}CLIENT_KEY"),
                client_chain=read.file(f"{_SHARED}CLIENT_CERTIFICATE"),
            ),
            sampling_ratio=0.0 if disabled else ratio,
            metric_interval=read.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, low=100, high=_DAY_MS) / 1000,
            resource=resource,
            disabled=disabled,
            unused=read.unused,
        )


class _Reader:
    """Reads variables of one environment, and notes which of them can't be used."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.unused: dict[str, str] = {}

    def refuse(self, variable: str, must: str) -> None:
        """Note that the value of ``variable`` is not used."""
        self.unused[variable] = f"{must}; the default is used"

    def text(self, variable: str) -> str:
        """Return a value without blanks around it, "" where there is none."""
        value = self._environ.get(variable, "")
        bare = value.strip()
        if bare != value:
            self.unused[variable] = BLANK
        return bare

    def choice(self, variable: str, choices: Sequence[str], default: str = "") -> str:
        """Return one of ``choices``, however its letters are written."""
        value = self.text(variable)
        found = next((choice for choice in choices if choice.lower() == value.lower()), None)
        if value and found is None:
            self.refuse(variable, f"must be one of {', '.join(choices)}")
        return found or default

    def number(self, variable: str, default: float, *, low: float, high: float) -> float:
        """Return a number within its bounds."""
        value = self.text(variable)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if low <= number <= high:
            return number
        self.refuse(variable, f"must be a number, at least {low} and at most {high}")
        return default

    def flag(self, variable: str) -> bool:
        """Return whether it is switched on: only "true" does that."""
        return self.choice(variable, ("true", "false")) == "true"

    def file(self, variable: str) -> str:
        """Return the path of a file that can be read."""
        path = self.text(variable)
        try:
            if path:
                with Path(path).open("rb"):
                    return path
        except (OSError, ValueError):
            self.refuse(variable, "must be a file that can be read")
        return ""

    def address(self, variable: str, protocol: Protocol) -> str:
        """Return an address with its scheme; "" where there is none. For gRPC host:port is one, encrypted."""
        given = value = self.text(variable)
        if value and protocol == "grpc" and "://" not in value:
            own = variable.removesuffix("ENDPOINT") + "INSECURE"
            plain = self.flag(own if self.text(own) else f"{_SHARED}INSECURE")
            value = f"{'http' if plain else 'https'}://{value}"
        if not value or _is_address(value, with_port=value != given):
            return value
        example = "http://127.0.0.1:4317 or 127.0.0.1:4317" if protocol == "grpc" else "http://127.0.0.1:4318"
        self.refuse(variable, f"must be an address like {example}")
        return ""

    def pairs(self, variable: str) -> dict[str, str]:
        """Return key=value pairs; where one is none, all are left out, as the specification has it."""
        pairs = {}
        for item in filter(None, (part.strip() for part in self._environ.get(variable, "").split(","))):
            key, equals, value = item.partition("=")
            if not (key.strip() and equals):
                self.refuse(variable, "must be key=value pairs with commas between")
                return {}
            pairs[key.strip()] = unquote(value.strip())
        return pairs


def _is_address(value: str, *, with_port: bool) -> bool:
    try:
        parts = urlsplit(value)
        # Reading the port checks it.
        port = parts.port
    except ValueError:
        return False
    named = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return named and not re.search(r"\s", value) and (not with_port or (port is not None and not parts.path))


def _endpoint(read: _Reader, signal: str, protocol: Protocol) -> str | None:
    """Return the full address of one signal; a signal's own variable is taken as it is."""
    own = read.address(f"{_SHARED}{signal}_ENDPOINT", protocol)
    if own:
        return own
    shared = read.address(f"{_SHARED}ENDPOINT", protocol)
    if not shared:
        return None
    return shared if protocol == "grpc" else f"{shared.rstrip('/')}/v1/{signal.lower()}"


def _sampling_ratio(read: _Reader, *, production: bool) -> float:
    """Return the share of new traces that are kept; a trace that came in keeps its caller's decision."""
    sampler = read.choice("OTEL_TRACES_SAMPLER", _SAMPLERS)
    default = _PRODUCTION_RATIO if production and not sampler else 1.0
    ratio = read.number("OTEL_TRACES_SAMPLER_ARG", default, low=0, high=1)
    if sampler.endswith("always_off"):
        return 0.0
    return 1.0 if sampler.endswith("always_on") else ratio


def _headers(read: _Reader) -> dict[str, str]:
    """Return headers that both protocols can send: a wrong one would fail each export, long after the start."""
    name = f"{_SHARED}HEADERS"
    headers = {key.lower(): value for key, value in read.pairs(name).items()}
    if all(_HEADER_NAME.fullmatch(key) and value.isascii() and value.isprintable() for key, value in headers.items()):
        return headers
    read.refuse(name, "must hold header names, and values of printable ASCII")
    return {}


def _check_what_is_fixed(read: _Reader) -> None:
    """Note wrong values of what no variable changes here."""
    named = {name.strip().lower() for name in read.text("OTEL_PROPAGATORS").split(",")} - {""}
    if named and named != _PROPAGATORS:
        read.refuse("OTEL_PROPAGATORS", "must be tracecontext,baggage, which are what is propagated")
    for limit in _LIMITS:
        if not (read.text(limit) or "0").isdecimal():
            read.refuse(limit, "must be a whole number")
