"""``python -m ticketcap_payment`` serves; ``python -m ticketcap_payment migrate`` brings the schema up."""

import sys
from collections.abc import Callable

from ticketcap_chassis.entry import run

from ticketcap_payment.main import serve
from ticketcap_payment.settings import Settings


def _migrate() -> Callable[[str], None]:
    from ticketcap_payment.store.migrate import migrate

    return migrate


run("payment", sys.argv[1:], settings=Settings, serve=serve, migrate=_migrate)
