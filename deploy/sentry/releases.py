"""Register a release at Sentry and archive old ones."""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from deploy.sentry.client import SentryApi

ROOT: Final = Path(__file__).resolve().parents[2]
COMMITS: Final = 100
"""The newest commits that a release names, at most."""
OPEN_RELEASES: Final = 10
"""The newest releases that stay open; older ones are archived."""

_OLDER: Final = 10
_PREFIX: Final = "ticketcap@"
_SHA: Final = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit without its author."""

    sha: str
    when: str
    subject: str


def sha_of(release: str) -> str:
    """Return the sha in ``ticketcap@<version>+<sha>``; empty for a build without git."""
    sha = release.partition("+")[2]
    return sha if _SHA.fullmatch(sha) else ""


def commits(revisions: Sequence[str], root: Path = ROOT) -> list[Commit]:
    """Return the newest commits of a range, newest first; none for a range that git does not know."""
    command = ["git", "log", f"--max-count={COMMITS}", "--format=%H%x00%cI%x00%s", *revisions, "--"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    return [Commit(*line.split("\0", 2)) for line in done.stdout.splitlines()] if done.returncode == 0 else []


def register(api: SentryApi, release: str, environment: str, say: Callable[[str], None], *, root: Path = ROOT) -> None:
    """Register release, commits and deploy. A repeat changes nothing."""
    new = _new_commits(api, release, root)
    api.post(
        api.of_organization("releases"),
        {
            "version": release,
            "projects": [api.project],
            "commits": [{"id": commit.sha, "message": commit.subject, "timestamp": commit.when} for commit in new],
        },
    )
    say(f"release {release}: {len(new)} commits")
    deploys = api.of_organization("releases", release, "deploys")
    if any(deploy["environment"] == environment for deploy in api.each(deploys)):
        say(f"deploy to {environment}: already registered")
        return
    api.post(deploys, {"environment": environment, "name": sha_of(release) or release})
    say(f"deploy to {environment}: registered")


def _new_commits(api: SentryApi, release: str, root: Path) -> list[Commit]:
    """Return the commits since the newest earlier release that git knows; else the newest commits."""
    head = sha_of(release)
    if not head:
        return []
    newest = islice(api.each(api.of_organization("releases"), per_page=str(_OLDER)), _OLDER)
    before = [sha for other in newest if other["version"] != release and (sha := sha_of(other["version"]))]
    since = (new for sha in before if (new := commits([head, f"^{sha}"], root)))
    return next(since, None) or commits([head], root)


def archive_old(api: SentryApi, say: Callable[[str], None]) -> None:
    """Archive every open release but the newest ten; a repeat changes nothing. Raises SentryError.

    Sentry keeps an archived release with its issues and leaves it out of its lists. A release that another project
    of the organization shares stays open.
    """
    query = {"status": "open", "sort": "date", "query": _PREFIX}
    own = (
        release["version"]
        for release in api.each(api.of_organization("releases"), **query)
        if [project["slug"] for project in release["projects"]] == [api.project]
    )
    # The whole list first: archiving moves the pages of the list that is read.
    for version in list(own)[OPEN_RELEASES:]:
        api.put(api.of_organization("releases", version), {"status": "archived"})
        say(f"release {version}: archived")
