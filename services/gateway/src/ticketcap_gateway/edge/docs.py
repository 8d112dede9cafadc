"""The pages for developers: /openapi.json, and /docs, the same as one readable page without scripts."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from ticketcap_gateway.edge import openapi
from ticketcap_gateway.edge.html_page import load_style
from ticketcap_gateway.edge.operation import Answer, Operation

_TOPIC: Final = "Documentation"
_SCHEMAS: Final = "#/components/schemas/"
_CACHE: Final = "public, max-age=60"
_CALLERS: Final = {"manageToken": "holder", "organiser": "organiser"}


class Docs:
    """Serves the description of ``operations``, and of itself."""

    def __init__(self, operations: Sequence[Operation], *, version: str) -> None:
        described = openapi.document([*operations, *self.operations()], version=version)
        style = load_style("ticketcap_gateway.edge", "docs.css")
        self._document = json.dumps(described, ensure_ascii=False).encode()
        self._page = _page(described, style.text).encode()
        self._policy = style.policy

    def operations(self) -> Sequence[Operation]:
        """Return both pages."""
        return (
            Operation(
                method="GET",
                path="/openapi.json",
                name="getOpenApi",
                summary="This description, for programs: OpenAPI 3.1.",
                topic=_TOPIC,
                handler=self.openapi,
                answers=[Answer(status=200, description="The document.", body='{"openapi": "3.1.0"}')],
            ),
            Operation(
                method="GET",
                path="/docs",
                name="getDocs",
                summary="This description, for people.",
                topic=_TOPIC,
                handler=self.page,
                answers=[Answer(status=200, description="The page.", body="<!doctype html>", media_type="text/html")],
            ),
        )

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json", headers={"cache-control": _CACHE})

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """Return the page."""
        headers = {"content-security-policy": self._policy, "cache-control": _CACHE}
        return Response(self._page, media_type="text/html", headers=headers)


def _page(document: openapi.Json, style: str) -> str:
    calls = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    topics = [tag["name"] for tag in document["tags"]]
    sections = "".join(
        _section(topic, [call for call in calls if topic in call[2]["tags"]], document) for topic in topics
    )
    shapes = "".join(_shape(name, schema) for name, schema in document["components"]["schemas"].items())
    navigation = "".join(f'<li><a href="#{_anchor(topic)}">{escape(topic)}</a></li>' for topic in [*topics, "Shapes"])
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(info['title'])} <small>API {escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])} JSON in snake_case, times in UTC; errors are "
        '<a href="#shape-Problem">problems</a>. <a href="/openapi.json">openapi.json</a></p></header>'
        f"<nav><ul>{navigation}</ul></nav><main>{sections}"
        f'<section id="shapes"><h2>Shapes</h2>{shapes}</section></main></body></html>'
    )


def _section(topic: str, calls: Sequence[tuple[str, str, openapi.Json]], document: openapi.Json) -> str:
    shown = "".join(_call(*call, document) for call in calls)
    return f'<section id="{_anchor(topic)}"><h2>{escape(topic)}</h2>{shown}</section>'


def _call(method: str, path: str, operation: openapi.Json, document: openapi.Json) -> str:
    schemes = {scheme for choice in operation["security"] for scheme in choice}
    who = " or ".join(name for scheme, name in _CALLERS.items() if scheme in schemes) or "anyone"
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    takes = "".join(f"<h4>Body</h4><p>{_type(body['schema'])}</p>" for body in bodies)
    parameters = _table(
        "Parameters",
        [
            (
                f"<code>{escape(parameter['name'])}</code>",
                parameter["in"],
                _type(parameter["schema"]),
                escape(parameter.get("description", "")),
            )
            for parameter in operation["parameters"]
        ],
    )
    answers = _table(
        "Answers",
        [
            (f'<b class="s{status[0]}">{status}</b>', _content(response), escape(response["description"]))
            for status, described in operation["responses"].items()
            for response in [openapi.resolved(document, described)]
        ],
    )
    breakable = escape(path).replace("/", "/<wbr>")
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b class="{method}">{method.upper()}</b> '
        f"<code>{breakable}</code><span>{escape(operation['summary'])}</span><i>{who}</i></summary>"
        f"<div>{takes}{parameters}{answers}</div></details>"
    )


def _content(response: openapi.Json) -> str:
    return "<br>".join(
        _type(content["schema"]) if "$ref" in content["schema"] else f"<code>{escape(media_type)}</code>"
        for media_type, content in response.get("content", {}).items()
    )


def _shape(name: str, schema: openapi.Json) -> str:
    required = schema.get("required", [])
    rows = [
        (f"<code>{escape(field)}</code>{'' if field in required else ' <em>optional</em>'}", _type(described))
        for field, described in schema.get("properties", {}).items()
    ]
    text = escape(schema.get("description", ""))
    return f'<article id="shape-{escape(name)}"><h3>{escape(name)}</h3><p>{text}</p>{_table("", rows)}</article>'


def _type(schema: openapi.Json) -> str:
    """Say in words what a schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " · ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(" ".join([schema.get("format") or schema.get("type", "anything"), *_bounds(schema)]))


def _bounds(schema: dict[str, Any]) -> list[str]:
    words = {"minLength": "≥ {} characters", "maxLength": "≤ {} characters", "minimum": "≥ {}", "maximum": "≤ {}"}
    bounds = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return [", ".join(filter(None, [*bounds, schema.get("description", "")]))] if bounds else []


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    heading = f"<h4>{title}</h4>" if title else ""
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"{heading}<table>{lines}</table>"


def _anchor(topic: str) -> str:
    return topic.lower().replace(" ", "-")
