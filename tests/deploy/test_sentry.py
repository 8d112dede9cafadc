"""Test the commands that apply Sentry's files, over a real socket."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.sentry.__main__ import run
from deploy.sentry.apply import covers, load
from deploy.sentry.client import SentryApi, SentryError, SentrySettings
from deploy.sentry.releases import commits, register
from tests.deploy.sentry_stand_in import TOKEN, SentryStandIn

DASHBOARDS = "organizations/kartis/dashboards"
ISSUE_ALERTS = "projects/kartis/ticketcap/rules"
METRIC_ALERTS = "organizations/kartis/alert-rules"
RELEASES = "organizations/kartis/releases"


@pytest.fixture
def sentry() -> Iterator[SentryStandIn]:
    """Yield a stand-in that runs."""
    with SentryStandIn() as stand_in:
        yield stand_in


def call(sentry: SentryStandIn, *arguments: str, **environ: str) -> list[str]:
    """Run the command against the stand-in and return what it said."""
    said: list[str] = []
    run(arguments, {**sentry.environment, **environ}, said.append)
    return said


def test_the_guides_five_widgets_are_there() -> None:
    """By name, kind and query."""
    widgets = {widget["title"]: widget for widget in load("dashboard")["widgets"]}
    assert {title: widget["displayType"] for title, widget in widgets.items()} == {
        "Error Frequency": "big_number",
        "Error Rate by Endpoint": "table",
        "Slowest Transactions": "table",
        "Payment Errors": "line",
        "User Impact": "big_number",
    }
    queries = {title: widget["queries"][0] for title, widget in widgets.items()}
    assert queries["Error Rate by Endpoint"]["columns"] == ["transaction"]
    assert queries["Slowest Transactions"]["orderby"] == "-p95(transaction.duration)"
    assert queries["User Impact"]["aggregates"] == ["count_unique(user)"]
    for query in queries.values():
        assert query["fields"] == [*query["columns"], *query["aggregates"]]


def test_the_guides_alerts_are_there() -> None:
    """More than ten errors in an hour; the four critical ones."""
    condition = load("issue-alerts")[0]["conditions"][0]
    assert (condition["value"], condition["interval"]) == (10, "1h")
    critical = {
        rule["name"].split(":")[0]: (rule["timeWindow"], rule["triggers"][0]["alertThreshold"])
        for rule in load("metric-alerts")
    }
    assert critical == {
        "Payment failures": (10, 5),
        "Database connection errors": (1, 0),
        "Tenant isolation failures": (1, 0),
        "Capacity races": (1, 0),
    }


def test_apply_makes_everything_and_a_second_time_nothing(sentry: SentryStandIn) -> None:
    """The team that owns the project is notified. A second run creates nothing."""
    said = call(sentry, "apply")
    assert [len(sentry.lists[path]) for path in (DASHBOARDS, ISSUE_ALERTS, METRIC_ALERTS)] == [1, 2, 4]
    assert sentry.project["dataScrubber"] is True
    assert sentry.lists[METRIC_ALERTS][0]["owner"] == "team:77"
    assert sentry.lists[METRIC_ALERTS][0]["projects"] == ["ticketcap"]
    assert sentry.lists[ISSUE_ALERTS][0]["actions"][0]["targetIdentifier"] == "77"
    assert len(said) == 8

    sentry.requests.clear()
    assert all(line.endswith(": unchanged") for line in call(sentry, "apply"))
    assert sentry.writes == []


def test_apply_puts_right_what_somebody_changed_and_leaves_other_things_alone(sentry: SentryStandIn) -> None:
    """A widget's query, a threshold, a setting; another dashboard and another rule stay."""
    call(sentry, "apply")
    sentry.lists[DASHBOARDS].append({"id": "9", "title": "Somebody's own"})
    sentry.lists[DASHBOARDS][0]["widgets"][0]["queries"][0]["conditions"] = ""
    sentry.lists[METRIC_ALERTS][2]["timeWindow"] = 60
    sentry.project["scrubIPAddresses"] = False
    sentry.requests.clear()
    said = call(sentry, "apply")
    assert [line for line in said if not line.endswith("unchanged")] == [
        "settings of ticketcap: changed",
        "dashboard TicketCap: changed",
        f"metric alert {sentry.lists[METRIC_ALERTS][2]['name']}: changed",
    ]
    assert [request.split()[0] for request in sentry.writes] == ["PUT"] * 3
    assert len(sentry.lists[DASHBOARDS]) == 2
    sentry.requests.clear()
    call(sentry, "apply")
    assert sentry.writes == []


def test_a_dry_run_changes_nothing(sentry: SentryStandIn) -> None:
    """It says what it would do."""
    said = call(sentry, "apply", "--dry-run")
    assert "dashboard TicketCap: would create" in said
    assert sentry.writes == []


