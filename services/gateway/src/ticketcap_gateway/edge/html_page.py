"""Render HTML pages from templates that load nothing and run nothing."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import jinja2
from starlette.responses import Response

MEDIA_TYPE: Final = "text/html"


class PageTemplate:
    """The template ``name``.html of a package, with the stylesheet ``name``.css in its <style>.

    Every value is escaped, and one that is missing raises jinja2.UndefinedError.
    """

    def __init__(self, package: str, name: str) -> None:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader(package),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template(f"{name}.html")
        self._css = environment.get_template(f"{name}.css").render()

    @cached_property
    def policy(self) -> str:
        """The Content-Security-Policy of the page: its own style, no scripts, nothing loaded, no frame around it.

        It leaves form-action out: browsers would also apply it to the redirect
        to another site that answers a form.
        """
        digest = base64.b64encode(hashlib.sha256(self._css.encode()).digest()).decode()
        return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the page as UTF-8."""
        # The policy admits the style by its hash, so it must reach the page byte for byte.
        return self._template.render(values, css=self._css).encode()

    def response(self, page: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return a rendered page under its policy."""
        headers = {"content-security-policy": self.policy, **(headers or {})}
        return Response(page, status, media_type=MEDIA_TYPE, headers=headers)
