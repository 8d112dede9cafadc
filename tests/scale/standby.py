"""Run a PostgreSQL server with a synchronous standby to promote."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from ticketcap_local.postgres import EmbeddedPostgres, binaries
from ticketcap_testing.silent_proxy import SilentProxy
from ticketcap_testing.stack import free_port

_SECONDS: Final = 60.0


class Cluster:
    """A primary and its synchronous standby, each behind a network of its own.

    A commit at the primary waits for the standby, so the standby holds every acknowledged write.
    """

    def __init__(self, primary: EmbeddedPostgres, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self.primary = primary
        self.standby = self._standby_at(free_port())
        self._ways = {
            server.port: running.enter_context(SilentProxy(server.port)) for server in (self.standby, primary)
        }
        self._needs_standby = False

    def url(self, url: str) -> str:
        """Return the connection string of a database at both hosts, the first standby before the first primary."""
        ports = ",".join(str(way.port) for way in self._ways.values())
        return make_conninfo(url, host="127.0.0.1,127.0.0.1", port=ports, target_session_attrs="read-write")

    def stop_primary_at_once(self) -> None:
        """End the primary as pg_ctl's immediate stop does: nothing more is written."""
        pid = self.primary.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        _wait_until(lambda: self.primary.pid is None, "the primary did not end")

    def silence_primary(self) -> None:
        """Let the network swallow every byte to the primary, of open and of later connections."""
        self._ways[self.primary.port].swallow()

    def promote(self) -> float:
        """Make the standby the primary; return the moment when it is one, on the monotonic clock."""
        with psycopg.connect(self.standby.url(), autocommit=True) as owner:
            assert owner.execute("SELECT pg_promote(wait_seconds => 60)").fetchone() == (True,)
        promoted = time.monotonic()
        self.primary, self.standby = self.standby, self.primary
        self._needs_standby = True
        return promoted

    def repair(self) -> None:
        """Put a standby in the place of a failed primary, if one failed."""
        if self._needs_standby:
            self.standby.stop()
            self.standby = self._standby_at(self.standby.port)
            self._ways[self.standby.port].carry()
            self._needs_standby = False

    def _standby_at(self, port: int) -> EmbeddedPostgres:
        server = EmbeddedPostgres(self._folder / f"standby-{time.monotonic_ns()}" / "data", port)
        _copy(self.primary, server)
        server.start()
        self._running.callback(server.stop)
        with psycopg.connect(self.primary.url(), autocommit=True) as owner:
            # After the copy: a promoted standby has no standby of its own and must not wait for one.
            owner.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            owner.execute("SELECT pg_reload_conf()")
            _wait_until(lambda: _is_synchronous(owner), "the standby did not become synchronous")
        return server


@contextmanager
def cluster(primary: EmbeddedPostgres, folder: Path) -> Iterator[Cluster]:
    """Run a standby of ``primary`` while the code inside runs."""
    with ExitStack() as running:
        yield Cluster(primary, folder, running)


def _copy(primary: EmbeddedPostgres, server: EmbeddedPostgres) -> None:
    server.data_dir.parent.mkdir(parents=True)
    shutil.copy(primary.data_dir.parent / "postgres.password", server.data_dir.parent)
    command = [str(binaries() / "pg_basebackup"), "-D", str(server.data_dir), "-d", primary.url()]
    options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=_SECONDS)


def _is_synchronous(owner: psycopg.Connection) -> bool:
    return owner.execute("SELECT sync_state FROM pg_stat_replication").fetchall() == [("sync",)]


def _wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
