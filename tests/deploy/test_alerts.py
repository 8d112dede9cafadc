"""Test every alert rule with promtool."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import metrics
from tests.deploy import debian

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy/prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("rules/*.yml"))
TEST_FILES = sorted(PROMETHEUS.glob("tests/*.yml"))
SEVERITIES = {"critical", "warning", "info"}


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule."""
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> Iterator[dict[str, Any]]:
    """Yield every alerting rule."""
    return (rule for rule in rules() if "alert" in rule)


NAMES = sorted({rule["alert"] for rule in alerts()})


def test_a_missing_program_is_a_failure_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail, never skip: rules without a run would look tested."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match=r"promtool is missing: apt-get install .* prometheus"):
        debian.check("promtool", "--version")


@pytest.fixture(scope="module")
def promtool() -> str:
    """Return the program's path, or fail once and name the package to install."""
    return debian.program("promtool")


@pytest.mark.usefixtures("promtool")
def test_promtool_accepts_the_rules() -> None:
    """Every expression parses and every template renders."""
    debian.check("promtool", "check", "rules", *RULE_FILES)


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    """promtool plays the series and compares the alerts with those expected, annotations and all."""
    debian.check("promtool", "test", "rules", path)


def _outcomes() -> dict[str, list[list[bool]]]:
    """Return, for each alert, whether it fires at each moment of each of its cases."""
    found: dict[str, list[list[bool]]] = defaultdict(list)
    for path in TEST_FILES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            if checks := case.get("alert_rule_test"):
                found[checks[0]["alertname"]].append([bool(check["exp_alerts"]) for check in checks])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_seen_to_fire_to_recover_and_to_stay_silent(name: str) -> None:
    """One case is silent, then fires, then is silent again; another one never fires."""
    cases = _outcomes()[name]
    assert any(case[0] is False and case[-1] is False and any(case) for case in cases), "no case fires and recovers"
    assert any(not any(case) for case in cases), "no case stays silent"


@pytest.mark.parametrize("rule", list(alerts()), ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    """Severity, summary, description, runbook; a summary is one line."""
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "\n" not in rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_asks_for_what_somebody_makes(rule: dict[str, Any]) -> None:
    """A misspelled metric would never alert."""
    assert metrics.check(rule["expr"])


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_leaves_synthetic_schools_out(rule: dict[str, Any]) -> None:
    """Where the metric has the label: a drill or a probe is no incident."""
    assert metrics.without_synthetic(rule["expr"]) == rule["expr"]


def test_what_rules_record_is_known() -> None:
    """All of it, and nothing that they do not record."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert metrics.RECORDED.keys() == recorded


def test_the_operators_guide_is_kept() -> None:
    """The alerts that the guide names, and its four critical ones, which wait for nothing."""
    by_name = {rule["alert"]: rule for rule in alerts()}
    assert {"HighErrorRate", "SlowPaymentProcessing", "EventCapacityReached"} <= by_name.keys()
    for name in ("PaymentFailures", "DatabaseConnectionErrors", "TenantIsolationViolation", "CapacityDrift"):
        assert by_name[name]["labels"]["severity"] == "critical"
        assert "for" not in by_name[name]
