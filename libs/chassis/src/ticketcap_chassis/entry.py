"""What ``python -m <a service with a database>`` does: serve, or bring the schema up."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ticketcap_observability import Telemetry, configure_logging

from ticketcap_chassis.database.settings import MigrateSettings
from ticketcap_chassis.settings import ServedSettings, load, release

_Settings = TypeVar("_Settings", bound=ServedSettings)


def run(
    name: str,
    arguments: list[str],
    *,
    settings: type[_Settings],
    serve: Callable[[_Settings, Telemetry], Awaitable[None]],
    migrate: Callable[[], Callable[[str], None]],
) -> None:
    """Do what the command line says. ``migrate`` imports the migration: Alembic is large, and only that needs it."""
    match arguments:
        case []:
            asyncio.run(_serve(name, load(settings), serve))
        case ["migrate"]:
            migrate()(load(MigrateSettings).database_url)
        case _:
            sys.exit(f"usage: python -m ticketcap_{name} [migrate]")


async def _serve(name: str, settings: _Settings, serve: Callable[[_Settings, Telemetry], Awaitable[None]]) -> None:
    configure_logging(name, release(), settings.log_level)
    try:
        telemetry = Telemetry.start(name, release(), metrics_address=settings.metrics_address)
    except OSError as error:
        sys.exit(str(error))
    try:
        await serve(settings, telemetry)
    finally:
        await telemetry.shutdown()
