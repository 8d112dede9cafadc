"""Run the command line of a service with a database: serve or migrate."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ticketcap_observability import Telemetry, configure_logging

from ticketcap_chassis.database.settings import MigrateSettings
from ticketcap_chassis.lifecycle import BackgroundTaskEnded
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
    """Serve without arguments, or run the command ``migrate``.

    ``migrate`` imports the migration when it is called: Alembic is large, and serving does not need it.
    """
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
    except BackgroundTaskEnded as error:
        sys.exit(str(error))
    finally:
        await telemetry.shutdown()
