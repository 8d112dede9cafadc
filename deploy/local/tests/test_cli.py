"""Run the command as a person does."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from ticketcap_chassis.identity.roles import Principal, Role
from ticketcap_chassis.identity.tokens import TokenVerifier
from ticketcap_local.sink import serving
from ticketcap_local.state import PartStatus, StateFolder
from ticketcap_local.trace_store import TraceStore
from ticketcap_testing.stack import free_port

TICKETCAP = Path(sys.executable).parent / "ticketcap"
Done = subprocess.CompletedProcess[str]


def run(*arguments: str, **environment: str) -> Done:
    return subprocess.run(
        [TICKETCAP, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "principal"),
    [
        (["--school", "herzl", "--role", "owner"], Principal("local", Role.OWNER, "herzl")),
        (["--role", "SUPER_ADMIN", "--hours", "0.5"], Principal("local", Role.SUPER_ADMIN, None)),
    ],
)
async def test_a_token_is_printed_and_valid(tmp_path: Path, arguments: list[str], principal: Principal) -> None:
    """Signed with the stack's secret, in a file that only its owner can read; the services' verifier accepts it."""
    done = run("token", *arguments, TICKETCAP_STATE_DIR=str(tmp_path))
    verifier = TokenVerifier(secret=StateFolder(tmp_path).secrets()["JWT_SECRET"])
    assert await verifier.verify(done.stdout.strip()) == principal
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_secrets_are_long_and_created_once(tmp_path: Path) -> None:
    """The services require 32 characters; tokens stay valid over restarts."""
    state = StateFolder(tmp_path)
    created = state.secrets()
    assert set(created) == {"JWT_SECRET", "MANAGE_TOKEN_SECRET"}
    assert all(len(secret) >= 32 for secret in created.values())
    assert StateFolder(tmp_path).secrets() == created


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["token", "--role", "OWNER"], "--school"),
        (["token", "--role", "KING"], "--role must be one of"),
        (["token", "--role", "SUPER_ADMIN", "--school", "herzl"], "leave --school out"),
        (["status"], "no stack runs"),
        (["traces"], "no trace sink"),
        (["traffic", "--parents", "1"], "no response from"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    """The error and its cure, no traceback, exit code 1."""
    ports = {f"TICKETCAP_{name}_PORT": str(free_port()) for name in ("GATEWAY", "OTLP_HTTP")}
    done = run(*arguments, TICKETCAP_STATE_DIR=str(tmp_path), **ports)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_wrong_setting_is_named(tmp_path: Path, port: str) -> None:
    """By its variable."""
    done = run("status", TICKETCAP_STATE_DIR=str(tmp_path), TICKETCAP_GATEWAY_PORT=port)
    assert done.returncode == 1
    assert "TICKETCAP_GATEWAY_PORT" in done.stderr


def test_status_shows_parts_that_are_down(tmp_path: Path) -> None:
    """In columns of full width; a part that does not run makes the exit code 1."""
    state = StateFolder(tmp_path)
    log = tmp_path / "a folder with a name so long that a table would cut it" / "gateway.log"
    with state.locked():
        state.record([PartStatus("gateway", "running", 123, "http://127.0.0.1:8080", str(log))])
        done = run("status", TICKETCAP_STATE_DIR=str(tmp_path))
        assert done.returncode == 0
        pattern = rf"^gateway +running +123 +http://127.0.0.1:8080 +{re.escape(str(log))}$"
        assert re.search(pattern, done.stdout, re.MULTILINE)
        state.record([PartStatus("gateway", "down", None, "http://127.0.0.1:8080", str(log))])
        done = run("status", TICKETCAP_STATE_DIR=str(tmp_path))
        assert done.returncode == 1
        assert re.search(r"^gateway +down +- ", done.stdout, re.MULTILINE)
    assert "no stack runs" in run("status", TICKETCAP_STATE_DIR=str(tmp_path)).stderr


async def test_traces_are_shown_newest_last(tmp_path: Path) -> None:
    """Whole lines when they go into a file; one trace by the beginning of its id."""
    store, http_port = TraceStore(), free_port()
    long_name = "POST " + "/a-long-route" * 20
    for number, name in ((1, "GET /old"), (2, long_name)):
        store.add(exported(Span(trace_id=number.to_bytes(1, "big") * 16, span_id=b"12345678", name=name)))
    where = {"TICKETCAP_OTLP_HTTP_PORT": str(http_port), "TICKETCAP_STATE_DIR": str(tmp_path)}
    async with serving(store, free_port(), http_port):
        both = await asyncio.to_thread(run, "traces", **where)
        one = await asyncio.to_thread(run, "traces", "--trace-id", "0101", **where)
        none = await asyncio.to_thread(run, "traces", "--name", "absent", **where)
    assert both.stdout.index("GET /old") < both.stdout.index(long_name)
    assert "GET /old" in one.stdout
    assert long_name not in one.stdout
    assert none.returncode == 1
    assert "no such traces" in none.stderr


def exported(span: Span) -> ExportTraceServiceRequest:
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="gateway"))])
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])]
    )
