"""Read a database's settings and judge them for production."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from ticketcap_chassis.database.connection_string import WrongConnectionString, connection_parameters
from ticketcap_chassis.database.connector import Connector
from ticketcap_chassis.database.limits import PoolLimits
from ticketcap_chassis.production import PUBLISHED, Rule, is_local
from ticketcap_chassis.settings import ServiceSettings

_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})


def _check(value: str) -> str:
    connection_parameters(value)
    return value


def _check_if_set(value: str) -> str:
    return _check(value) if value else value


DatabaseUrl = Annotated[str, Field(repr=False), AfterValidator(_check)]
"""A connection string that libpq reads; never printed, because it may hold a password."""

OptionalDatabaseUrl = Annotated[str, Field(repr=False), AfterValidator(_check_if_set)]
"""A connection string, or empty."""


class SessionSettings(BaseSettings):
    """The two limits from which all other limits of waits for the database follow (``PoolLimits``)."""

    database_answer_seconds: float = Field(default=2.5, ge=0.5, le=60)
    """Silence after which a connection is closed; the server's own limits are shorter."""
    database_connect_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """Longest time to open a connection."""
    database_generic_plans: bool = True
    """False where a plan without values can't be made: on a database that is spread over machines (Citus)."""

    def planner(self) -> Mapping[str, str]:
        """Return how every session plans its statements.

        A generic plan is made once per connection, and serves all values.
        """
        return {"plan_cache_mode": "force_generic_plan" if self.database_generic_plans else "auto"}

    def limits(self) -> PoolLimits:
        """Return the limits of every connection."""
        return PoolLimits(
            checkout_timeout=self.database_answer_seconds + 0.5,
            connect_timeout=self.database_connect_seconds,
            answer_timeout=self.database_answer_seconds,
        )


class DatabaseSettings(SessionSettings):
    """The connection strings of a service's roles, and the number of its connections."""

    database_url: DatabaseUrl
    """As libpq reads it: the login that ran the migrations or, with ``database_jobs_url``, that of the role APP."""
    database_jobs_url: OptionalDatabaseUrl = ""
    """The login of the role JOBS. Unset, sessions of ``database_url`` begin by assuming the roles."""
    database_pooler_prepares: bool = False
    """True when a pooler in front tracks prepared statements, as PgBouncer does since 1.22."""
    database_connections: int = Field(default=8, ge=2, le=100)
    database_jobs_connections: int = Field(default=4, ge=2, le=100)
    job_lease_seconds: float = Field(default=10.0, ge=0.5, le=60)
    """Length of a lease. After a crash another replica takes the jobs within this time and a third more."""

    @property
    def own_logins(self) -> bool:
        """True when each role has a login of its own."""
        return bool(self.database_jobs_url)

    @property
    def jobs_url(self) -> str:
        """The connection string of the role JOBS."""
        return self.database_jobs_url or self.database_url

    @property
    def jobs_variable(self) -> str:
        """The variable that ``jobs_url`` comes from."""
        return "DATABASE_JOBS_URL" if self.database_jobs_url else "DATABASE_URL"

    def connector(self) -> Connector:
        """Return a connector with these limits; all engines of a process share one."""
        return Connector(self.limits(), pooler_prepares=self.database_pooler_prepares)


def _is_encrypted(parameters: Mapping[str, str]) -> bool:
    hosts = [host for key in ("host", "hostaddr") for host in parameters.get(key, "").split(",")]
    return all(map(is_local, hosts)) or parameters.get("sslmode") in _ENCRYPTED


def _parameters(url: str) -> Iterator[Mapping[str, str]]:
    """Yield libpq's parameters, or nothing for an unset or unreadable address, which the setting's check rejects."""
    try:
        yield connection_parameters(url)
    except WrongConnectionString:
        return


def database_rules(*fields: str) -> tuple[Rule, ...]:
    """Return the rules of production for the connection strings in ``fields``."""
    return tuple(rule for field in fields for rule in _rules(field))


def _rules(field: str) -> tuple[Rule, Rule]:
    def holds(settings: Any, good: Any) -> bool:
        return all(map(good, _parameters(getattr(settings, field))))

    return (
        Rule(
            field.upper(),
            "must ask for encryption (sslmode=require, verify-ca or verify-full) unless its host is local",
            lambda settings: holds(settings, _is_encrypted),
        ),
        Rule(
            field.upper(),
            "must not hold a password that is published with the source",
            lambda settings: holds(settings, lambda found: found.get("password") not in PUBLISHED),
        ),
    )


class MigrateSettings(ServiceSettings, DatabaseSettings):
    """The settings of the command ``migrate``."""

    production_rules = database_rules("database_url", "database_jobs_url", "database_owner_url")

    database_owner_url: OptionalDatabaseUrl = ""
    """The login that owns the tables. Unset, it is that of ``database_url``."""

    @property
    def owner_url(self) -> str:
        """The connection string of the tables' owner."""
        return self.database_owner_url or self.database_url

    @property
    def owner_variable(self) -> str:
        """The variable that ``owner_url`` comes from."""
        return "DATABASE_OWNER_URL" if self.database_owner_url else "DATABASE_URL"
