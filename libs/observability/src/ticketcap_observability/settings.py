"""Read telemetry's variables; fall back where a value is wrong.

OpenTelemetry's specification demands it: an SDK warns of a value that it can't use and takes the default
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). The Python SDK and its exporters
raise for some of them instead. They read the environment themselves, so ``environment`` shows them nothing but values
that were validated here.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Signal = Literal["traces", "metrics", "logs"]
Protocol = Literal["grpc", "http/protobuf"]
Compression = Literal["none", "gzip", "deflate"]

BLANK: Final = "must have no blank at its ends; it is read without"
_SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
_OTLP: Final = "OTEL_EXPORTER_OTLP_"
_PRODUCTION_RATIO: Final = "0.1"
_DAY_MS: Final = 86_400_000
_HEADER_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_ADDRESS: Final = "must be an address like http://127.0.0.1:4318, or for gRPC 127.0.0.1:4317"

_DEFAULTS: Final[Mapping[str, str]] = {
    # Seconds. Short, so that a dead collector delays no exit.
    f"{_OTLP}TIMEOUT": "2",
    # A batch of claims links to every request that it serves.
    "OTEL_SPAN_LINK_COUNT_LIMIT": "1024",
}
"""Defaults that differ from the SDK's, as texts of the variables."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _pairs(value: object) -> object:
    """Return key=value pairs as a dict. One wrong pair invalidates all, as the specification demands."""
    if not isinstance(value, str):
        return value
    pairs = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        key, equals, text = item.partition("=")
        if not (key.strip() and equals):
            raise ValueError("must be key=value pairs with commas between")
        pairs[key.strip()] = unquote(text.strip())
    return pairs


def _headers(pairs: dict[str, str]) -> dict[str, str]:
    """Reject a header that HTTP or gRPC can't send: it would fail each export, long after the start."""
    headers = {name.lower(): value for name, value in pairs.items()}
    if all(_HEADER_NAME.fullmatch(name) and value.isascii() and value.isprintable() for name, value in headers.items()):
        return headers
    raise ValueError("must hold header names, and values of printable ASCII")


