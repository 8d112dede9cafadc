"""Build the OpenAPI 3.1 document from the operations that are served."""

import http
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ticketcap_gateway.edge.operation import ANYONE, EVENT_STREAM, Operation, ResponseSpec
from ticketcap_gateway.edge.problems import MEDIA_TYPE, ProblemDetails

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{model}"
_RESPONSE: Final = "#/components/responses/"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_PROBLEMS: Final = {
    400: "The request is malformed: not JSON or not a form, not UTF-8, a repeated key; or it is not genuine.",
    401: "Authentication required: the token is missing or invalid.",
    403: "The token's role does not allow this call.",
    404: "Not found, or not visible to this caller.",
    408: "The body did not arrive in time.",
    409: "The object is in the wrong state for this call; with Retry-After: try again.",
    410: "The object has expired.",
    413: "The body is too large.",
    414: "The query string is too long.",
    415: "The body's media type is not the one that this call takes.",
    422: "A field, a parameter or a header is invalid; errors names each.",
    429: "A limit is reached; wait for Retry-After seconds.",
    431: "The request line and the headers are too large.",
    500: "An internal error; trace_id finds it in the log.",
    503: "A service is unavailable, or the gateway has reached a limit; try again after Retry-After seconds.",
    504: "A service did not answer in time.",
}
_RETRY_AFTER: Final = frozenset({409, 429, 503})
# The connection's own answers, before there is a request: possible for any call.
_OF_CONNECTION: Final[dict[int, tuple[str, str]]] = {
    400: ("MalformedRequest", "The request is not HTTP."),
    408: ("RequestTimeout", "The headers or the body did not arrive in time."),
    431: ("HeadersTooLarge", _PROBLEMS[431]),
    501: ("NotImplemented", "The transfer coding is not chunked, or the method is CONNECT."),
    503: ("TooManyConnections", "The gateway has no free connection; wait for Retry-After seconds."),
    505: ("VersionNotSupported", "The version of HTTP is not 1.0 or 1.1."),
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeat with the same key and body gets the first answer; with another body, 422. "
    "The key is secret, since that answer may hold secrets: use a random one for each request, such as a UUID.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiInfo:
    """The parts of the document that no single operation decides.

    ``path_parameters`` are {"description", "schema"} by name; ``problem`` is
    the model of every problem; ``security_schemes`` are by the names that
    callers refer to.
    """

    title: str
    version: str
    description: str
    path_parameters: Mapping[str, Json]
    security_schemes: Mapping[str, Json]
    problem: type[ProblemDetails]


class Document:
    """The document of ``operations``, as JSON."""

    def __init__(self, operations: Sequence[Operation], api: ApiInfo) -> None:
        self._api = api
        paths: dict[str, Json] = {}
        for operation in operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = self._operation(operation)
        self.json: Json = {
            "openapi": "3.1.0",
            "info": {"title": api.title, "version": api.version, "description": api.description},
            "tags": [{"name": topic} for topic in dict.fromkeys(operation.topic for operation in operations)],
            "paths": paths,
            "components": {
                "schemas": _schemas(operations, api.problem),
                "responses": {name: self._problem(status, text) for status, (name, text) in _OF_CONNECTION.items()},
                "securitySchemes": dict(api.security_schemes),
            },
        }

    def _operation(self, operation: Operation) -> Json:
        entry: Json = {
            "operationId": operation.name,
            "tags": [operation.topic],
            "summary": operation.summary,
            "security": [{credential: []} for credential in operation.caller.credentials],
            "parameters": list(self._parameters(operation)),
            "responses": self._responses(operation),
        }
        if operation.body is not None:
            content = {operation.body_media_type: {"schema": _ref(operation.body)}}
            entry["requestBody"] = {"required": operation.body_required, "content": content}
        return entry

    def _parameters(self, operation: Operation) -> Iterable[Json]:
        for name in _PARAMETER.findall(operation.path):
            yield {"name": name, "in": "path", "required": True, **self._api.path_parameters[name]}
        if operation.query is not None:
            for name, schema in operation.query.model_json_schema()["properties"].items():
                yield {"name": name, "in": "query", "schema": schema}
        if operation.creates:
            yield _IDEMPOTENCY_KEY

    def _responses(self, operation: Operation) -> Json:
        entries = [(spec.status, _response(spec, operation)) for spec in operation.responses]
        entries += [(status, self._problem(status)) for status in _problem_statuses(operation)]
        responses: dict[str, Json] = {}
        for status, entry in entries:
            _add(responses.setdefault(str(status), {}), entry)
        for status, (name, text) in _OF_CONNECTION.items():
            if str(status) in responses:
                _add(responses[str(status)], self._problem(status, text))
            else:
                responses[str(status)] = {"$ref": _RESPONSE + name}
        return dict(sorted(responses.items()))

    def _problem(self, status: int, description: str | None = None) -> Json:
        entry: Json = {
            "description": description or _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": _ref(self._api.problem)}},
        }
        if status in _RETRY_AFTER:
            entry["headers"] = {"Retry-After": _header("Seconds to wait.", "integer", minimum=1)}
        if status == http.HTTPStatus.UNAUTHORIZED:
            entry["headers"] = {"WWW-Authenticate": _header("How to authenticate.", "string")}
        return entry


def resolved(document: Json, response: Json) -> Json:
    """Return a response of an operation, or the component that it refers to."""
    shared: Json = document["components"]["responses"]
    return shared[response["$ref"].removeprefix(_RESPONSE)] if "$ref" in response else response


def _add(response: Json, other: Json) -> None:
    """Merge ``other`` into a response: the first description stays, the media types and headers of both count."""
    response.setdefault("description", other["description"])
    for part in ("headers", "content"):
        if part in other:
            response[part] = other[part] | response.get(part, {})


def _problem_statuses(operation: Operation) -> set[int]:
    statuses = {429, 500, *operation.problems}
    if operation.in_api:
        statuses |= {404, 422, 503, 504}
    if any(spec.media_type == EVENT_STREAM for spec in operation.responses):
        # A stream begins before the service has answered.
        statuses -= {504}
    if operation.caller is not ANYONE:
        statuses |= {401, 403, 404}
    if operation.body is not None:
        statuses |= {400, 408, 413, 415, 422}
    return statuses


def _response(spec: ResponseSpec, operation: Operation) -> Json:
    entry: Json = {"description": spec.description}
    headers = {name: _header(text, "string") for name, text in spec.headers.items()}
    if spec.status == http.HTTPStatus.CREATED:
        headers["Location"] = _header("The address of the new object.", "string")
        if operation.creates:
            headers["Idempotent-Replayed"] = _header("true when an earlier request with this key created it.", "string")
    if headers:
        entry["headers"] = headers
    if isinstance(spec.body, str):
        entry["content"] = {spec.media_type: {"schema": {"type": "string"}, "example": spec.body}}
    elif spec.body is not None:
        entry["content"] = {spec.media_type: {"schema": _ref(spec.body)}}
    return entry


def _header(description: str, kind: str, **bounds: int) -> Json:
    return {"description": description, "schema": {"type": kind, **bounds}}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(operations: Sequence[Operation], problem: type[ProblemDetails]) -> Json:
    inputs: set[type[BaseModel]] = {operation.body for operation in operations if operation.body is not None}
    bodies = [spec.body for operation in operations for spec in operation.responses]
    outputs: set[type[BaseModel]] = {problem, *(body for body in bodies if isinstance(body, type))}
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in sorted(inputs, key=_name)),
        *((model, "serialization") for model in sorted(outputs, key=_name)),
    ]
    _, definitions = models_json_schema(modes, ref_template=_REF)
    schemas: Json = definitions["$defs"]
    return schemas


def _name(model: type[BaseModel]) -> str:
    return model.__name__
