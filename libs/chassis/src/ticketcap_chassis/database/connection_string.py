"""Read a database's connection string, once for all who connect.

SQLAlchemy, the listening connection, migrations and tools all take what this module returns: a form that one of them
reads and another does not can't exist. libpq reads; its two forms are
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. Beside them SQLAlchemy's scheme
(``postgresql+psycopg://``) and its several hosts (``?host=a:5432&host=b:5432``) are understood.
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
    # The services write: a server that only reads is of no use to them.
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
    """No connection can be made with it. The message says what is wrong and never quotes it: it may hold a password."""


def connection_parameters(database_url: str) -> dict[str, str]:
    """Return libpq's parameters of ``database_url``; raise WrongConnectionString where libpq could not use them.

    Of several hosts one that can be written to is taken, unless ``target_session_attrs`` says otherwise.
    """
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(_as_libpq(database_url.strip())).items()}
    except psycopg.Error:
        # libpq's own text quotes the part that it does not understand.
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


def _as_libpq(given: str) -> str:
    """Return ``given`` as libpq spells it."""
    if not given:
        raise WrongConnectionString("must be set, like postgresql://user:password@host:port/database")
    scheme = _SCHEME.match(given)
    if scheme:
        return _with_joined_hosts(f"postgresql://{given[scheme.end() :]}")
    if _FOREIGN_SCHEME.match(given):
        raise WrongConnectionString("must begin with postgresql://")
    return given


def _with_joined_hosts(uri: str) -> str:
    """Join the hosts that SQLAlchemy repeats; of a repeated parameter libpq would take the last alone."""
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
    """Return the hosts that are tried one after another."""
    names, addresses = (parameters.get(key, "").split(",") for key in ("host", "hostaddr"))
    if "host" in parameters and "hostaddr" in parameters and len(names) != len(addresses):
        raise WrongConnectionString("must have as many hostaddr as host")
    return addresses if "hostaddr" in parameters else names


def _check_ports(given: str, hosts: list[str]) -> None:
    ports = given.split(",")
    if len(ports) not in {1, len(hosts)}:
        raise WrongConnectionString("must have one port for all hosts, or one for each")
    if not all(port == "" or (port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT) for port in ports):
        raise WrongConnectionString("must have a number from 1 to 65535 as port")


def _check_values(parameters: Mapping[str, str]) -> None:
    """Refuse at once what libpq would refuse at each connection."""
    for parameter, values in _CHOICES.items():
        if parameters.get(parameter, "") not in {"", *values}:
            raise WrongConnectionString(f"{parameter} must be one of {', '.join(sorted(values))}")
    for parameter in _WHOLE_NUMBERS:
        if not parameters.get(parameter, "0").isdecimal():
            raise WrongConnectionString(f"{parameter} must be a whole number")
