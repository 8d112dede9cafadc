"""Parse a database's connection string with libpq.

SQLAlchemy, the listening connection, migrations and tools all use this module's result, so that every one of them
accepts the same strings. libpq's two forms are described at
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. SQLAlchemy's scheme
(``postgresql+psycopg://``) and its repeated hosts (``?host=a:5432&host=b:5432``) are accepted beside them.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SCHEME: Final = re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)
_FOREIGN_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HOST_AND_PORT: Final = re.compile(r"([A-Za-z0-9._-]*):([0-9]*)")
_CHOICES: Final[Mapping[str, frozenset[str]]] = {
    # The services write: a read-only server is useless to them.
    "target_session_attrs": frozenset({"any", "primary", "read-write"}),
    "sslmode": frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}),
}
_WHOLE_NUMBERS: Final = (
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
)
_HIGHEST_PORT: Final = 65_535


class WrongConnectionString(ValueError):
    """The connection string is invalid. The message never quotes it, because it may hold a password."""


def connection_parameters(database_url: str) -> dict[str, str]:
    """Return libpq's parameters of ``database_url``, by keyword; raise WrongConnectionString if libpq can't use them.

    With several hosts and no ``target_session_attrs``, it is ``read-write``.
    """
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(_as_libpq(database_url.strip())).items()}
    except psycopg.Error:
        # libpq's own message quotes the part that it rejects.
        raise WrongConnectionString(
            "must be a connection string like postgresql://user:password@host:port/database, "
            "with libpq's parameters only and special characters as %xx"
        ) from None
    hosts = _hosts(found)
    _check_ports(found.get("port", ""), hosts)
    _check_values(found)
    if len(hosts) > 1:
        found.setdefault("target_session_attrs", "read-write")
    return found


def beside(database_url: str, database: str) -> str:
    """Return the connection string of another database on the same server."""
    return make_conninfo(**{**connection_parameters(database_url), "dbname": database})


def _as_libpq(url: str) -> str:
    """Return the string in libpq's spelling."""
    if not url:
        raise WrongConnectionString("must be set, like postgresql://user:password@host:port/database")
    scheme = _SCHEME.match(url)
    if scheme:
        return _with_joined_hosts(f"postgresql://{url[scheme.end() :]}")
    if _FOREIGN_SCHEME.match(url):
        raise WrongConnectionString("must begin with postgresql://")
    return url


def _with_joined_hosts(uri: str) -> str:
    """Join the hosts that SQLAlchemy repeats: libpq uses only the last value of a repeated parameter."""
    address, _, query = uri.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    hosts = [unquote(value) for key, _, value in pairs if key == "host"]
    ports = [unquote(value) for key, _, value in pairs if key == "port"]
    apart = [_HOST_AND_PORT.fullmatch(host) for host in hosts]
    if len(hosts) < 2 and len(ports) < 2 and not any(apart):  # noqa: PLR2004 - one is libpq's own form
        return uri
    if any(apart):
        if ports:
            raise WrongConnectionString("must have its ports in host or in port, not in both")
        ports = [found[2] if found else "" for found in apart]
        hosts = [found[1] if found else host for found, host in zip(apart, hosts, strict=True)]
    joined = [f"host={','.join(hosts)}"] * bool(hosts) + [f"port={','.join(ports)}"] * bool(ports)
    others = [key + equals + value for key, equals, value in pairs if key not in {"host", "port"}]
    return f"{address}?{'&'.join(joined + others)}"


def _hosts(parameters: Mapping[str, str]) -> list[str]:
    """Return the hosts, in the order in which libpq tries them."""
    names, addresses = (parameters.get(key, "").split(",") for key in ("host", "hostaddr"))
    if "host" in parameters and "hostaddr" in parameters and len(names) != len(addresses):
        raise WrongConnectionString("must have as many hostaddr as host")
    return addresses if "hostaddr" in parameters else names


def _check_ports(value: str, hosts: list[str]) -> None:
    ports = value.split(",")
    if len(ports) not in {1, len(hosts)}:
        raise WrongConnectionString("must have one port for all hosts, or one for each")
    if not all(port == "" or (port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT) for port in ports):
        raise WrongConnectionString("must have a number from 1 to 65535 as port")


def _check_values(parameters: Mapping[str, str]) -> None:
    """Reject values that libpq would reject at each connection."""
    for parameter, values in _CHOICES.items():
        if parameters.get(parameter, "") not in {"", *values}:
            raise WrongConnectionString(f"{parameter} must be one of {', '.join(sorted(values))}")
    for parameter in _WHOLE_NUMBERS:
        if not parameters.get(parameter, "0").isdecimal():
            raise WrongConnectionString(f"{parameter} must be a whole number")
