"""``python -m ticketcap_registration`` serves; ``python -m ticketcap_registration migrate`` brings the schema up."""

import sys
from collections.abc import Callable

from ticketcap_chassis.entry import run

from ticketcap_registration.main import serve
from ticketcap_registration.settings import Settings


def _migrate() -> Callable[[str], None]:
    from ticketcap_registration.store.migrate import migrate

    return migrate


run("registration", sys.argv[1:], settings=Settings, serve=serve, migrate=_migrate)
