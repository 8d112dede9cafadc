"""Apply the files to Sentry: create and change objects that differ.

A repeat changes nothing, so that it can run at any time.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from string import Template
from typing import Any, Final

from deploy.sentry.client import Json, SentryApi, SentryError

FOLDER: Final = Path(__file__).parent


def load(name: str, **values: str) -> Json:
    """Return the contents of one of the files, with ``values`` in the place of $TEAM, $OWNER and $PROJECT."""
    return json.loads(Template((FOLDER / f"{name}.json").read_text()).safe_substitute(values))


def apply(api: SentryApi, say: Callable[[str], None], *, dry_run: bool = False) -> None:
    """Create or change objects that differ, and report each one."""
    project = api.get(api.of_project())
    team = _team(project)
    values = {"TEAM": team, "OWNER": f"team:{team}", "PROJECT": api.project}
    changes = _Changes(api, say, dry_run=dry_run)
    changes.settings(project, load("project"))
    changes.named("dashboard", "title", api.of_organization("dashboards"), [load("dashboard", **values)], whole=True)
    changes.named("issue alert", "name", api.of_project("rules"), load("issue-alerts", **values))
    changes.named("metric alert", "name", api.of_organization("alert-rules"), load("metric-alerts", **values))


class _Changes:
    def __init__(self, api: SentryApi, say: Callable[[str], None], *, dry_run: bool) -> None:
        self._api = api
        self._say = say
        self._dry_run = dry_run

    def settings(self, actual: Json, target: Json) -> None:
        """Change the project's settings that differ."""
        differing = {name: value for name, value in target.items() if not covers(actual.get(name), value)}
        self._report("settings of", self._api.project, "change" if differing else None)
        if differing and not self._dry_run:
            self._api.put(self._api.of_project(), differing)

    def named(self, kind: str, key: str, path: str, targets: Iterable[Json], *, whole: bool = False) -> None:
        """Create or change objects by name; ``whole`` reads each one, for lists that show extracts."""
        existing = {item[key]: item for item in self._api.each(path)}
        for item in targets:
            actual = existing.get(item[key])
            if actual is None:
                self._report(kind, item[key], "create")
                if not self._dry_run:
                    self._api.post(path, item)
                continue
            one = f"{path}{actual['id']}/"
            same = covers(self._api.get(one) if whole else actual, item)
            self._report(kind, item[key], None if same else "change")
            if not same and not self._dry_run:
                self._api.put(one, item)

    def _report(self, kind: str, name: str, verb: str | None) -> None:
        outcome = "unchanged" if verb is None else f"would {verb}" if self._dry_run else f"{verb}d"
        self._say(f"{kind} {name}: {outcome}")


def covers(actual: Any, target: Any) -> bool:
    """Return whether ``actual`` contains all of ``target``; Sentry adds ids, dates and defaults."""
    if isinstance(target, dict):
        return isinstance(actual, dict) and all(covers(actual.get(name), value) for name, value in target.items())
    if isinstance(target, list):
        same_length = isinstance(actual, list) and len(actual) == len(target)
        return same_length and all(covers(*pair) for pair in zip(actual, target, strict=True))
    return bool(actual == target)


def _team(project: Json) -> str:
    """Return the id of the project's first team, which receives its alerts."""
    teams = project.get("teams") or []
    if not teams:
        raise SentryError(f"project {project.get('slug')} has no team to alert: add one in Sentry")
    return str(teams[0]["id"])
