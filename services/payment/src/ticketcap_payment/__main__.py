"""Serve, or bring the schema up with ``python -m ticketcap_payment migrate``."""

from ticketcap_chassis.entry import run


def _serve() -> None:
    from ticketcap_chassis.lifecycle import run_service

    from ticketcap_payment.main import serve
    from ticketcap_payment.settings import Settings

    run_service("payment", Settings, serve)


def _migrate(logins: bool) -> None:
    from ticketcap_chassis.database.settings import MigrateSettings
    from ticketcap_chassis.settings import load

    from ticketcap_payment.store import migrate

    settings = load(MigrateSettings)
    migrate.migrate(settings.owner_url, variable=settings.owner_variable)
    if logins:
        migrate.create_logins(settings)


run("payment", serve=_serve, migrate=_migrate)
