"""``python -m ticketcap_payment`` serves; ``python -m ticketcap_payment migrate`` brings the schema up."""

import asyncio
import sys

from ticketcap_chassis.settings import load, release
from ticketcap_observability import Telemetry, configure_logging

from ticketcap_payment.main import serve
from ticketcap_payment.settings import MigrateSettings, Settings

_NAME = "payment"


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case []:
            asyncio.run(_serve())
        case ["migrate"]:
            # Alembic is large, and only this needs it.
            from ticketcap_payment.store.migrate import migrate

            migrate(load(MigrateSettings).database_url)
        case _:
            sys.exit("usage: python -m ticketcap_payment [migrate]")


async def _serve() -> None:
    settings = load(Settings)
    configure_logging(_NAME, release(), settings.log_level)
    telemetry = Telemetry.start(_NAME, release())
    try:
        await serve(settings, telemetry)
    finally:
        await telemetry.shutdown()


main(sys.argv[1:])
