"""Check that each alert has a runbook and each command exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from ticketcap_local.cli import app as ticketcap
from ticketcap_local.drills.catalogue import drills

from deploy.grafana.metrics import check

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/runbooks"
OTHERS = {"README.md", "incident-process.md", "troubleshooting.md", "weekly-review.md"}
DOCUMENTS = sorted(FOLDER.glob("*.md"))
RUNBOOKS = [path for path in DOCUMENTS if path.name not in OTHERS]
PARTS = ["Since when", "Is it real", "Stop the harm", "Fix the cause", "Prove it is over", "Practise"]
SERVICES = {"gateway", "registration", "payment"}
SEARCHED_BY = {"service", "operation", "tags", "minDuration", "lookback", "limit"}
DRILLS = (ROOT / "deploy/prometheus/drills.txt").read_text().split()


def kebab(alert: str) -> str:
    """Return HighErrorRate as high-error-rate."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()


def alerts() -> dict[str, str]:
    """Return each alert's runbook."""
    return {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield each line of the fenced blocks of ``language``."""
    for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL):
        yield from filter(None, (line.strip() for line in block.splitlines()))


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    """By one rule: the alert's name in kebab case."""
    assert {path.relative_to(ROOT).as_posix() for path in RUNBOOKS} == set(alerts().values())
    assert {alert: f"docs/runbooks/{kebab(alert)}.md" for alert in alerts()} == alerts()


def test_every_alert_has_its_drill() -> None:
    """In the list, and in the command, which names the alert and its runbook as the rule does."""
    assert sorted(map(kebab, alerts())) == DRILLS
    assert {drill.alert: drill.runbook for drill in drills().values()} == alerts()
    assert list(drills()) == DRILLS


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_all_its_parts(path: Path) -> None:
    """In the same order everywhere; with queries, a search, and its own drill."""
    text = path.read_text()
    alert = text.splitlines()[0].removeprefix("# ")
    assert kebab(alert) == path.stem
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    assert f'max(time() - ALERTS_FOR_STATE{{alertname="{alert}"}})' in blocks(path, "promql")
    over = text[text.index("## Prove it is over") :]
    assert "```promql" in over
    assert list(blocks(path, "jaeger"))
    assert f"`ticketcap drill {path.stem}`" in text


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_query_is_promql_over_known_metrics(path: Path) -> None:
    """Every block, and every inline text that looks like a query."""
    inline = re.findall(r"`([a-z_]+ ?(?:by \([a-z_, ]+\) )?\(.+?\))`", path.read_text())
    for query in [*blocks(path, "promql"), *inline]:
        assert check(query)


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_every_search_is_one_that_jaeger_understands(path: Path) -> None:
    """A service of TicketCap, parameters that there are, tags as JSON, durations with a unit."""
    for search in blocks(path, "jaeger"):
        parts = urlsplit(search)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert parts.path == "/search"
        assert query["service"] in SERVICES
        assert query.keys() <= SEARCHED_BY
        assert all(isinstance(value, str) for value in json.loads(query.get("tags", "{}")).values())
        assert re.fullmatch(r"\d+(ms|s)", query.get("minDuration", "1s"))


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "docs/monitoring.md"], ids=lambda path: path.stem)
def test_every_command_that_is_named_exists(path: Path) -> None:
    """`make …`, `ticketcap …`, `python -m deploy.…`, files and links."""
    text = path.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    commands = {
        command.name or command.callback.__name__ for command in ticketcap.registered_commands if command.callback
    } | {str(group.name) for group in ticketcap.registered_groups}
    assert set(re.findall(r"`ticketcap ([a-z]+)", text)) <= commands
    assert set(re.findall(r"`ticketcap drill ([a-z][a-z-]+)`", text)) <= drills().keys()
    for module in re.findall(r"`python -m ([a-z.]+)", text):
        assert (ROOT / module.replace(".", "/") / "__main__.py").exists(), module
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
    for name in re.findall(r"`(deploy/[\w./-]+)", text):
        assert (ROOT / name).exists(), name


def test_the_list_of_runbooks_names_all() -> None:
    """With the severities that the rules have."""
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)) == alerts().keys()
