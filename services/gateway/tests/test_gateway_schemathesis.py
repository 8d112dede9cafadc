"""Check the running gateway against its OpenAPI document with schemathesis."""

import asyncio
import json
import os
import re
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ticketcap_chassis.lifecycle import background
from ticketcap_testing.service_fakes import MANAGE_TOKEN, PAY_TOKEN, SECRET, FakePayment, FakeRegistration, token

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "4")
SEED = os.environ.get("SCHEMATHESIS_SEED") or str(secrets.randbelow(2**32))
"""The same seed plays the same requests again."""
INHERITED = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
CONFIGURATION = f"""
seed = {SEED}
hooks = "{Path(__file__).with_name("schemathesis_hooks.py")}"
suppress-health-check = ["all"]
request-timeout = 60
max-stream-events = 1
warnings = false

[generation]
max-examples = {EXAMPLES}
database = "none"

# Links between calls need services that remember; the tests of the whole system have them.
[phases.stateful]
enabled = false

[checks]
enabled = true

# A wrong manage token is answered as an unknown id is, 404: a registration's existence is not told. The contracts of
# the traces hold that.
[[operations]]
include-path-regex = "^/api/v1/(registrations|payments)/.id."
checks.ignored_auth.enabled = false

[auth.openapi]
organiser = {{ bearer = "{token("SUPER_ADMIN", None)}" }}
manageToken = {{ api_key = "{MANAGE_TOKEN}" }}
"""


@asynccontextmanager
async def _gateway(registration: FakeRegistration, payment: FakePayment) -> AsyncIterator[str]:
    environment = INHERITED | {
        "JWT_SECRET": SECRET,
        "REGISTRATION_TARGET": registration.target,
        "PAYMENT_TARGET": payment.target,
        "LISTEN_ADDRESS": "127.0.0.1:0",
        "METRICS_ADDRESS": "",
        "REGISTRATIONS_PER_HOUR": "0",
        "HEARTBEAT_SECONDS": "0.2",
        # The test error is a server error on purpose.
        "TEST_ERROR_ENABLED": "false",
    }
    process = await _started([sys.executable, "-m", "ticketcap_gateway"], environment, Path.cwd())
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = json.loads(await process.stdout.readline())
        async with background(_read_away(process.stdout), None, name="output", endless=False):
            yield f"http://{line['address']}"
    finally:
        process.kill()
        await process.communicate()


async def _read_away(output: asyncio.StreamReader) -> None:
    """Read what a process logs: a full pipe would stop it."""
    await output.read()


async def _started(command: list[str], environment: dict[str, str], folder: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )


@pytest.mark.timeout(300)
async def test_every_answer_is_as_the_document_says(
    registration: FakeRegistration, payment: FakePayment, tmp_path: Path
) -> None:
    """Valid and invalid requests of every call, each missing header, each unknown method: 0 findings."""
    registration.holder_tokens = payment.holder_tokens = frozenset({MANAGE_TOKEN, PAY_TOKEN})
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(CONFIGURATION)
    async with _gateway(registration, payment) as url:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", "--no-color"]
        process = await _started([*command, f"{url}/openapi.json"], INHERITED, tmp_path)
        output, _ = await process.communicate()
    report = output.decode()
    assert process.returncode == 0, f"play it again with SCHEMATHESIS_SEED={SEED}\n{report}"
    assert re.search(r"\b(\d+) selected / \1 total", report)
    assert f"Seed: {SEED}" in report
