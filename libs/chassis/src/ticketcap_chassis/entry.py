"""Run a service's command line: serve or migrate."""

import sys
from collections.abc import Callable


def run(name: str, *, serve: Callable[[], None], migrate: Callable[[bool], None]) -> None:
    """Do what the command line of ``python -m ticketcap_NAME`` says; ``migrate`` receives whether to create logins.

    Both callables import their parts when they are called: gRPC, telemetry and Alembic are large, and each command
    needs only some of them.
    """
    match sys.argv[1:]:
        case []:
            serve()
        case ["migrate"]:
            migrate(False)
        case ["migrate", "--logins"]:
            migrate(True)
        case _:
            sys.exit(f"usage: python -m ticketcap_{name} [migrate [--logins]]")
