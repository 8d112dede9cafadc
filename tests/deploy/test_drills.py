"""Test that each drill makes its alert fire and resolve.

Eight of them run with all tests; `make drills` runs all.
"""

import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ticketcap_local.drills.catalogue import drills

from tests.deploy.drilled_stack import TICKETCAP, DrilledStack, drilled_stack
from tests.deploy.monitoring import DEPLOY, Monitoring, monitoring

NAMES = (DEPLOY / "prometheus/drills.txt").read_text().split()
TELLING = [
    "payment-failures",
    "payment-returns-refused",
    "payments-escalated",
    "capacity-drift",
    "tenant-isolation-violation",
    "database-connection-errors",
    "target-down",
    "yaad-pay-slow",
]
"""Drills that `make test` runs: one of each kind. Those that leave most behind come last."""
OTHERS = [name for name in NAMES if name not in TELLING]
HURRY = 120
"""Ten minutes of the rules pass in five seconds; thresholds and ages are what they are."""
SCRAPE_SECONDS = 0.3
PATIENCE_SECONDS = 150.0
COMMANDS = sorted(
    {
        line.strip()
        for runbook in (DEPLOY.parent / "docs/runbooks").glob("*.md")
        for line in runbook.read_text().splitlines()
        if line.startswith("      ticketcap ")
    }
)
PAGES_ONLY = {"registration-error-budget-burn", "registration-latency-budget-burn"}
"""Their tickets fire first and look back for days: what is waited for is the page, and its end."""


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrilledStack]:
    with drilled_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def watch(drilled: DrilledStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    folder = tmp_path_factory.mktemp("watch")
    with monitoring(folder, drilled.targets, hurry=HURRY, scrape_seconds=SCRAPE_SECONDS) as running:
        for job in drilled.targets:
            running.wait_for_scrapes(job)
        yield running


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_runbooks_runs_as_pasted(drilled: DrilledStack, command: str) -> None:
    """An operator at night pastes what the runbook says."""
    assert drilled.ticketcap(*shlex.split(command)[1:])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*TELLING, *(pytest.param(name, marks=pytest.mark.drill) for name in OTHERS)])
def test_a_drill_makes_its_alert_fire_and_resolve(
    drilled: DrilledStack, watch: Monitoring, name: str, tmp_path: Path
) -> None:
    """From the command to the receiver of the alert, and back: Ctrl-C undoes the fault."""
    alert = drills()[name].alert
    pages = {"severity": "critical", "receiver": "page"} if name in PAGES_ONLY else {}
    watch.wait_until_calm(alert, PATIENCE_SECONDS, severity=pages.get("severity", ".+"))
    began = time.monotonic()
    with drilled.drill(name, tmp_path, **watch.environment):
        under_way = time.monotonic()
        watch.wait_until_firing(alert, PATIENCE_SECONDS, **pages)
        fired = time.monotonic()
    ended = time.monotonic()
    watch.wait_until_resolved(alert, PATIENCE_SECONDS, **pages)
    print(  # noqa: T201 - what `make drills` is for
        f"\n{name}: under way after {under_way - began:.1f} s, fires {fired - under_way:.1f} s later, "
        f"undone within {ended - fired:.1f} s, resolved {time.monotonic() - ended:.1f} s later"
    )


def test_every_alert_has_its_drill() -> None:
    """And no drill is without one."""
    assert list(drills()) == NAMES


def test_each_says_what_it_breaks_and_where_to_look() -> None:
    """One sentence, and a runbook that exists."""
    for drill in drills().values():
        assert drill.breaks.endswith(".")
        assert (DEPLOY.parent / drill.runbook).exists()
        assert drill.seconds >= 300


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [TICKETCAP, "drill", *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["target-down"], "nothing runs"), (["no-such-drill"], "--list"), ([], "--list")],
    ids=str,
)
def test_where_no_drill_can_be_run_it_says_why(tmp_path: Path, arguments: list[str], told: str) -> None:
    """In one line, with exit code 2."""
    done = run(*arguments, TICKETCAP_STATE_DIR=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert told in done.stderr


def test_nothing_is_broken_in_production_nor_where_a_part_is_missing(drilled: DrilledStack) -> None:
    """Not even on a stack that runs; and without an Alertmanager its drill says what is missing."""
    refused = run("target-down", **drilled.environment, DEPLOYMENT_ENVIRONMENT="production")
    assert (refused.returncode, "production" in refused.stderr) == (2, True), refused.stderr
    lonely = run("alert-delivery-failing", **drilled.environment)
    assert (lonely.returncode, "ALERTMANAGER_URL" in lonely.stderr) == (2, True), lonely.stderr


def test_all_are_listed() -> None:
    """By name, each with its sentence."""
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