def test_a_release_is_told_with_its_new_commits_and_its_deploy_once(sentry: SentryStandIn, tmp_path: Path) -> None:
    """The commits since the release before; a repeat adds neither commits nor a deploy; authors are not told."""

    def commit(subject: str) -> str:
        identity = ["-c", "user.name=Dana", "-c", "user.email=dana@example.org"]
        git("commit", "--quiet", "--allow-empty", "-m", subject, options=identity)
        return git("rev-parse", "HEAD")

    def git(*arguments: str, options: list[str] | None = None) -> str:
        command = ["git", *(options or []), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "--quiet")
    first, second, third = commit("one"), commit("two"), commit("three")
    assert [entry.subject for entry in commits([first], tmp_path)] == ["one"]

    api = SentryApi(SentrySettings.read(sentry.environment))
    said: list[str] = []
    for sha in (first, third, third):
        register(api, f"ticketcap@0.1.0+{sha}", "production", said.append, root=tmp_path)
    register(api, f"ticketcap@0.1.0+{third}", "staging", said.append, root=tmp_path)
    api.close()

    release_commits = {release["version"]: release["commits"] for release in sentry.lists[RELEASES]}
    assert [entry["id"] for entry in release_commits[f"ticketcap@0.1.0+{first}"]] == [first]
    assert [entry["id"] for entry in release_commits[f"ticketcap@0.1.0+{third}"]] == [third, second]
    assert "dana" not in str(release_commits).lower()
    deploys = sentry.lists[f"{RELEASES}/ticketcap@0.1.0+{third}/deploys"]
    assert sorted(deploy["environment"] for deploy in deploys) == ["production", "staging"]
    assert "deploy to production: already registered" in said


def test_a_release_without_git_is_told_as_well(sentry: SentryStandIn) -> None:
    """A build that knows no sha has no commits to tell."""
    said = call(sentry, "release", SENTRY_RELEASE="ticketcap@0.1.0+dev")
    assert said == ["release ticketcap@0.1.0+dev: 0 commits", "deploy to production: registered"]


def test_all_but_the_newest_ten_releases_are_archived(sentry: SentryStandIn) -> None:
    """Oldest releases only, once; releases of other projects stay open."""
    sentry.lists[RELEASES] = [
        {"version": "ticketcap@0.0.1+shared", "projects": [{"slug": "ticketcap"}, {"slug": "web"}]}
    ]
    for number in range(12):
        call(sentry, "release", "--release", f"ticketcap@0.1.{number}+dev")
    archived = {item["version"] for item in sentry.lists[RELEASES] if item.get("status") == "archived"}
    assert archived == {"ticketcap@0.1.0+dev", "ticketcap@0.1.1+dev"}
    sentry.requests.clear()
    call(sentry, "release", "--release", "ticketcap@0.1.11+dev")
    assert not [request for request in sentry.requests if request.startswith("PUT")]


def test_a_busy_sentry_is_asked_again_and_not_for_ever(sentry: SentryStandIn) -> None:
    """The client waits for Retry-After, a bounded number of times."""
    waits: list[float] = []
    api = SentryApi(SentrySettings.read(sentry.environment), sleep=waits.append)
    sentry.busy = 2
    assert api.get(api.of_project())["slug"] == "ticketcap"
    assert waits == [3.0, 3.0]
    sentry.busy = 100
    with pytest.raises(SentryError, match="429"):
        api.get(api.of_project())
    assert len(sentry.requests) == 3 + 4
    api.close()


def test_a_lost_answer_is_asked_for_again_unless_it_may_have_made_something(sentry: SentryStandIn) -> None:
    """GET and PUT are repeated, POST is not."""
    api = SentryApi(SentrySettings.read(sentry.environment), sleep=lambda _: None)
    sentry.closing = 2
    assert api.get(api.of_project())["slug"] == "ticketcap"
    sentry.closing = 1
    with pytest.raises(SentryError, match=r"POST .*RemoteProtocolError"):
        api.post(api.of_organization("releases"), {})
    api.close()


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"SENTRY_AUTH_TOKEN": ""}, "SENTRY_AUTH_TOKEN: not set"),
        ({"SENTRY_ORG": "", "SENTRY_PROJECT": ""}, "SENTRY_ORG, SENTRY_PROJECT: not set"),
        ({"SENTRY_URL": "http://sentry.example.org"}, "SENTRY_URL: must begin with https://"),
        ({"SENTRY_AUTH_TOKEN": "wrong"}, "401"),
    ],
)
def test_a_wrong_setting_is_named_and_no_token_is_shown(
    sentry: SentryStandIn, environ: dict[str, str], complaint: str
) -> None:
    """Before anything is sent, where that is possible."""
    with pytest.raises(SentryError, match=complaint) as error:
        call(sentry, "apply", **environ)
    assert TOKEN not in str(error.value)
    assert TOKEN not in repr(SentrySettings.read(sentry.environment))


def test_what_sentry_adds_is_no_difference() -> None:
    """Ids and defaults; another order, a missing part and one too many are."""
    assert covers({"id": 1, "a": [{"b": 2, "c": 3}]}, {"a": [{"b": 2}]})
    assert not covers({"a": [1, 2]}, {"a": [2, 1]})
    assert not covers({"a": [1, 2]}, {"a": [1]})
    assert not covers(None, {"a": 1})
