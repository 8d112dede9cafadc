"""How a page is put together: a template, its texts, and the style, all escaped."""

import html
from functools import cache
from importlib import resources
from string import Template


def rendered(name: str, /, *, markup: dict[str, str] | None = None, **texts: str) -> str:
    """Fill the template ``name``; ``texts`` are escaped, ``markup`` is HTML already."""
    escaped = {key: html.escape(text) for key, text in texts.items()}
    return Template(_file(f"{name}.html")).substitute(**escaped, **(markup or {}), style=_file("style.css"))


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / "pages" / name).read_text("utf-8")
