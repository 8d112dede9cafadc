"""Call Sentry's HTTP API with JSON, pages and bounded retries."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

Json = Any

_SECONDS: Final = 10.0
_TRIES: Final = 4
_LONGEST_WAIT: Final = 10.0
_PAGES: Final = 20
_BUSY: Final = frozenset({429, 502, 503, 504})
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class SentryError(Exception):
    """A call failed; the message names it and never contains the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentrySettings:
    """The project, its organization and the token."""

    url: str
    token: str = field(repr=False)
    organization: str
    project: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> "SentrySettings":
        """Read SENTRY_URL, SENTRY_AUTH_TOKEN, SENTRY_ORG and SENTRY_PROJECT; raise SentryError."""
        names = ("SENTRY_AUTH_TOKEN", "SENTRY_ORG", "SENTRY_PROJECT")
        if missing := [name for name in names if not environ.get(name)]:
            raise SentryError(f"{', '.join(missing)}: not set")
        url = (environ.get("SENTRY_URL") or "https://sentry.io").rstrip("/")
        parts = urlsplit(url)
        # Over plain HTTP everyone on the way can read the token.
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise SentryError("SENTRY_URL: must begin with https://")
        token, organization, project = (environ[name] for name in names)
        return cls(url=url, token=token, organization=organization, project=project)


class SentryApi:
    """Calls for one organization and project. Methods take paths in parts and quote them."""

    def __init__(self, settings: SentrySettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.organization = settings.organization
        self.project = settings.project
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=f"{settings.url}/api/0/",
            headers={"Authorization": f"Bearer {settings.token}"},
            timeout=_SECONDS,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def of_organization(self, *parts: str) -> str:
        """Return a path below the organization."""
        return _path("organizations", self.organization, *parts)

    def of_project(self, *parts: str) -> str:
        """Return a path below the project."""
        return _path("projects", self.organization, self.project, *parts)

    def get(self, path: str) -> Json:
        """Return one object."""
        return self._call("GET", path).json()

    def post(self, path: str, body: Json) -> Json:
        """Create an object and return it."""
        return self._call("POST", path, body).json()

    def put(self, path: str, body: Json) -> Json:
        """Change an object and return it."""
        return self._call("PUT", path, body).json()

    def each(self, path: str, **query: str) -> Iterator[Json]:
        """Yield the objects of a list, page after page."""
        cursor: dict[str, str] = {}
        for _ in range(_PAGES):
            answer = self._call("GET", path, query={**query, **cursor})
            yield from answer.json()
            following = answer.links.get("next", {})
            if following.get("results") != "true":
                return
            cursor = {"cursor": following["cursor"]}
        raise SentryError(f"{path}: more than {_PAGES} pages")

    def _call(
        self, method: str, path: str, body: Json = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        for left in range(_TRIES - 1, -1, -1):
            try:
                answer = self._client.request(method, path, json=body, params=query)
            except httpx.TransportError as error:
                # A POST may have created its object before the response was lost; the next run finds it by name.
                if left and method != "POST":
                    self._sleep(1.0)
                    continue
                raise SentryError(f"{method} {path}: {type(error).__name__}") from error
            if answer.status_code in _BUSY and left:
                self._sleep(_wait(answer))
                continue
            if not answer.is_success:
                raise SentryError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return answer
        raise AssertionError("the last try returns or raises")


def _wait(answer: httpx.Response) -> float:
    delay = answer.headers.get("Retry-After", "1")
    return min(float(delay) if delay.isdecimal() else 1.0, _LONGEST_WAIT)


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts) + "/"
