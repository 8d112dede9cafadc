"""``python -m ticketcap_registration`` serves; ``python -m ticketcap_registration migrate`` brings the schema up."""

import asyncio
import sys

from ticketcap_chassis.settings import load, release
from ticketcap_observability import Telemetry, TelemetrySettingError, configure_logging

from ticketcap_registration.main import serve
from ticketcap_registration.settings import MigrateSettings, Settings

_NAME = "registration"


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case []:
            asyncio.run(_serve())
        case ["migrate"]:
            # Alembic is large, and only this needs it.
            from ticketcap_registration.store.migrate import migrate

            migrate(load(MigrateSettings).database_url)
        case _:
            sys.exit("usage: python -m ticketcap_registration [migrate]")


async def _serve() -> None:
    settings = load(Settings)
    configure_logging(_NAME, release(), settings.log_level)
    try:
        telemetry = Telemetry.start(_NAME, release(), metrics_address=settings.metrics_address)
    except (OSError, TelemetrySettingError) as error:
        sys.exit(str(error))
    try:
        await serve(settings, telemetry)
    finally:
        await telemetry.shutdown()


main(sys.argv[1:])
