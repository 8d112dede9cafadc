"""Bring Sentry to what the files say. What is already so is left alone, so that it can be run again at any time."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from deploy.sentry.client import Json, SentryApi, SentryError

FOLDER: Final = Path(__file__).parent

_TEAM: Final = "$TEAM"
_OWNER: Final = "$OWNER"
_PROJECT: Final = "$PROJECT"


def load(name: str) -> Json:
    """Return the contents of one of the files."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def apply(api: SentryApi, say: Callable[[str], None], *, dry_run: bool = False) -> int:
    """Create or change what differs, tell it line by line, and return how many things differed."""
    project = api.get(api.of_project())
    team = _team(project)
    names = {_TEAM: team, _OWNER: f"team:{team}", _PROJECT: api.project}
    work = _Work(api, say, dry_run=dry_run)
    work.settings(project, load("project"))
    work.named("dashboard", "title", api.of_organization("dashboards"), [_filled(load("dashboard"), names)], whole=True)
    work.named("issue alert", "name", api.of_project("rules"), _filled(load("issue-alerts"), names))
    work.named("metric alert", "name", api.of_organization("alert-rules"), _filled(load("metric-alerts"), names))
    return work.different


class _Work:
    def __init__(self, api: SentryApi, say: Callable[[str], None], *, dry_run: bool) -> None:
        self.different = 0
        self._api = api
        self._say = say
        self._dry_run = dry_run

    def settings(self, actual: Json, wanted: Json) -> None:
        """Change those settings of the project that differ."""
        differing = {name: value for name, value in wanted.items() if not covers(actual.get(name), value)}
        self._tell("settings of", self._api.project, "change" if differing else None)
        if differing and not self._dry_run:
            self._api.put(self._api.of_project(), differing)

    def named(self, kind: str, key: str, path: str, wanted: Iterable[Json], *, whole: bool = False) -> None:
        """Create or change objects that are found by their name; ``whole``: the list shows only an extract of each."""
        there = {item[key]: item for item in self._api.each(path)}
        for item in wanted:
            actual = there.get(item[key])
            if actual is None:
                self._tell(kind, item[key], "create")
                if not self._dry_run:
                    self._api.post(path, item)
                continue
            one = f"{path}{actual['id']}/"
            same = covers(self._api.get(one) if whole else actual, item)
            self._tell(kind, item[key], None if same else "change")
            if not same and not self._dry_run:
                self._api.put(one, item)

    def _tell(self, kind: str, name: str, verb: str | None) -> None:
        self.different += verb is not None
        done = "unchanged" if verb is None else f"would {verb}" if self._dry_run else f"{verb}d"
        self._say(f"{kind} {name}: {done}")


def covers(actual: Any, wanted: Any) -> bool:
    """Say whether ``actual`` holds all of ``wanted``; Sentry adds ids, dates and defaults to what it is given."""
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(covers(actual.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(covers(*pair) for pair in zip(actual, wanted, strict=True))
        )
    return bool(actual == wanted)


def _team(project: Json) -> str:
    """Return the id of the team that looks after the project: it is told."""
    teams = project.get("teams") or []
    if not teams:
        raise SentryError(f"project {project.get('slug')} has no team that could be told of alerts")
    return str(teams[0]["id"])


def _filled(tree: Any, names: dict[str, str]) -> Any:
    """Return ``tree`` with its placeholders replaced."""
    if isinstance(tree, dict):
        return {key: _filled(value, names) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(item, names) for item in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree
