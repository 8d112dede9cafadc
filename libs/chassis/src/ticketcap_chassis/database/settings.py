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


DatabaseUrl = Annotated[str, Field(repr=False), AfterValidator(_check)]
"""A connection string that libpq reads; never printed, because it may hold a password."""


class DatabaseSettings(BaseSettings):
    """The two limits from which all other limits of waits for the database follow (``PoolLimits``)."""

    database_answer_seconds: float = Field(default=2.5, ge=0.5, le=60)
    """Silence after which a connection is closed; the server's own limits are shorter."""
    database_connect_seconds: float = Field(default=2.0, ge=0.1, le=60)
    """Longest time to open a connection."""

    def connector(self) -> Connector:
        """Return a connector with these limits; all engines of a process share one."""
        return Connector(
            PoolLimits(
                checkout_timeout=self.database_answer_seconds + 0.5,
                connect_timeout=self.database_connect_seconds,
                answer_timeout=self.database_answer_seconds,
            )
        )


def _is_encrypted(parameters: Mapping[str, str]) -> bool:
    hosts = [host for key in ("host", "hostaddr") for host in parameters.get(key, "").split(",")]
    return all(map(is_local, hosts)) or parameters.get("sslmode") in _ENCRYPTED


def _parameters(settings: Any) -> Iterator[Mapping[str, str]]:
    """Yield libpq's parameters, or nothing for an unreadable address, which the setting's own check rejects."""
    try:
        yield connection_parameters(settings.database_url)
    except WrongConnectionString:
        return


DATABASE_RULES: Final = (
    Rule(
        "DATABASE_URL",
        "must ask for encryption (sslmode=require, verify-ca or verify-full) unless its host is local",
        lambda settings: all(map(_is_encrypted, _parameters(settings))),
    ),
    Rule(
        "DATABASE_URL",
        "must not hold a password that is published with the source",
        lambda settings: all(found.get("password") not in PUBLISHED for found in _parameters(settings)),
    ),
)
"""The rules of production for every service with a database."""


class MigrateSettings(ServiceSettings):
    """The settings of the command ``migrate``."""

    production_rules = DATABASE_RULES

    database_url: DatabaseUrl
