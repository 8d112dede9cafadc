"""Set the school of the current work, and recognise synthetic schools.

Registration knows which schools are synthetic. A service names those of a call in the answer's trailing metadata, so
that a caller recognises later calls by their slug, failed ones too.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

from opentelemetry import baggage, context, trace

from ticketcap_observability import schema, sentry
from ticketcap_observability._identifiers import is_identifier

Metadata = tuple[tuple[str, str], ...]

_KEY: Final = "ticketcap-synthetic-school"
_TRUE: Final = "true"
_MOST_REMEMBERED: Final = 1024
_MOST_IN_AN_ANSWER: Final = 16
"""A client accepts 8 KiB of metadata."""

_remembered: Final[dict[str, None]] = {}
_of_call: Final[ContextVar[set[str] | None]] = ContextVar("synthetic_schools_of_call", default=None)


def set_school(slug: str, school_id: UUID | str | None = None, synthetic: bool | None = None) -> None:
    """Set the school of the current work: on the current span, in Sentry, and in the baggage of calls.

    The baggage carries the slug and whether the school is synthetic; the span also has the id. Without ``synthetic``,
    a school is synthetic when the caller's baggage or an earlier answer says so. A text that is no slug sets nothing:
    it came from a caller and may hold personal data.
    """
    if not is_identifier(slug):
        return
    by_baggage = baggage.get_baggage(schema.SCHOOL_SYNTHETIC) == _TRUE
    if synthetic is None:
        synthetic = slug in _remembered or (by_baggage and baggage.get_baggage(schema.SCHOOL_SLUG) == slug)
    elif synthetic:
        _remember(slug)
    else:
        _remembered.pop(slug, None)
    span = trace.get_current_span()
    span.set_attributes(school_attributes(slug, school_id, synthetic))
    sentry.set_school(slug, school_id, synthetic)
    current = baggage.set_baggage(schema.SCHOOL_SLUG, slug)
    if synthetic:
        current = baggage.set_baggage(schema.SCHOOL_SYNTHETIC, _TRUE, current)
    elif by_baggage:
        # A caller named another school, or was wrong: the span may have its answer already.
        span.set_attribute(schema.SCHOOL_SYNTHETIC, False)
        current = baggage.remove_baggage(schema.SCHOOL_SYNTHETIC, current)
    context.attach(current)


def school_attributes(slug: str, school_id: UUID | str | None, synthetic: bool) -> dict[str, Any]:
    """Return the attributes of a span of one school; ``school.synthetic`` is only there when it is true."""
    attributes: dict[str, Any] = {schema.SCHOOL_SLUG: slug}
    if school_id is not None:
        attributes[schema.SCHOOL_ID] = str(school_id)
    if synthetic:
        attributes[schema.SCHOOL_SYNTHETIC] = True
    return attributes


def synthetic_label(synthetic: bool | None = None) -> dict[str, str]:
    """Return the label ``school_synthetic`` for ``synthetic``, or for the school of the current work."""
    if synthetic is None:
        slug = baggage.get_baggage(schema.SCHOOL_SLUG)
        synthetic = baggage.get_baggage(schema.SCHOOL_SYNTHETIC) == _TRUE or slug in _remembered
    return {"school_synthetic": str(synthetic).lower()}


def collect_synthetic_schools() -> None:
    """Begin to collect the synthetic schools that this call and its tasks set."""
    _of_call.set(set())


def synthetic_metadata() -> Metadata:
    """Return the metadata that names the synthetic schools of this call, at most 16."""
    slugs = sorted(_of_call.get() or ())
    return tuple((_KEY, slug) for slug in slugs[:_MOST_IN_AN_ANSWER])


def read_synthetic_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Remember the synthetic schools that an answer names.

    The only one becomes the school of the current work, if this has none yet.
    """
    slugs = [str(value) for key, value in metadata if key == _KEY]
    for slug in slugs:
        _remember(slug)
    if len(slugs) == 1 and baggage.get_baggage(schema.SCHOOL_SLUG) in (None, slugs[0]):
        set_school(slugs[0], synthetic=True)


def _remember(slug: str) -> None:
    """Make ``slug`` the newest of the remembered schools; forget the oldest of too many."""
    if (of_call := _of_call.get()) is not None:
        of_call.add(slug)
    _remembered.pop(slug, None)
    _remembered[slug] = None
    if len(_remembered) > _MOST_REMEMBERED:
        del _remembered[next(iter(_remembered))]
