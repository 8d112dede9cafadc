"""Serve, or bring the schema up with ``python -m ticketcap_payment migrate``."""

from ticketcap_chassis.entry import run


def _serve() -> None:
    from ticketcap_chassis.lifecycle import run_service

    from ticketcap_payment.main import serve
    from ticketcap_payment.settings import Settings

    run_service("payment", Settings, serve)


def _migrate() -> None:
    from ticketcap_chassis.database.settings import MigrateSettings
    from ticketcap_chassis.settings import load

    from ticketcap_payment.store.migrate import migrate

    migrate(load(MigrateSettings).database_url)


run("payment", serve=_serve, migrate=_migrate)
