"""Serve, or bring the schema up with ``migrate`` as the argument."""

from ticketcap_chassis.entry import run


def _serve() -> None:
    from ticketcap_chassis.lifecycle import run_service

    from ticketcap_registration.main import serve
    from ticketcap_registration.settings import Settings

    run_service("registration", Settings, serve)


def _migrate(logins: bool) -> None:
    from ticketcap_chassis.database.settings import MigrateSettings
    from ticketcap_chassis.settings import load

    from ticketcap_registration.store import migrate

    settings = load(MigrateSettings)
    migrate.migrate(settings.owner_url, variable=settings.owner_variable)
    if logins:
        migrate.create_logins(settings)


run("registration", serve=_serve, migrate=_migrate)
