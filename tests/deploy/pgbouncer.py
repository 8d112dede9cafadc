"""Run Debian's PgBouncer in front of a test's PostgreSQL."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict
from ticketcap_local.postgres import EmbeddedPostgres
from ticketcap_testing.stack import free_port

from tests.deploy.debian import program

_UNPRIVILEGED = "nobody"


@contextmanager
def pgbouncer(
    server: EmbeddedPostgres,
    mode: str,
    *,
    passwords: Mapping[str, str] | None = None,
    size: int = 20,
    ignored: str = "",
) -> Iterator[int]:
    """Run PgBouncer before ``server`` and yield its port.

    With ``passwords`` by login, clients log in as themselves, and each login has ``size`` sessions in each database.
    Without, every client gets the owner's sessions.
    """
    behind = conninfo_to_dict(server.url())
    port = free_port()
    owner = "" if passwords else f" user={behind['user']} password={behind['password']}"
    # PgBouncer does not run as root: it changes to a user without rights, which must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="ticketcap-bouncer-") as folder:
        users = Path(folder) / "users.txt"
        quoted = {name: word.replace('"', '""') for name, word in (passwords or {}).items()}
        users.write_text("".join(f'"{name}" "{word}"\n' for name, word in quoted.items()))
        file = Path(folder) / "pgbouncer.ini"
        file.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}{owner}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = {'scram-sha-256' if passwords else 'any'}\nauth_file = {users}\n"
            f"pool_mode = {mode}\ndefault_pool_size = {size}\n"
            f"ignore_startup_parameters = extra_float_digits{ignored}\n"
        )
        for path, bits in ((Path(folder), 0o755), (users, 0o644), (file, 0o644)):
            path.chmod(bits)
        user = ["-u", _UNPRIVILEGED] if os.geteuid() == 0 else []
        command = [program("pgbouncer"), "-q", *user, str(file)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                _await_listener(process, port)
                yield port
            finally:
                process.kill()


def _await_listener(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert process.poll() is None, "PgBouncer has ended"
            assert time.monotonic() < deadline, "PgBouncer does not listen"
            time.sleep(0.02)
        else:
            return
