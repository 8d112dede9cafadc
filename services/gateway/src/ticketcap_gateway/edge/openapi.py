"""The OpenAPI 3.1 document, made of the operations that are served."""

import http
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ticketcap_gateway import schemas
from ticketcap_gateway.edge import problems as problem
from ticketcap_gateway.edge.operation import Answer, Caller, Operation
from ticketcap_gateway.edge.responses import EVENT_STREAM

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_RESPONSE: Final = "#/components/responses/"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_UUID_PATTERN: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SLUG: Final[Json] = {"type": "string", "maxLength": 63, "pattern": schemas.SLUG_PATTERN}
_ID: Final[Json] = {"type": "string", "format": "uuid", "pattern": f"^{_UUID_PATTERN}$"}
_PATH_PARAMETERS: Final[dict[str, tuple[str, Json]]] = {
    "school": ("The school's slug.", _SLUG),
    "event": (
        "The event's id or slug.",
        {"type": "string", "maxLength": 63, "pattern": f"{schemas.SLUG_PATTERN}|^{_UUID_PATTERN}$"},
    ),
    "id": ("The id of the registration, the payment or what the escalation is about.", _ID),
    "registration": ("The registration's id.", _ID),
    "kind": ("What waits.", {"type": "string", "enum": list(get_args(schemas.EscalationKind))}),
}
_PROBLEMS: Final = {
    400: "What was sent can't be read: not JSON or no form, not UTF-8, a key twice; or it is not genuine.",
    401: "No token, or one that does not hold.",
    403: "The token's role is too low.",
    404: "No such thing, as far as this caller may know.",
    408: "The body did not arrive in time.",
    409: "The thing is in the wrong state for this; with Retry-After: try again.",
    410: "It was there and is over: the hold has expired; register again.",
    413: "The body is too large.",
    414: "What stands after the question mark is too long.",
    415: "The body is not declared as what the call takes.",
    422: "A field, a parameter or a header is wrong; errors names each.",
    429: "A limit is reached; wait for Retry-After seconds.",
    431: "The request line and the headers are too large.",
    500: "A fault of ours; trace_id finds it in the log.",
    503: "A part is down, or a limit of the gateway is reached; try again after Retry-After seconds.",
    504: "A service did not answer in time.",
}
_RETRY_AFTER: Final = frozenset({409, 429, 503})
# What the connection answers before there is a request: to any call.
_OF_CONNECTION: Final[dict[int, tuple[str, str]]] = {
    400: ("MalformedRequest", "What was sent is not HTTP."),
    408: ("RequestTimeout", "The headers or the body did not arrive in time."),
    431: ("HeadersTooLarge", _PROBLEMS[431]),
    501: ("NotImplemented", "The transfer coding is not chunked, or the method is CONNECT."),
    503: (
        "TooManyConnections",
        "The gateway serves as many connections as it can; wait for Retry-After seconds.",
    ),
    505: ("VersionNotSupported", "The version of HTTP is not 1.0 or 1.1."),
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeat with the same key and body gets the first answer; with another body, 422. "
    "The key is secret, since that answer may hold secrets: use a random one for each request, such as a UUID.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}
_SECURITY: Final[dict[Caller, list[Json]]] = {
    Caller.ANYONE: [],
    Caller.ORGANISER: [{"organiser": []}],
    Caller.HOLDER: [{"manageToken": []}, {"bearerManageToken": []}, {"organiser": []}],
    Caller.PAYER: [{"manageToken": []}, {"bearerManageToken": []}],
}
_SECURITY_SCHEMES: Final[Json] = {
    "organiser": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "bearerManageToken": {"type": "http", "scheme": "bearer", "description": "The registration's manage_token."},
    "manageToken": {"type": "apiKey", "in": "header", "name": "X-Manage-Token"},
}


def document(operations: Sequence[Operation], *, version: str) -> Json:
    """Return the document that describes ``operations``."""
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TicketCap",
            "version": version,
            "description": "Events with few places, for schools and clubs: who gets a place learns it at once.",
        },
        "tags": [{"name": topic} for topic in dict.fromkeys(operation.topic for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "responses": {name: _problem(status, text) for status, (name, text) in _OF_CONNECTION.items()},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _operation(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.topic],
        "summary": operation.summary,
        "security": _SECURITY[operation.caller],
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {operation.body_media_type: {"schema": _ref(operation.body)}}
        described["requestBody"] = {"required": operation.body_required, "content": content}
    return described


def _parameters(operation: Operation) -> Iterable[Json]:
    for name in _PARAMETER.findall(operation.path):
        description, schema = _PATH_PARAMETERS[name]
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            yield {"name": name, "in": "query", "schema": schema}
    if operation.creates:
        yield _IDEMPOTENCY_KEY


def _responses(operation: Operation) -> Json:
    described = [(answer.status, _answer(answer, operation)) for answer in operation.answers]
    described += [(status, _problem(status)) for status in _problem_statuses(operation)]
    responses: dict[str, Json] = {}
    for status, response in described:
        _add(responses.setdefault(str(status), {}), response)
    for status, (name, text) in _OF_CONNECTION.items():
        if str(status) in responses:
            _add(responses[str(status)], _problem(status, text))
        else:
            responses[str(status)] = {"$ref": _RESPONSE + name}
    return dict(sorted(responses.items()))


def _add(response: Json, other: Json) -> None:
    """Let a response be ``other`` too: the first one's words stay, the media types and headers of both count."""
    response.setdefault("description", other["description"])
    for part in ("headers", "content"):
        if part in other:
            response[part] = other[part] | response.get(part, {})


def _problem_statuses(operation: Operation) -> set[int]:
    statuses = {429, 500, *operation.problems}
    if operation.path.startswith("/api/v1/"):
        statuses |= {404, 422, 503, 504}
    if any(answer.media_type == EVENT_STREAM for answer in operation.answers):
        # It begins without an answer of the service.
        statuses -= {504}
    if operation.caller is not Caller.ANYONE:
        statuses |= {401, 403, 404}
    if operation.body is not None:
        statuses |= {400, 408, 413, 415, 422}
    return statuses


def _problem(status: int, description: str | None = None) -> Json:
    described: Json = {
        "description": description or _PROBLEMS[status],
        "content": {problem.MEDIA_TYPE: {"schema": _ref(schemas.Problem)}},
    }
    if status in _RETRY_AFTER:
        described["headers"] = {"Retry-After": _header("Seconds to wait.", "integer", minimum=1)}
    if status == http.HTTPStatus.UNAUTHORIZED:
        described["headers"] = {"WWW-Authenticate": _header("How to authenticate.", "string")}
    return described


def _answer(answer: Answer, operation: Operation) -> Json:
    described: Json = {"description": answer.description}
    headers = {name: _header(text, "string") for name, text in answer.headers.items()}
    if answer.status == http.HTTPStatus.CREATED:
        headers["Location"] = _header("Where the new thing is.", "string")
    if operation.creates and answer.status == http.HTTPStatus.CREATED:
        headers["Idempotent-Replayed"] = _header("true when an earlier request with this key made it.", "string")
    if headers:
        described["headers"] = headers
    if isinstance(answer.body, str):
        described["content"] = {answer.media_type: {"schema": {"type": "string"}, "example": answer.body}}
    elif answer.body is not None:
        described["content"] = {answer.media_type: {"schema": _ref(answer.body)}}
    return described


def _header(description: str, kind: str, **bounds: int) -> Json:
    return {"description": description, "schema": {"type": kind, **bounds}}


def resolved(document: Json, response: Json) -> Json:
    """Return a response of an operation, or the component that it refers to."""
    shared: Json = document["components"]["responses"]
    return shared[response["$ref"].removeprefix(_RESPONSE)] if "$ref" in response else response


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(operations: Sequence[Operation]) -> Json:
    taken: set[type[BaseModel]] = {operation.body for operation in operations if operation.body is not None}
    bodies = [answer.body for operation in operations for answer in operation.answers]
    given: set[type[BaseModel]] = {schemas.Problem, *(body for body in bodies if isinstance(body, type))}
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in sorted(taken, key=_name)),
        *((model, "serialization") for model in sorted(given, key=_name)),
    ]
    _, definitions = models_json_schema(modes, ref_template=_REF)
    described: Json = definitions["$defs"]
    return described


def _name(model: type[BaseModel]) -> str:
    return model.__name__
