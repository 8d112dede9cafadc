"""Run Prometheus and Alertmanager over the real rules, in seconds per hour.

    with Page() as page, monitoring(folder, {"payment": page.address}) as watch:
        page.show({'payment_failed_total{reason="declined"}': 6})
        watch.wait_until_firing("PaymentFailures")

Every duration in rules and configuration is divided by ``hurry``; thresholds and expressions stay what they are.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from json import loads
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from ticketcap_testing.http_server import HttpStandIn, StandInHandler
from ticketcap_testing.stack import ServiceProcess, free_port

from tests.deploy import debian

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
HURRY: Final = 200
"""How many times faster than in production: ten minutes pass in three seconds."""

_DURATION: Final = re.compile(r"(?<![\w.])(\d+)(ms|s|m|h|d)\b")
_UNITS: Final = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION_KEYS: Final = re.compile(r"for|.*_(interval|wait|timeout)")
_POLL_SECONDS: Final = 0.1


class NotInTime(AssertionError):
    """The expected state did not come within the time."""


def hurried(text: str, hurry: int = HURRY) -> str:
    """Return ``text`` with every duration divided by ``hurry``."""

    def shorter(match: re.Match[str]) -> str:
        duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return f"{max(1, round(duration.total_seconds() * 1000 / hurry))}ms"

    return _DURATION.sub(shorter, text)


def hurry_up(tree: Any, hurry: int = HURRY) -> Any:
    """Return a configuration or a file of rules with the durations in it shortened, in expressions too."""
    if isinstance(tree, list):
        return [hurry_up(item, hurry) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: hurried(value, hurry)
        if isinstance(value, str) and (key == "expr" or _DURATION_KEYS.fullmatch(key))
        else hurry_up(value, hurry)
        for key, value in tree.items()
    }


class Page(HttpStandIn):
    """A /metrics page with the values that a test sets."""

    def __init__(self) -> None:
        page = self
        self._samples: dict[str, float] = {}

        class Handler(StandInHandler):
            def serve(self) -> None:
                body = "".join(f"{series} {value}\n" for series, value in page._samples.items()).encode()
                self.answer(200, body, {"Content-Type": "text/plain; version=0.0.4"})

        super().__init__(Handler)

    def show(self, samples: Mapping[str, float]) -> None:
        """Set series to values; others stay as they are."""
        self._samples = {**self._samples, **samples}


class Inbox(HttpStandIn):
    """Where Alertmanager's notifications arrive."""

    def __init__(self) -> None:
        inbox = self
        self.notifications: list[dict[str, Any]] = []

        class Handler(StandInHandler):
            def serve(self) -> None:
                inbox.notifications.append(loads(self.body()))
                self.answer()

        super().__init__(Handler)

    def notifications_of(self, alert: str) -> list[tuple[str, str]]:
        """Return receiver and status of every notification of ``alert``, in order."""
        return [
            (notification["receiver"], notification["status"])
            for notification in self.notifications
            if notification["commonLabels"].get("alertname") == alert
        ]


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A Prometheus and an Alertmanager that run."""

    prometheus: str
    alertmanager: str
    inbox: Inbox
    folder: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5, trust_env=False))

    @property
    def environment(self) -> dict[str, str]:
        """Environment that tells a drill Alertmanager's address and the file that it reads."""
        return {
            "ALERTMANAGER_URL": f"http://{self.alertmanager}",
            "ALERTMANAGER_CONFIG": str(self.folder / "alertmanager.yml"),
        }

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what Prometheus answers to an instant query."""
        answer = self.client.get(f"http://{self.prometheus}/api/v1/query", params={"query": expression})
        result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return result

    def firing(self, severity: str = ".+") -> set[str]:
        """Return the names of the alerts that Alertmanager holds for firing, inhibited ones left out."""
        asked = {"inhibited": "false", "filter": f'severity=~"{severity}"'}
        answer = self.client.get(f"http://{self.alertmanager}/api/v2/alerts", params=asked)
        return {alert["labels"]["alertname"] for alert in answer.raise_for_status().json()}

    def wait_until_firing(self, alert: str, seconds: float = 20, *, severity: str = ".+", receiver: str = "") -> None:
        """Wait until Alertmanager holds ``alert`` and has notified ``receiver`` (any); raise NotInTime."""
        self._wait(lambda: alert in self.firing(severity), f"{alert} does not fire", seconds)
        self._wait(
            lambda: self._last_status(alert, receiver) == "firing",
            f"no receiver is notified that {alert} fires",
            seconds,
        )

    def wait_until_resolved(self, alert: str, seconds: float = 20, *, severity: str = ".+", receiver: str = "") -> None:
        """Wait until ``alert`` is gone from Alertmanager and ``receiver`` (any) was notified; raise NotInTime."""
        self._wait(lambda: alert not in self.firing(severity), f"{alert} does not resolve", seconds)
        self._wait(
            lambda: self._last_status(alert, receiver) == "resolved",
            f"no receiver is notified that {alert} is over, but: {self.inbox.notifications_of(alert)}",
            seconds,
        )

    def wait_until_calm(self, alert: str, seconds: float = 20, *, severity: str = ".+") -> None:
        """Wait until nothing fires that could hold ``alert`` back, nor itself with ``severity``; raise NotInTime."""
        self._wait(lambda: not self.firing("critical"), "something critical fires still", seconds)
        self._wait(lambda: alert not in self.firing(severity), f"{alert} fires already", seconds)

    def wait_for_scrapes(self, job: str, seconds: float = 20) -> None:
        """Wait until Prometheus has read the page of ``job``."""
        self._wait(lambda: bool(self.query(f'up{{job="{job}"}} == 1')), f"{job} is not scraped", seconds)

    def _last_status(self, alert: str, receiver: str = "") -> str | None:
        statuses = [status for who, status in self.inbox.notifications_of(alert) if receiver in {"", who}]
        return statuses[-1] if statuses else None

    def _wait(self, happened: Callable[[], bool], complaint: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                raise NotInTime(f"{complaint} within {seconds:.0f} s; firing: {sorted(self.firing())}")
            time.sleep(_POLL_SECONDS)


@contextmanager
def monitoring(
    folder: Path, targets: Mapping[str, str], *, hurry: int = HURRY, scrape_seconds: float | None = None
) -> Iterator[Monitoring]:
    """Run both over ``targets`` (job to host:port), with the rules and routes of deploy/ in a hurry.

    ``scrape_seconds`` is for targets that can't answer as often as the hurry would ask.
    """
    prometheus, alertmanager = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    with Inbox() as inbox:
        watch = Monitoring(prometheus, alertmanager, inbox, folder)
        arguments = [f"--config.file={_alertmanager_config(folder, inbox, hurry)}"]
        arguments += [f"--storage.path={folder}/alertmanager"]
        arguments += [f"--web.listen-address={alertmanager}", "--cluster.listen-address="]
        with watch.client, _running("prometheus-alertmanager", arguments, alertmanager, folder):
            targets = {**targets, "alertmanager": alertmanager, "prometheus": prometheus}
            config = _prometheus_config(folder, targets, hurry, scrape_seconds)
            arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder}/prometheus"]
            arguments += [f"--web.listen-address={prometheus}"]
            # A series without points for five minutes is stale. Here the time runs faster.
            arguments += [f"--query.lookback-delta={hurried('5m', hurry)}"]
            with _running("prometheus", arguments, prometheus, folder):
                yield watch


def _running(name: str, arguments: list[str], address: str, folder: Path) -> ServiceProcess:
    def ready() -> bool:
        try:
            return httpx.get(f"http://{address}/-/ready", timeout=1, trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    return ServiceProcess(name, [debian.program(name), *arguments], {}, ready=ready, folder=folder)


def _prometheus_config(folder: Path, targets: Mapping[str, str], hurry: int, scrape_seconds: float | None) -> Path:
    """Write prometheus.yml and its rules; of the scrape jobs those in ``targets`` stay."""
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    config["scrape_configs"] = [
        {**jobs[name], "static_configs": [{"targets": [address]}]} for name, address in targets.items()
    ]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [targets["alertmanager"]]}]}]
    debian.check(
        "sh", DEPLOY / "prometheus/start.sh", "--write", folder / "rules", env={"SYNTHETIC_SCHOOLS": "included"}
    )
    for path in (folder / "rules").glob("*.yml"):
        rules = hurry_up(yaml.safe_load(path.read_text()), hurry)
        path.write_text(yaml.safe_dump(rules, sort_keys=False))
    config = hurry_up(config, hurry)
    if scrape_seconds is not None:
        config["global"]["scrape_interval"] = f"{scrape_seconds * 1000:.0f}ms"
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config, sort_keys=False))
    return written


def _alertmanager_config(folder: Path, inbox: Inbox, hurry: int) -> Path:
    """Write what start.sh makes of the real routes, with ``inbox`` as everybody's web hook."""
    config = yaml.safe_load(alertmanager_config({"ALERT_WEBHOOK_URL": f"http://{inbox.address}/"}))
    written = folder / "alertmanager.yml"
    written.write_text(yaml.safe_dump(hurry_up(config, hurry), sort_keys=False))
    return written


def alertmanager_config(settings: Mapping[str, str]) -> str:
    """Return what deploy/alertmanager/start.sh makes of ``settings``; raise AssertionError when it refuses them."""
    return debian.check(
        "sh",
        DEPLOY / "alertmanager/start.sh",
        "--print",
        env=settings,
    )
