"""Check settings against the rules of production.

Each service has one list of rules. A report names every broken rule by its variable, never with the value.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

_MIN_DIFFERENT_CHARACTERS: Final = 8
PUBLISHED: Final = frozenset(
    {
        # docker-compose.yml
        "local-development",
        "local-development-secret-of-docker-compose",
        "local-development-manage-secret-of-compose",
        # The vendor's public test terminal
        "7110eda4d09e062aa5e4a390b0a572ac0d2c0220",
        "yaad",
        # READMEs and tests
        "at-least-32-characters-of-something",
        "a secret for tests only, never for anything else",
        "a secret of the tests, long enough for HS256",
        "a secret of the bench, long enough for anybody",
        "the secret of the end-to-end tests, long enough",
        "the secret of the money tests, long enough",
    }
)
"""Secrets that this repository publishes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A demand of production on ``variable``: ``demanded`` says it, and ``holds`` checks the whole settings."""

    variable: str
    demanded: str
    holds: Callable[[Any], bool]


def violations(settings: object, rules: Sequence[Rule]) -> list[str]:
    """Return one line for each of ``rules`` that ``settings`` break."""
    return [f"{rule.variable}: in production it {rule.demanded}" for rule in rules if not rule.holds(settings)]


def secret_rules(field: str) -> tuple[Rule, ...]:
    """Return the rules of a secret that the operator chooses; an unset secret breaks none."""
    variable = field.upper()
    return (
        _unpublished(field),
        Rule(
            variable,
            f"must have at least {_MIN_DIFFERENT_CHARACTERS} different characters and not repeat itself; "
            "make one with: openssl rand -hex 32",
            lambda settings: _is_varied(_text(settings, field)),
        ),
    )


def vendor_secret_rules(field: str) -> tuple[Rule, ...]:
    """Return the rules of a secret that another party issues."""
    return (_unpublished(field),)


def differs_from(field: str, *others: str) -> Rule:
    """Return the rule that a secret differs from each of ``others``."""
    names = ", ".join(other.upper() for other in others)
    return Rule(
        field.upper(),
        f"must differ from {names}",
        lambda settings: not _text(settings, field) or _text(settings, field) not in _texts(settings, others),
    )


def _unpublished(field: str) -> Rule:
    return Rule(
        field.upper(),
        "must not be a secret that is published with the source or by its vendor",
        lambda settings: _text(settings, field) not in PUBLISHED,
    )


def _texts(settings: object, fields: Sequence[str]) -> list[str]:
    return [_text(settings, field) for field in fields]


def _text(settings: object, field: str) -> str:
    value: SecretStr | None = getattr(settings, field)
    return value.get_secret_value() if value else ""


def _is_varied(secret: str) -> bool:
    # A text of repetitions occurs inside its own double, before the second half.
    repeats = secret in (secret + secret)[1:-1]
    return not secret or (len(set(secret)) >= _MIN_DIFFERENT_CHARACTERS and not repeats)


def is_https(address: str) -> bool:
    """Return whether ``address`` is an https URL with a host."""
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.hostname)


def is_local(host: str) -> bool:
    """Return whether ``host`` is this machine: loopback, the unspecified address, or a folder of Unix sockets."""
    name = host.rstrip(".").lower()
    if not name or name.startswith(("/", "@")) or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(each.is_loopback or each.is_unspecified for each in (address, mapped) if each is not None)
