"""Read the settings from the environment."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_ADDRESS: Final = "127.0.0.1:8090"
_DEFAULT_SUCCESS_URL: Final = "http://127.0.0.1:8080/api/v1/payments/yaadpay/return"


class SettingError(ValueError):
    """A variable holds what it must not; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that is read from the environment, once."""

    host: str = "127.0.0.1"
    port: int = 8090
    """0 means any free one."""
    state: Path | None = None
    """The book's SQLite file; None keeps it in memory."""
    success_url: str = _DEFAULT_SUCCESS_URL
    failure_url: str | None = None
    public_url: str = "http://127.0.0.1:8090"
    """How a browser reaches the simulator, without a slash at the end."""

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables; raise SettingError with the name of the wrong one."""
        if environ.get("DEPLOYMENT_ENVIRONMENT", "").strip().lower() == "production":
            raise SettingError("DEPLOYMENT_ENVIRONMENT: the simulator takes no money and does not run in production")
        host, port = _listen_address(environ)
        failure_url = environ.get("SIMULATOR_FAILURE_URL")
        public_host = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        return cls(
            host=host,
            port=port,
            state=_state(environ),
            success_url=_url(environ, "SIMULATOR_SUCCESS_URL", _DEFAULT_SUCCESS_URL),
            failure_url=_url(environ, "SIMULATOR_FAILURE_URL", "") if failure_url else None,
            public_url=_url(environ, "SIMULATOR_PUBLIC_URL", f"http://{_bracketed(public_host)}:{port}").rstrip("/"),
        )


def _listen_address(environ: Mapping[str, str]) -> tuple[str, int]:
    host, _, port = (environ.get("LISTEN_ADDRESS") or _DEFAULT_ADDRESS).rpartition(":")
    if not (port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the ports there are
        raise SettingError("LISTEN_ADDRESS: must be host:port")
    host = host.strip("[]")
    if not (_is_loopback(host) or _boolean(environ, "SIMULATOR_ANY_ADDRESS")):
        raise SettingError("LISTEN_ADDRESS: must be a loopback address unless SIMULATOR_ANY_ADDRESS is true")
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _boolean(environ: Mapping[str, str], variable: str) -> bool:
    value = (environ.get(variable) or "false").lower()
    if value not in {"true", "false"}:
        raise SettingError(f"{variable}: must be true or false")
    return value == "true"


def _state(environ: Mapping[str, str]) -> Path | None:
    value = environ.get("SIMULATOR_STATE")
    if not value:
        return None
    path = Path(value).absolute()
    if not path.parent.is_dir() or path.is_dir():
        raise SettingError("SIMULATOR_STATE: must be a file in a folder that exists")
    return path


def _url(environ: Mapping[str, str], variable: str, default: str) -> str:
    value = environ.get(variable) or default
    if not is_web_address(value):
        raise SettingError(f"{variable}: must be an http or https address")
    return value


def is_web_address(value: str) -> bool:
    """Tell whether ``value`` is an absolute http or https address in plain ASCII."""
    if not (value.isascii() and value.isprintable()) or " " in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
