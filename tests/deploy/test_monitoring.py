"""Test an alert's way through the deployed Prometheus and Alertmanager."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import debian
from tests.deploy.monitoring import DEPLOY, Page, alertmanager_config, hurried, hurry_up, monitoring

SECRET = "a-secret-that-stays-in-its-file"


def test_promtool_accepts_prometheus_yml() -> None:
    """The configuration and the rules that it names."""
    debian.check("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_an_alert_fires_reaches_somebody_and_resolves(tmp_path: Path) -> None:
    """Six failed payments page. The page resolves when they are ten minutes old. No other receiver is notified."""
    with Page() as page, monitoring(tmp_path, {"payment": page.address}) as watch:
        page.show({'payment_failed_total{reason="declined"}': 0})
        watch.wait_for_scrapes("payment")
        assert watch.firing() == set()

        page.show({'payment_failed_total{reason="declined"}': 6})
        watch.wait_until_firing("PaymentFailures")
        assert watch.firing() == {"PaymentFailures"}

        watch.wait_until_resolved("PaymentFailures")
        assert watch.inbox.notifications_of("PaymentFailures") == [("page", "firing"), ("page", "resolved")]


def test_a_page_keeps_back_what_it_explains(tmp_path: Path) -> None:
    """The service is down, so Alertmanager notifies of TargetDown and inhibits the alert of its outbox."""
    with Page() as page, monitoring(tmp_path, {"payment": page.address}) as watch:
        page.show({"outbox_lag_seconds": 300})
        watch.wait_until_firing("OutboxLagging")
        page.close()
        watch.wait_until_firing("TargetDown")
        assert watch.inbox.notifications_of("TargetDown")[0] == ("page", "firing")
        assert watch.firing() == {"TargetDown"}


def test_every_alert_links_its_runbook_in_full() -> None:
    """Below RUNBOOK_BASE_URL; without it by a path in the repository. A value that is no address stops the start."""
    start = DEPLOY / "prometheus/start.sh"
    rules = debian.check("sh", start, "--print")
    assert "runbook_url: docs/runbooks/capacity-drift.md" in rules
    rules = debian.check("sh", start, "--print", env={"RUNBOOK_BASE_URL": "https://wiki.example.org/ticketcap/"})
    assert "runbook_url: https://wiki.example.org/ticketcap/docs/runbooks/capacity-drift.md" in rules
    assert rules.count("runbook_url: ") == rules.count("runbook_url: https://wiki.example.org/ticketcap/docs/runbooks/")
    for wrong in ("wiki", "https://x/'", "https://x/|e id"):
        with pytest.raises(AssertionError, match="RUNBOOK_BASE_URL"):
            debian.check("sh", start, "--print", env={"RUNBOOK_BASE_URL": wrong})


def test_the_embedded_stack_counts_synthetic_schools() -> None:
    """The rules are the same but for the selector; any other value stops the start."""
    start = DEPLOY / "prometheus/start.sh"
    rules = debian.check("sh", start, "--print", env={"SYNTHETIC_SCHOOLS": "included"})
    assert "school_synthetic" not in rules
    for line in rules.splitlines():
        check_line = line.strip().removeprefix("expr: ")
        assert "{," not in check_line
        assert "{}" not in check_line
    with pytest.raises(AssertionError, match="SYNTHETIC_SCHOOLS"):
        debian.check("sh", start, "--print", env={"SYNTHETIC_SCHOOLS": "yes"})


def test_hurrying_shortens_durations_and_nothing_else() -> None:
    """Windows, offsets and waits; not names, label values or numbers."""
    assert hurried("rate(x[10m]) unless y offset 1h > 5") == "rate(x[3000ms]) unless y offset 18000ms > 5"
    assert hurried('registration:error_ratio:rate5m{age="under_5m"} > 14.4 * 0.001') == (
        'registration:error_ratio:rate5m{age="under_5m"} > 14.4 * 0.001'
    )
    rule = {"alert": "A", "expr": "x[1m]", "for": "2m", "annotations": {"summary": "within 10m"}}
    assert hurry_up({"groups": [{"rules": [rule]}]}) == {
        "groups": [{"rules": [{**rule, "expr": "x[300ms]", "for": "600ms"}]}]
    }


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """Return the path of a file with a secret in it."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return str(path)


