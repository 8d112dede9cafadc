"""Render the simulator's pages with every value escaped."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("ticketcap_yaadpay_simulator", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(name: str, **values: Any) -> str:
    """Return the page of the template ``name``; StrictUndefined raises for a missing value."""
    return _ENVIRONMENT.get_template(f"{name}.html").render(values)
