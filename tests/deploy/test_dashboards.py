"""Check that dashboards match their code and query existing metrics."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import FILES, FOLDER, stale
from deploy.grafana.metrics import UnknownMetric, check
from deploy.grafana.panels import stats, without_variables

ROOT = Path(__file__).resolve().parents[2]
BOARDS: dict[str, dict[str, Any]] = {Path(name).stem: json.loads(text) for name, text in FILES.items()}
GUIDE = {
    "Registration Overview": "timeseries",
    "Payment Success Rate": "gauge",
    "API Latency (p50, p95, p99)": "timeseries",
    "Error Rate": "timeseries",
    "Capacity Utilization": "barchart",
    "Database Performance": "heatmap",
}


def queries() -> Iterator[tuple[str, str]]:
    """Yield panel and expression of every query."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{board['title']}: {panel['title']}", target["expr"]


def test_the_files_are_up_to_date() -> None:
    """The committed files equal the files that the code writes."""
    assert stale() == [], "run `make dashboards`"


def test_the_files_are_the_same_to_the_byte_whoever_writes_them() -> None:
    """Another process with another hash seed, and a program that reads and writes JSON, change nothing."""
    code = "from deploy.grafana.__main__ import FILES; print(''.join(FILES.values()), end='')"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
        assert done.stdout.decode() == "".join(FILES.values())
    for text in FILES.values():
        assert text == json.dumps(json.loads(text), sort_keys=True, indent=2, ensure_ascii=False) + "\n"
        # 1e-09 in Python is 1e-9 in Grafana's own JSON.
        assert not re.search(r": -?[\d.]+e[+-]?\d+", text, re.IGNORECASE)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_dashboard_can_be_found_linked_and_read(board: dict[str, Any]) -> None:
    """A name of its own, the choice of a data source, panels with an explanation that do not lie on each other."""
    assert board["uid"].startswith("ticketcap-")
    assert [variable["type"] for variable in board["templating"]["list"]] == ["datasource"]
    assert all(check(annotation["expr"]) for annotation in board["annotations"]["list"])
    assert all(panel["description"] and panel["targets"] for panel in board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_guides_six_panels_are_there() -> None:
    """By name and kind; the target of 95 % and the stacking are those of the guide."""
    panels = {panel["title"]: panel for panel in BOARDS["ticketcap-production"]["panels"]}
    assert BOARDS["ticketcap-production"]["title"] == "TicketCap Production Monitoring"
    assert {title: panels[title]["type"] for title in GUIDE} == GUIDE
    assert panels["Registration Overview"]["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    steps = panels["Payment Success Rate"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["value"], step["color"]) for step in steps] == [(None, "red"), (90, "orange"), (95, "green")]
    assert len(panels["API Latency (p50, p95, p99)"]["targets"]) == 3


@pytest.mark.parametrize(("panel", "expression"), list(queries()), ids=[panel for panel, _ in queries()])
def test_every_query_is_promql_over_known_metrics(panel: str, expression: str) -> None:
    """Parsed; every name and label is on the list."""
    assert check(without_variables(expression)), panel


def test_percentiles_show_their_traces() -> None:
    """A slow point on a graph opens its trace."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            percentiles = [target for target in panel["targets"] if target.get("legendFormat", "").startswith("p99")]
            assert all(target["exemplar"] for target in percentiles), panel["title"]


@pytest.mark.parametrize(
    "expression",
    ["sum(registration_creatd_total)", 'payment_failed_total{cause="x"}', "sum by (route) (payment_created_total)"],
)
def test_what_nobody_makes_is_refused(expression: str) -> None:
    """A misspelled metric, a label it does not have, a grouping by one: the board can't be built."""
    with pytest.raises(UnknownMetric):
        stats("", "", {"": expression}, [])


def test_what_is_no_promql_is_refused() -> None:
    """Before Grafana would show an empty panel."""
    with pytest.raises(ValueError, match="unclosed"):
        stats("", "", {"": "sum(rate(payment_created_total[5m])"}, [])


def test_a_trace_leads_to_figures_that_somebody_makes() -> None:
    """The queries that Grafana runs from a span, and the data sources that are linked."""
    provisioned = yaml.safe_load((FOLDER.parent / "provisioning/datasources/ticketcap.yaml").read_text())["datasources"]
    sources = {source["uid"]: source["jsonData"] for source in provisioned}
    for query in sources["jaeger"]["tracesToMetrics"]["queries"]:
        assert check(query["query"].replace("$$__tags", ""))
    assert sources["prometheus"]["exemplarTraceIdDestinations"][0]["datasourceUid"] in sources
    assert sources["jaeger"]["tracesToLogsV2"]["datasourceUid"] in sources
    assert sources["jaeger"]["tracesToMetrics"]["datasourceUid"] in sources
    assert sources["loki"]["derivedFields"][0]["datasourceUid"] in sources


def test_grafana_is_given_the_folder() -> None:
    """Nothing but dashboards lies in it."""
    assert {path.suffix for path in FOLDER.iterdir() if not path.name.startswith(".")} == {".json"}