def receivers(config: str) -> dict[str, set[str]]:
    """Return the channels of each receiver."""
    return {
        receiver["name"]: {way.removesuffix("_configs") for way in receiver if way != "name"}
        for receiver in yaml.safe_load(config)["receivers"]
    }


@pytest.mark.parametrize("ways", [(), ("slack",), ("email",), ("slack", "email", "webhook")], ids=str)
def test_alertmanager_tells_those_whom_the_environment_names(
    tmp_path: Path, secret: str, ways: tuple[str, ...]
) -> None:
    """No receiver without settings. amtool accepts each file. Secrets stay in their files. A notice is no mail."""
    settings = {
        "slack": {"ALERT_SLACK_URL_FILE": secret, "ALERT_SLACK_CHANNEL": "#school-events"},
        "email": {
            "ALERT_EMAIL_TO": "on-call@example.org",
            "ALERT_EMAIL_FROM": "alerts@example.org",
            "ALERT_SMTP": "mail.example.org:587",
            "ALERT_SMTP_USER": "alerts",
            "ALERT_SMTP_PASSWORD_FILE": secret,
        },
        "webhook": {"ALERT_WEBHOOK_URL": "http://127.0.0.1:1/"},
    }
    config = alertmanager_config({name: value for way in ways for name, value in settings[way].items()})
    written = tmp_path / "alertmanager.yml"
    written.write_text(config)
    debian.check("amtool", "check-config", written)
    assert SECRET not in config
    channels = receivers(config)
    assert channels["page"] == channels["ticket"] == set(ways)
    assert channels["notice"] == set(ways) - {"email"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ALERT_SLACK_URL_FILE": "/nowhere"}, "/nowhere can't be read"),
        ({"ALERT_EMAIL_TO": "a@example.org"}, "ALERT_EMAIL_FROM is not"),
        ({"ALERT_EMAIL_TO": "a@example.org", "ALERT_EMAIL_FROM": "b@example.org"}, "ALERT_SMTP is not"),
        ({"ALERT_WEBHOOK_URL": "x'\nroute: {}"}, "ALERT_WEBHOOK_URL holds a quote or a line break"),
    ],
)
def test_alertmanager_does_not_start_with_half_a_setting(settings: dict[str, str], complaint: str) -> None:
    """It says which one, instead of being silent on the day it is needed."""
    with pytest.raises(AssertionError, match=complaint):
        alertmanager_config(settings)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "PaymentFailures", "severity": "critical"}, "page"),
        ({"alertname": "DatabaseSlow", "severity": "warning"}, "ticket"),
        ({"alertname": "EventCapacityReached", "severity": "info"}, "notice"),
        ({"alertname": "WithoutSeverity"}, "ticket"),
    ],
)
def test_severity_decides_who_is_told(labels: dict[str, str], receiver: str) -> None:
    """Pages, tickets, notices."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    routed = debian.check(
        "amtool", "config", "routes", "test", f"--config.file={DEPLOY / 'alertmanager/alertmanager.yml'}", *pairs
    )
    assert routed.strip() == receiver


def test_every_alert_that_the_routes_name_exists() -> None:
    """A renamed alert would slip through an inhibition in silence."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
    alerts = {
        rule["alert"]
        for path in (DEPLOY / "prometheus/rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    named = {
        name
        for rule in config["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        if matcher.startswith("alertname")
        for name in matcher.split('"')[1].split("|")
    }
    assert named
    assert named <= alerts
