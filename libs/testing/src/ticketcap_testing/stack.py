"""Provide free ports, throw-away databases and service processes to tests."""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from ticketcap_local.ports import is_free
from ticketcap_local.postgres import EmbeddedPostgres

_PORTS: Final = range(10_000, 32_000)
_POLL_SECONDS: Final = 0.02
_handed_out: Final[set[int]] = set()


def free_port() -> int:
    """Return a free port below 32768, where the system assigns none; each port once per process."""
    for _ in range(1000):
        port = random.choice(_PORTS)  # noqa: S311 - any port will do
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise OSError("no free port below 32768")


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL server in a temporary folder while the code inside runs."""
    with tempfile.TemporaryDirectory(prefix="ticketcap-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data", free_port(), fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def migrated_template(server: EmbeddedPostgres, migrate: Callable[[str], None]) -> str:
    """Return the name of a database that ``migrate`` brought to head: a copy of it is quicker than migrating."""
    name = f"template_{migrate.__module__.replace('.', '_')}"
    server.create_database(name)
    migrate(server.url(name))
    return name


def connection_forms(server: EmbeddedPostgres, database: str, folder: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the forms of a connection string that lead to ``database``, each with the variables that it needs.

    A second host refuses every connection, and a file in ``folder`` names the service.
    """
    url = server.url(database)
    login, _, place = url.removeprefix("postgresql://").partition("@")
    user, _, password = login.partition(":")
    refuses = free_port()
    file = folder / "pg_service.conf"
    here = {"host": "127.0.0.1", "port": str(server.port), "user": user, "password": password, "dbname": database}
    file.write_text("[here]\n" + "".join(f"{key}={value}\n" for key, value in here.items()))
    two = f"127.0.0.1:{refuses},{place.partition('/')[0]}"
    hosts = f"host=127.0.0.1,127.0.0.1 port={refuses},{server.port} user={user} password={password} dbname={database}"
    forms = [
        url,
        f"postgresql://{login}@{two}/{database}?target_session_attrs=read-write",
        f"postgresql+psycopg://{login}@/{database}?host=127.0.0.1:{refuses}&host=127.0.0.1:{server.port}",
        f"{url}?options=-c%20work_mem%3D5MB",
        hosts,
    ]
    return [*((form, {}) for form in forms), ("service=here", {"PGSERVICEFILE": str(file)})]


@contextmanager
def fresh_database(server: EmbeddedPostgres, *, template: str = "template1") -> Iterator[str]:
    """Yield the URL of a new database, a copy of ``template``; drop it afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    server.create_database(name, template=template)
    try:
        yield server.url(name)
    finally:
        if server.pid is not None:
            server.drop_database(name)


class ServiceProcess:
    """One service as a real process. It ends with the code inside, and with the test's process at the latest."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        ready: Callable[[], bool],
        folder: Path,
        start_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.log_file = folder / f"{name}-{secrets.token_hex(3)}.log"
        self._argv = list(argv)
        self._env = {**_plain_environment(), **env}
        self._ready = ready
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def settings(self) -> Mapping[str, str]:
        """Its environment."""
        return self._env

    @property
    def pid(self) -> int:
        """The process id."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def runs(self) -> bool:
        """True between start and exit."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it is ready; raise RuntimeError with the end of its log after ``start_seconds``."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start and return at once, so that several processes can start side by side."""
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"] if sys.platform == "linux" else []
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the test names the command
                [*prefix, *self._argv],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait for a launched process; raise RuntimeError with the end of its log after ``start_seconds``."""
        deadline = time.monotonic() + self._start_seconds
        while not self._ready():
            if not self.runs or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} was not ready in time:\n{self.output()[-3000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """Send SIGKILL to it and its children, as a power cut would."""
        if self._process is not None and self.runs:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def terminate(self, seconds: float = 60.0) -> int:
        """Send SIGTERM and return the exit code; raise TimeoutExpired after ``seconds``."""
        assert self._process is not None  # noqa: S101 - started before
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def output(self) -> str:
        """Return its log."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def _plain_environment() -> dict[str, str]:
    """Return the environment without the developer's own TicketCap settings."""
    prefixes = ("OTEL_", "SENTRY_", "TICKETCAP_", "DATABASE_", "JWT_", "DEPLOYMENT_", "LISTEN_", "LOG_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**plain, "GRPC_VERBOSITY": "ERROR", "PYTHONUNBUFFERED": "1"}
