"""Play every shell command of the runbooks against a running stack."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from ticketcap_local.postgres import EmbeddedPostgres

from tests.deploy.drilled_stack import DrilledStack, drilled_stack

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
PROGRAMS = ("ticketcap", "curl", "python", "deploy/", "amtool", "promtool")
"""First words of the commands that an operator pastes. The queries of other blocks have tests of their own."""
NEEDS_A_CASE = "$KIND"
"""A command about one escalation; the drill payments-escalated makes one and resolves it by the same call."""
DEFAULT_PORTS = {
    8080: "GATEWAY",
    9460: "GATEWAY_METRICS",
    9461: "REGISTRATION_METRICS",
    9462: "PAYMENT_METRICS",
    8090: "YAADPAY",
    4318: "OTLP_HTTP",
}
EVENT = "/api/v1/schools/herzl/events/spring-match"


def block_commands(path: Path) -> Iterator[str]:
    """Yield each command of a page's indented and ``sh`` blocks, with its continuation lines."""
    text = path.read_text()
    fenced = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    indented = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join([*fenced, *re.findall(r"^ {4,}\S.*$", indented, re.MULTILINE)])
    for command in re.sub(r"\\\n *", "", lines).splitlines():
        if command.strip().startswith(PROGRAMS) and NEEDS_A_CASE not in command:
            yield command.strip()


def inline_commands(path: Path) -> Iterator[str]:
    """Yield each command that stands complete in a sentence; a drill has a test of its own."""
    for command in re.findall(r"`((?:ticketcap|curl|deploy/\S+\.sh) [^`]+)`", path.read_text().replace("\n", " ")):
        is_template = re.search(r"…|\b[A-Z]{2,}\b(?!\w*=)|--watch|up --monitoring", command)
        is_name = re.fullmatch(r"ticketcap (correct|dump|sql|drill.*)", command)
        if not (is_template or is_name):
            yield command


COMMANDS = sorted({(path.stem, command) for path in RUNBOOKS for command in block_commands(path)}) + sorted(
    {(path.stem, command) for path in RUNBOOKS for command in inline_commands(path)}
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrilledStack]:
    with drilled_stack(tmp_path_factory.mktemp("stack")) as stack:
        stack.ticketcap("traffic", "--parents", "2")  # counters and traces for the commands that show them
        yield stack


def paste(stack: DrilledStack, command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as an operator does: in the repository, with the programs of its environment on the path."""
    for port, name in DEFAULT_PORTS.items():
        command = command.replace(f"127.0.0.1:{port}", stack.address(name).removeprefix("http://"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    service = "registration" if "end-session registration" in command else "payment"
    with session(stack, service) as pid:
        # The runbooks leave these to the operator.
        chosen = {"SCHOOL": "herzl", "EVENT": "spring-match", "EVENT_ID": str(event(stack)["id"]), "PID": str(pid)}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env={**os.environ, **stack.environment, **chosen, "PATH": path},
            cwd=folder if " dump " in command else ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def session(stack: DrilledStack, service: str) -> Iterator[int]:
    """Yield the pid of an open session of a service's database."""
    connection = psycopg.connect(database_url(stack, service))
    try:
        yield connection.info.backend_pid
    finally:
        connection.close()


def database_url(stack: DrilledStack, service: str) -> str:
    folder = Path(stack.environment["TICKETCAP_STATE_DIR"]) / "postgres/data"
    return EmbeddedPostgres(folder, int(stack.environment["TICKETCAP_POSTGRES_PORT"])).url(service)


def event(stack: DrilledStack) -> dict[str, object]:
    found: dict[str, object] = httpx.get(stack.address("GATEWAY") + EVENT, timeout=10, trust_env=False).json()
    return found


def test_commands_are_found() -> None:
    """In several pages; a page without commands is no mistake, a change of form that hides them is."""
    assert len({page for page, _ in COMMANDS}) >= 5
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_runs_as_pasted(running: DrilledStack, tmp_path: Path, page: str, command: str) -> None:
    """With exit code 0, and without a refusal by the API."""
    done = paste(running, command, tmp_path)
    assert done.returncode == 0, f"{page}: {command}\n{done.stdout}{done.stderr}"
    assert not re.search(r"^HTTP/1.1 4", done.stdout), f"{page}: {command}\n{done.stdout}"


def test_a_dump_holds_the_rows_and_is_private(running: DrilledStack, tmp_path: Path) -> None:
    """Readable for its owner only; an existing file is never overwritten."""
    file = tmp_path / "registration.dump"
    running.ticketcap("dump", "registration", str(file))
    assert file.stat().st_mode & 0o077 == 0
    assert b"spring-match" in file.read_bytes() or file.read_bytes().startswith(b"PGDMP")
    done = paste(running, f"ticketcap dump registration {file}", tmp_path)
    assert (done.returncode, "exists" in done.stderr) == (1, True)


def test_a_recount_changes_nothing_until_it_is_applied(running: DrilledStack) -> None:
    """The dry run shows both counts; --apply restores the counter; a second one finds no difference."""
    before = event(running)
    event_id = str(before["id"])
    change = f"UPDATE events SET waitlisted = waitlisted + 3 WHERE id = '{event_id}'"
    running.ticketcap("sql", "registration", "--owner", "-c", change)
    wait_for_log(running, "registration", r'"school_slug": "herzl".*"capacity.audit.drift"')
    dry = running.ticketcap("correct", "recount", event_id)
    assert re.search(r"waitlisted +3 +0", dry)
    assert "nothing changed" in dry
    assert "school herzl" in dry
    assert re.search(r"waitlisted +3 +0", running.ticketcap("correct", "recount", event_id, "--apply"))
    assert re.search(r"waitlisted +0 +0", running.ticketcap("correct", "recount", event_id))


def wait_for_log(stack: DrilledStack, part: str, pattern: str) -> None:
    log = Path(stack.environment["TICKETCAP_STATE_DIR"]) / f"logs/{part}.log"
    deadline = time.monotonic() + 20
    while not re.search(pattern, log.read_text()):
        assert time.monotonic() < deadline, f"{pattern} is not in {log}"
        time.sleep(0.1)


def test_a_stuck_session_is_shown_before_it_is_ended(running: DrilledStack) -> None:
    """Only sessions of the service's own database."""
    with psycopg.connect(database_url(running, "payment")) as connection:
        connection.execute("LOCK TABLE cursors")
        pid = str(connection.info.backend_pid)
        assert "LOCK TABLE cursors" in running.ticketcap("correct", "end-session", "payment", pid)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        running.ticketcap("correct", "end-session", "payment", pid, "--apply")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_unprotected_tables_are_protected_again(running: DrilledStack) -> None:
    """The dry run names them; --apply enables and forces row-level security."""
    disable = "ALTER TABLE idempotency_keys DISABLE ROW LEVEL SECURITY"
    running.ticketcap("sql", "registration", "--owner", "-c", disable)
    for arguments in ((), ("--apply",)):
        assert "idempotency_keys" in running.ticketcap("correct", "protect-tables", "registration", *arguments)
    assert "security: none" in running.ticketcap("correct", "protect-tables", "registration")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recount", "00000000-0000-0000-0000-000000000000"], "not found"),
        (["end-session", "payment", "1"], "no session"),
        (["end-session", "gateway", "1"], "has no database"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_correction_that_finds_nothing_says_so(running: DrilledStack, arguments: list[str], message: str) -> None:
    """In one line, with exit code 1."""
    done = paste(running, shlex.join(["ticketcap", "correct", *arguments]), ROOT)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert message in done.stderr
