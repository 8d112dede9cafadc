"""Serve the API's description: /openapi.json for programs, /docs for people."""

import json
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from ticketcap_gateway.edge import html_page
from ticketcap_gateway.edge.html_page import PageTemplate
from ticketcap_gateway.edge.openapi import ApiInfo, Document, resolved
from ticketcap_gateway.edge.operation import JSON, Operation, ResponseSpec

_TOPIC: Final = "Documentation"
_CACHE: Final = {"cache-control": "public, max-age=60"}


class Docs:
    """Serves the description of ``operations``, and of itself."""

    def __init__(self, operations: Sequence[Operation], api: ApiInfo) -> None:
        operations = [*operations, *self.operations()]
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

    def operations(self) -> Sequence[Operation]:
        """Return both calls."""
        return (
            Operation(
                method="GET",
                path="/openapi.json",
                name="getOpenApi",
                summary="This description for programs, as OpenAPI 3.1.",
                topic=_TOPIC,
                handler=self.openapi,
                responses=[ResponseSpec(status=200, description="The document.", body='{"openapi": "3.1.0"}')],
            ),
            Operation(
                method="GET",
                path="/docs",
                name="getDocs",
                summary="This description for people.",
                topic=_TOPIC,
                handler=self.page,
                responses=[
                    ResponseSpec(
                        status=200, description="The page.", body="<!doctype html>", media_type=html_page.MEDIA_TYPE
                    )
                ],
            ),
        )

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the OpenAPI document."""
        return Response(self._document, media_type=JSON, headers=_CACHE)

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the page."""
        return self._template.response(self._page, headers=_CACHE)
