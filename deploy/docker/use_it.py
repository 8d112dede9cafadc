"""Register and pay through the compose stack, and check its telemetry."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import yaml

URL = "http://127.0.0.1:8080"
PROMETHEUS = "http://127.0.0.1:9090/api/v1"
ALERTMANAGER = "http://127.0.0.1:9093/api/v2"
EVENTS = "/api/v1/schools/compose/events"
SIMULATOR = "http://127.0.0.1:8090/simulator"
JAEGER = "http://127.0.0.1:16686/api"
PAGES = 7
"""The pages of prometheus.yml: three services, the collector's two, Alertmanager's, its own."""


def secret() -> str:
    """Return the services' secret in docker-compose.yml."""
    line: str = yaml.safe_load(Path("docker-compose.yml").read_text())["x-environment"]["JWT_SECRET"]
    return os.environ.get("JWT_SECRET") or line.removeprefix("${JWT_SECRET:-").removesuffix("}")


def bearer(role: str, school: str | None = None) -> dict[str, str]:
    claims: dict[str, Any] = {"sub": "exercise", "role": role, "iss": "ticketcap", "exp": time.time() + 600}
    if school:
        claims["school"] = school
    return {"Authorization": f"Bearer {jwt.encode(claims, secret(), algorithm='HS256')}"}


def expect(step: str, response: httpx.Response, status: int) -> dict[str, Any]:
    """Print the status and return the body; exit for another status."""
    print(f"{step}: {response.status_code}")
    if response.status_code != status:
        sys.exit(f"expected {status}: {response.text}")
    body: dict[str, Any] = response.json()
    return body


def wait_for(step: str, happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until ``happened`` is true; exit after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            sys.exit(f"{step}: not within {seconds:.0f} s")
        time.sleep(1)
    print(step)


def check_monitoring(client: httpx.Client) -> None:
    """Check that rules are healthy, that Prometheus found Alertmanager, and that it has its receivers."""

    def alertmanagers() -> list[Any]:
        return list(client.get(f"{PROMETHEUS}/alertmanagers").json()["data"]["activeAlertmanagers"])

    groups = expect("rules", client.get(f"{PROMETHEUS}/rules"), 200)["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    if not rules or any(rule["health"] == "err" for rule in rules):
        sys.exit(f"wrong rules: {rules}")
    # Prometheus searches every five seconds.
    wait_for("Alertmanager found by Prometheus", lambda: bool(alertmanagers()), 15)
    status = expect("receivers", client.get(f"{ALERTMANAGER}/status"), 200)
    if "name: page" not in status["config"]["original"]:
        sys.exit(f"wrong receivers: {status}")


def check_telemetry(client: httpx.Client, trace_id: str) -> None:
    """Check that Jaeger shows the payment in all services and that Prometheus scraped every page."""

    def services() -> set[str]:
        traces = client.get(f"{JAEGER}/traces/{trace_id}").json()["data"] or [{"processes": {}}]
        return {process["serviceName"] for process in traces[0]["processes"].values()}

    def series(query: str) -> list[Any]:
        return list(client.get(f"{PROMETHEUS}/query", params={"query": query}).json()["data"]["result"])

    wait_for("a trace through all services in Jaeger", lambda: services() == {"gateway", "registration", "payment"})
    wait_for("all pages read by Prometheus", lambda: not series("up == 0") and len(series("up == 1")) == PAGES)
    wait_for("span metrics", lambda: bool(series("traces_span_metrics_calls_total")))


def pay(client: httpx.Client) -> str:
    """Register for a paid event, pay through the simulator, come back; return the trace id of the last request."""
    event = {"slug": "trip", "title": "Trip", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1, "price_agorot": 4990}
    expect("open a paid event", client.post(EVENTS, json=event, headers=bearer("OWNER", "compose")), 201)
    person = {"name": "דנה כהן", "phone": "050-123-4567", "spots": 1}
    hold = expect("register", client.post(f"{EVENTS}/trip/registrations", json=person), 201)
    token = {"X-Manage-Token": hold["manage_token"]}
    payment = expect("pay", client.post(f"/api/v1/registrations/{hold['id']}/payments", headers=token), 201)
    page = {"page_url": payment["redirect_url"]}
    customer = expect("the simulator's page", client.post(f"{SIMULATOR}/customer", json=page), 200)
    result = client.get(customer["redirects"][0], headers={"Accept": "application/json"}, timeout=20)
    if expect("return", result, 200)["state"] != "CAPTURED":
        sys.exit(f"not captured: {result.text}")
    return result.headers["traceresponse"].split("-")[1]


def register(client: httpx.Client) -> None:
    """Register two people for an event with one seat: one is confirmed, one joins the waitlist."""
    school = {"slug": "compose", "name": "Compose School"}
    expect("open a school", client.post("/api/v1/schools", json=school, headers=bearer("SUPER_ADMIN")), 201)
    event = {"slug": "match", "title": "Match", "starts_at": "2030-01-01T10:00:00Z", "capacity": 1}
    expect("open an event", client.post(EVENTS, json=event, headers=bearer("OWNER", "compose")), 201)
    people = [{"name": "דנה כהן", "phone": f"050-123-456{number}", "spots": 1} for number in range(2)]
    responses = [client.post(f"{EVENTS}/match/registrations", json=person) for person in people]
    statuses = [expect("register", response, 201)["status"] for response in responses]
    if statuses != ["CONFIRMED", "WAITLISTED"]:
        sys.exit(f"wrong statuses: {statuses}")
    seats = expect("read the event", client.get(f"{EVENTS}/match"), 200)
    if (seats["confirmed"], seats["waitlisted"]) != (1, 1):
        sys.exit(f"wrong seats: {seats}")


def main() -> None:
    """Run every step; exit with 1 at the first that fails."""
    with httpx.Client(base_url=URL, timeout=10, trust_env=False) as client:
        check_monitoring(client)
        register(client)
        trace_id = pay(client)
        expect("health", client.get("/api/health"), 200)
        check_telemetry(client, trace_id)


if __name__ == "__main__":
    main()
