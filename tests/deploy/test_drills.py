"""Check that each drill's alert fires and resolves.

Eight of them run with all tests; `make drills` runs all.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ticketcap_local.drills.catalogue import drills

from tests.deploy.drilled_stack import TICKETCAP, DrilledStack, drilled_stack
from tests.deploy.monitoring import DEPLOY, Monitoring, monitoring

NAMES = (DEPLOY / "prometheus/drills.txt").read_text().split()
CHOSEN = [
    "payment-failures",
    "payment-returns-refused",
    "payments-escalated",
    "capacity-drift",
    "tenant-isolation-violation",
    "database-connection-errors",
    "target-down",
    "yaad-pay-slow",
]
"""The drills of `make test`: one of each kind, those with the longest effects last."""
OTHERS = [name for name in NAMES if name not in CHOSEN]
HURRY = 120
"""Ten minutes of the rules pass in five seconds; thresholds and ages do not change."""
SCRAPE_SECONDS = 0.3
PATIENCE_SECONDS = 150.0
PAGES_ONLY = {"registration-error-budget-burn", "registration-latency-budget-burn"}
"""Their tickets fire first and look back for days: the test waits for the page and its end."""


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


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*CHOSEN, *(pytest.param(name, marks=pytest.mark.drill) for name in OTHERS)])
def test_a_drill_makes_its_alert_fire_and_resolve(
    drilled: DrilledStack, watch: Monitoring, name: str, tmp_path: Path
) -> None:
    """From the command to the receiver, and back: Ctrl-C undoes the fault."""
    alert = drills()[name].alert
    pages = {"severity": "critical", "receiver": "page"} if name in PAGES_ONLY else {}
    watch.wait_until_calm(alert, PATIENCE_SECONDS, severity=pages.get("severity", ".+"))
    began = time.monotonic()
    with drilled.drill(name, tmp_path, **watch.environment):
        under_way = time.monotonic()
        watch.wait_until_firing(alert, PATIENCE_SECONDS, **pages)
        fired = time.monotonic()
        # ALERTS_FOR_STATE holds whole seconds. The tickets of PAGES_ONLY may be pending since an earlier drill.
        assert 0 <= since_when(watch, name) <= time.monotonic() - began + (1 if not pages else PATIENCE_SECONDS * 10)
    ended = time.monotonic()
    watch.wait_until_resolved(alert, PATIENCE_SECONDS, **pages)
    print(  # noqa: T201 - `make drills` shows these times
        f"\n{name}: under way after {under_way - began:.1f} s, fires {fired - under_way:.1f} s later, "
        f"undone within {ended - fired:.1f} s, resolved {time.monotonic() - ended:.1f} s later"
    )


def since_when(watch: Monitoring, name: str) -> float:
    """Return the seconds since the alert's condition became true, by the query of its runbook."""
    text = (DEPLOY.parent / f"docs/runbooks/{name}.md").read_text()
    query = re.search(r"^## Since when$.*?^```promql\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    assert query, f"{name}.md has no query below 'Since when'"
    deadline = time.monotonic() + PATIENCE_SECONDS
    # At this pace an alert can resolve and fire again between two evaluations.
    while not (samples := watch.query(query[1])):
        assert time.monotonic() < deadline, f"{query[1]} returns nothing"
        time.sleep(0.1)
    [sample] = samples
    return float(sample["value"][1])


def test_every_alert_has_its_drill() -> None:
    """And every drill has its alert."""
    assert list(drills()) == NAMES


def test_every_drill_has_a_sentence_and_a_runbook() -> None:
    """The sentence ends with a period; the runbook exists."""
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
    ("arguments", "message"),
    [(["target-down"], "no stack runs"), (["no-such-drill"], "--list"), ([], "--list")],
    ids=str,
)
def test_a_drill_that_can_not_run_is_an_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    """In one line, with exit code 2."""
    done = run(*arguments, TICKETCAP_STATE_DIR=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr


def test_no_drill_runs_in_production_or_without_its_part(drilled: DrilledStack) -> None:
    """Even on a running stack. Without an Alertmanager its drill names the missing part."""
    refused = run("target-down", **drilled.environment, DEPLOYMENT_ENVIRONMENT="production")
    assert (refused.returncode, "production" in refused.stderr) == (2, True), refused.stderr
    lonely = run("alert-delivery-failing", **drilled.environment)
    assert (lonely.returncode, "ALERTMANAGER_URL" in lonely.stderr) == (2, True), lonely.stderr


def test_all_are_listed() -> None:
    """By name, each with its sentence."""
    lines = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