def _address(value: str) -> str:
    """Accept an http or https address, or host:port, which is one for gRPC only."""
    bare = "://" not in value
    try:
        parts = urlsplit(f"http://{value}" if bare else value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    named = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    if named and not re.search(r"\s", value) and not (bare and (port is None or parts.path)):
        return value
    raise ValueError(_ADDRESS)


def _file(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return path
    except (OSError, ValueError):
        raise ValueError("must be a file that can be read") from None


def _propagators(value: object) -> object:
    return frozenset(part.strip() for part in value.lower().split(",")) if isinstance(value, str) else value


def _limit(value: str) -> str:
    if value.isascii() and value.isdecimal():
        return value
    raise ValueError("must be a whole number")


_Flag = Annotated[Literal["true", "false"], BeforeValidator(_lower)]
_Pairs = Annotated[dict[str, str], BeforeValidator(_pairs)]
_Headers = Annotated[dict[str, str], BeforeValidator(_pairs), AfterValidator(_headers)]
_Address = Annotated[str, AfterValidator(_address)]
_File = Annotated[str, AfterValidator(_file)]
_Limit = Annotated[str, AfterValidator(_limit)]
_Milliseconds = Annotated[int, Field(ge=1, le=_DAY_MS)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]


class _Variables(BaseSettings):
    """Variables of one prefix. They come from the mapping that ``read`` is given, never from the process."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's shape
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the values that ``read`` hands in."""
        return (init_settings,)


class _Sdk(_Variables):
    """OTEL_*: the SDK itself."""

    sdk_disabled: _Flag = "false"
    service_name: str = ""
    resource_attributes: _Pairs = {}
    propagators: Annotated[frozenset[Literal["tracecontext", "baggage", "none"]], BeforeValidator(_propagators)] = (
        frozenset({"tracecontext", "baggage"})
    )
    traces_exporter: Annotated[Literal["otlp", "none"], BeforeValidator(_lower)] = "otlp"
    metrics_exporter: Annotated[Literal["otlp", "none"], BeforeValidator(_lower)] = "none"
    logs_exporter: Annotated[Literal["otlp", "none"], BeforeValidator(_lower)] = "otlp"
    traces_sampler: (
        Annotated[
            Literal[
                "always_on",
                "always_off",
                "traceidratio",
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
            ],
            BeforeValidator(_lower),
        ]
        | None
    ) = None
    traces_sampler_arg: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    metric_export_interval: _Milliseconds = 60_000
    metrics_exemplar_filter: Annotated[Literal["trace_based", "always_on", "always_off"], BeforeValidator(_lower)] = (
        "trace_based"
    )
    attribute_count_limit: _Limit = ""
    attribute_value_length_limit: _Limit = ""
    span_attribute_count_limit: _Limit = ""
    span_attribute_value_length_limit: _Limit = ""
    span_event_count_limit: _Limit = ""
    span_link_count_limit: _Limit = ""
    event_attribute_count_limit: _Limit = ""
    link_attribute_count_limit: _Limit = ""
    logrecord_attribute_count_limit: _Limit = ""
    logrecord_attribute_value_length_limit: _Limit = ""


class QueueSettings(_Variables):
    """OTEL_BLRP_*: the queue of log lines. Times are in milliseconds."""

    schedule_delay: _Milliseconds = 1000
    export_timeout: _Milliseconds = 30_000
    max_queue_size: _Count = 4096
    max_export_batch_size: _Count = 512

    @property
    def batch_size(self) -> int:
        """The number of items in one export. The SDK raises for more than the queue holds."""
        return min(self.max_export_batch_size, self.max_queue_size)


class SpanQueueSettings(QueueSettings):
    """OTEL_BSP_*: the queue of spans."""

    max_queue_size: _Count = 8192
    max_export_batch_size: _Count = 1024


class _Exporting(_Variables):
    """OTEL_EXPORTER_OTLP_*: for every signal, and again for one."""

    endpoint: _Address = ""
    protocol: Annotated[Protocol | None, BeforeValidator(_lower)] = None
    insecure: _Flag = "false"
    headers: _Headers = {}
    # Seconds, as OpenTelemetry's exporters for Python read it; the specification says milliseconds.
    timeout: float = Field(default=2, gt=0, le=60, allow_inf_nan=False)
    compression: Annotated[Compression | None, BeforeValidator(_lower)] = None
    certificate: _File = ""
    client_key: _File = ""
    client_certificate: _File = ""


class _Parts(_Variables):
    """TELEMETRY_*: the parts in use."""

    fast: _Flag = "true"


class _LogExport(_Variables):
    """LOG_EXPORT_*: the share of log lines that is sent."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    ratio: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)


_Model = TypeVar("_Model", bound=_Variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Settings of one process's telemetry. ``accepted`` holds the variables that the SDK and its exporters may read."""

    service_name: str
    exported: frozenset[Signal] = frozenset()
    """Signals that have an exporter and an endpoint."""
    protocols: Mapping[Signal, Protocol] = field(default_factory=dict)
    compressions: Mapping[Signal, Compression] = field(default_factory=dict)
    propagators: frozenset[str] = frozenset({"tracecontext", "baggage"})
    resource: Mapping[str, str] = field(default_factory=dict)
    metric_interval: float = 60.0
    """Seconds."""
    logs_level: str = "INFO"
    logs_ratio: float = 1.0
    span_queue: SpanQueueSettings = field(default_factory=SpanQueueSettings)
    log_queue: QueueSettings = field(default_factory=QueueSettings)
    fast: bool = True
    """Whether histograms are those of ``_fast``, not the SDK's."""
    disabled: bool = False
    accepted: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    """Variables with a value that is not used, or not as it stands, and what is wrong with it."""

    @classmethod
    def read(cls, environ: Mapping[str, str], service_name: str) -> "TelemetrySettings":
        """Read the variables of ``environ``; a wrong value leaves the default."""
        reader = _Reader(environ)
        sdk = reader.read(_Sdk, "OTEL_")
        shared = reader.read(_Exporting, _OTLP)
        own = {signal: reader.read(_Exporting, f"{_OTLP}{signal.upper()}_") for signal in _SIGNALS}
        logs = reader.read(_LogExport, "LOG_EXPORT_")
        protocols: dict[Signal, Protocol] = {
            signal: own[signal].protocol or shared.protocol or "http/protobuf" for signal in _SIGNALS
        }
        disabled = sdk.sdk_disabled == "true"
        chosen = {"traces": sdk.traces_exporter, "metrics": sdk.metrics_exporter, "logs": sdk.logs_exporter}
        return cls(
            service_name=sdk.service_name or sdk.resource_attributes.get("service.name") or service_name,
            exported=frozenset(
                signal
                for signal in _SIGNALS
                if reader.has_endpoint(signal, protocols[signal]) and chosen[signal] == "otlp" and not disabled
            ),
            protocols=protocols,
            compressions={signal: own[signal].compression or shared.compression or "gzip" for signal in _SIGNALS},
            propagators=sdk.propagators,
            resource=sdk.resource_attributes,
            metric_interval=sdk.metric_export_interval / 1000,
            logs_level=logs.level.upper(),
            logs_ratio=logs.ratio,
            span_queue=reader.read(SpanQueueSettings, "OTEL_BSP_"),
            log_queue=reader.read(QueueSettings, "OTEL_BLRP_"),
            fast=reader.read(_Parts, "TELEMETRY_").fast == "true",
            disabled=disabled,
            accepted=reader.for_the_sdk(disabled=disabled),
            unused=reader.unused,
        )

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Show the SDK the accepted variables and no other OTEL_* one, while its parts are made."""
        with only(self.accepted):
            yield


class _Reader:
    """Validate the variables of one environment; collect the accepted texts and the rejected names."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._accepted: dict[str, str] = {}
        self.unused: dict[str, str] = {}

    def read(self, model: type[_Model], prefix: str) -> _Model:
        """Return the variables of ``prefix``. An empty one counts as unset."""
        texts = {name: text for name in model.model_fields if (text := self._text(f"{prefix}{name.upper()}"))}
        try:
            read = model(**texts)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False, include_context=False):
                name = str(problem["loc"][0])
                if texts.pop(name, None) is not None:
                    self.unused[f"{prefix}{name.upper()}"] = f"{_message(problem['msg'])}; the default is used"
            read = model(**texts)
        self._accepted.update({f"{prefix}{name.upper()}": text for name, text in texts.items()})
        return read

    def has_endpoint(self, signal: Signal, protocol: Protocol) -> bool:
        """Return whether ``signal`` has an endpoint. host:port is one for gRPC only."""
        for variable in (f"{_OTLP}{signal.upper()}_ENDPOINT", f"{_OTLP}ENDPOINT"):
            endpoint = self._accepted.get(variable, "")
            if endpoint and (protocol == "grpc" or "://" in endpoint):
                return True
            if endpoint:
                self._accepted.pop(variable)
                self.unused[variable] = f"{_ADDRESS}; the default is used"
        return False

    def for_the_sdk(self, *, disabled: bool) -> dict[str, str]:
        """Return the variables that the SDK may see, our defaults among them."""
        accepted = {**_DEFAULTS, **self._accepted}
        if disabled:
            accepted["OTEL_TRACES_SAMPLER"] = "always_off"
        elif "OTEL_TRACES_SAMPLER" not in accepted:
            production = self._environ.get("DEPLOYMENT_ENVIRONMENT") == "production"
            accepted["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
            accepted.setdefault("OTEL_TRACES_SAMPLER_ARG", _PRODUCTION_RATIO if production else "1.0")
        accepted.setdefault("OTEL_TRACES_SAMPLER_ARG", "1.0")
        if exemplars := accepted.get("OTEL_METRICS_EXEMPLAR_FILTER"):
            # The SDK raises for capital letters.
            accepted["OTEL_METRICS_EXEMPLAR_FILTER"] = exemplars.lower()
        # Read here and handed on in another form.
        hidden = ("DISABLED", "COMPRESSION", "PROPAGATORS", "PROTOCOL", "RESOURCE_ATTRIBUTES", "SERVICE_NAME")
        return {name: text for name, text in accepted.items() if not name.endswith(hidden)}

    def _text(self, variable: str) -> str:
        value = self._environ.get(variable, "")
        text = value.strip()
        if text != value:
            self.unused[variable] = BLANK
        return text


@contextmanager
def only(accepted: Mapping[str, str]) -> Iterator[None]:
    """Replace every OTEL_* variable of the process by ``accepted``, for a moment of its start."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    for name in hidden:
        del os.environ[name]
    os.environ.update({name: value for name, value in accepted.items() if name.startswith("OTEL_")})
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            del os.environ[name]
        os.environ.update(hidden)


def _message(text: str) -> str:
    """Return pydantic's message in this package's form."""
    return text.removeprefix("Value error, ").replace("Input should be", "must be")
