"""Run a PostgreSQL server with a synchronous standby to promote."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from ticketcap_local.postgres import EmbeddedPostgres, binaries
from ticketcap_testing.stack import free_port

_SECONDS: Final = 60.0


class Standby:
    """The standby of ``primary``. A commit at the primary waits for it, so it holds every acknowledged write."""

    def __init__(self, primary: EmbeddedPostgres, server: EmbeddedPostgres) -> None:
        self._primary = primary
        self.server = server

    def stop_primary_at_once(self) -> None:
        """End the primary as pg_ctl's immediate stop does: no client hears of it and nothing is written."""
        pid = self._primary.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        _wait_until(lambda: self._primary.pid is None, "the primary did not end")

    def promote(self) -> float:
        """Make the standby a primary; return the moment when it is one, on the monotonic clock."""
        with psycopg.connect(self.server.url(), autocommit=True) as owner:
            row = owner.execute("SELECT pg_promote(wait_seconds => 60)").fetchone()
            assert row == (True,), "the standby was not promoted"
        return time.monotonic()


@contextmanager
def with_standby(primary: EmbeddedPostgres, folder: Path) -> Iterator[Standby]:
    """Run a standby over a copy of ``primary``, and make the primary's commits wait for it."""
    server = EmbeddedPostgres(folder / "data", free_port())
    _copy(primary, server)
    server.start()
    try:
        with psycopg.connect(primary.url(), autocommit=True) as owner:
            # After the copy: the promoted standby has no standby of its own and must not wait for one.
            owner.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            owner.execute("SELECT pg_reload_conf()")
            _wait_until(lambda: _is_synchronous(owner), "the standby did not become synchronous")
        yield Standby(primary, server)
    finally:
        server.stop()


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


def both_hosts(url: str, *ports: int) -> str:
    """Return the connection string of a database that names a host for each port, and wants the writable one."""
    parts = conninfo_to_dict(url)
    hosts = ",".join(["127.0.0.1"] * len(ports))
    return make_conninfo(
        url, host=hosts, port=",".join(map(str, ports)), dbname=parts["dbname"], target_session_attrs="read-write"
    )
