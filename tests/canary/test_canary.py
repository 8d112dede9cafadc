"""Check that no planted person or secret leaves a service."""

import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from ticketcap_testing.stack import ServiceProcess

from tests.canary.people import People, Planted
from tests.canary.planting import break_handlers, plant
from tests.canary.recorder import Recorder
from tests.stack_under_test import Stack
from tests.stack_under_test import stack as run_stack
from tests.traces.world import World

SEED = int(os.environ.get("CANARY_SEED") or secrets.randbelow(10**9))
SERVICES = ("gateway", "registration", "payment")
PLACES = ("/v1/traces", "/v1/metrics", "/v1/logs", "/envelope/")
EXPORT_SECONDS = 1.5


def started(*words: str) -> Callable[[str], list[str]]:
    return lambda module: [sys.executable, "-m", "tests.canary.launcher", module, *words]


def left_behind(folder: Path, people: People, do: Callable[[World], None], *words: str) -> dict[str, bytes]:
    """Run the system, let something be done with it, and return every byte that left, by where it went."""
    with Recorder() as recorder:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{recorder.address}",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "SENTRY_DSN": f"http://key@{recorder.address}/1",
            "LOG_LEVEL": "DEBUG",
            "LOG_EXPORT_LEVEL": "DEBUG",
            "METRICS_ADDRESS": "127.0.0.1",
            "TRUSTED_PROXIES": "127.0.0.1",
            "YAADPAY_KEY": people.key,
            "YAADPAY_PASSP": people.passp,
        }
        with run_stack(folder, settings, started(*words)) as stack:
            _set_terminal(stack, people)
            do(World(stack))
            time.sleep(EXPORT_SECONDS)
            pages = {f"{name} /metrics": httpx.get(url, trust_env=False).content for name, url in stack.metrics.items()}
            for process in (stack.gateway, stack.payment, stack.registration):
                assert process.terminate() == 0
            printed = {f"{each.name} stdout": each.output().encode() for each in _services(stack)}
        return {**{place: recorder.sent_to(place) for place in PLACES}, **pages, **printed}


def _services(stack: Stack) -> list[ServiceProcess]:
    return [stack.gateway, stack.registration, stack.payment]


def _set_terminal(stack: Stack, people: People) -> None:
    url = f"{stack.simulator_url}/simulator/terminal"
    assert httpx.patch(url, json={"key": people.key, "passp": people.passp}, trust_env=False).status_code == 200


def found(planted: list[Planted], left: dict[str, bytes]) -> list[str]:
    """Return each planted value that left, with the bytes around it."""
    return [
        f"{one.kind} {one.text!r} in {place}: {_around(content, form)}"
        for place, content in left.items()
        for one in planted
        for form in one.forms()
        if form in content
    ]


def _around(content: bytes, form: bytes) -> str:
    at = content.index(form)
    return content[max(0, at - 150) : at + len(form) + 60].decode(errors="replace")


@pytest.mark.timeout(240)
def test_nobody_planted_is_in_any_byte_that_left(tmp_path: Path) -> None:
    """Traces, metrics, log lines, errors, what is printed, Prometheus's pages; CANARY_SEED plants the same again."""
    print(f"\nCANARY_SEED={SEED}")
    people = People(SEED)
    left = left_behind(tmp_path, people, lambda world: plant(world, people))
    assert [place for place, content in left.items() if len(content) < 100] == [], "nothing came from there"
    assert all(service.encode() in left["/envelope/"] for service in SERVICES), "not every service reported an error"
    findings = found(people.everything(), left)
    assert not findings, f"CANARY_SEED={SEED}: {len(findings)}\n" + "\n".join(findings[:40])


@pytest.mark.timeout(120)
def test_without_redaction_the_search_finds_them(tmp_path: Path) -> None:
    """The negative control: the same search, on services whose redaction is switched off."""
    people = People(SEED)
    left = left_behind(tmp_path, people, lambda world: break_handlers(world, people), "bare")
    where = {line.partition(" in ")[2].partition(":")[0] for line in found(people.everything(), left)}
    assert {"/v1/logs", "registration stdout", "gateway stdout"} <= where
