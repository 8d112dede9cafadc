"""Serve the API's description: /openapi.json for programs, /docs for people."""

import json
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ticketcap_gateway.edge import html_page
from ticketcap_gateway.edge.html_page import PageTemplate
from ticketcap_gateway.edge.openapi import ApiInfo, Document, resolved
from ticketcap_gateway.edge.operation import JSON, Operation, ResponseSpec, call, operations_of

_CACHE: Final = {"cache-control": "public, max-age=60"}


class Docs:
    """Serves the description of ``operations``, and of itself."""

    topic = "Documentation"

    def __init__(self, operations: Sequence[Operation], api: ApiInfo) -> None:
        operations = [*operations, *operations_of(self)]
        document = Document(operations, api).json
        self._document = json.dumps(document, ensure_ascii=False).encode()
        self._template = PageTemplate("ticketcap_gateway.edge", "docs")
        self._page = self._template.render(
            {
                "document": document,
                "callers": {operation.name: operation.caller.name for operation in operations},
                "resolved": lambda response: resolved(document, response),
            }
        )

    @call(
        "GET",
        "/openapi.json",
        name="getOpenApi",
        summary="This description for programs, as OpenAPI 3.1.",
        responses=[ResponseSpec(200, "The document.", '{"openapi": "3.1.0"}')],
    )
    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the OpenAPI document."""
        return Response(self._document, media_type=JSON, headers=_CACHE)

    @call(
        "GET",
        "/docs",
        name="getDocs",
        summary="This description for people.",
        responses=[ResponseSpec(200, "The page.", "<!doctype html>", media_type=html_page.MEDIA_TYPE)],
    )
    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the page."""
        return self._template.response(self._page, headers=_CACHE)
