"""Errors of the server, in OpenAI's body: `{"error": {"message", "type", "param", "code"}}`."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from fulmen.errors import ConfigError, DataError, FulmenError
from fulmen.serve.worker import Draining, QueueFull

TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
CODES = {401: "invalid_api_key", 413: "body_too_large", 503: "draining", 504: "deadline"}
MAX_MESSAGE = 2000
"""Characters of an error's message: it may quote what the client sent."""


class ApiError(FulmenError):
    """What a client is told instead of an answer."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code = CODES.get(status) if code is None else code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Returns the JSON object of the response."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        # Text that is not Unicode, quoted from a request, must not break the answer that refuses it.
        message = self.message[:MAX_MESSAGE].encode("utf-8", "backslashreplace").decode()
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """Returns the whole response."""
        return JsonResponse(self.body(), status_code=self.status, headers=self.headers)


class ClientGoneError(FulmenError):
    """Nobody is there to be answered."""


class JsonResponse(Response):
    """A JSON body; characters that are not ASCII are escaped, so that any string can be sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Returns the bytes of the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def to_api_error(error: BaseException) -> ApiError:
    """Returns what a client is told of an error raised while its request was served."""
    match error:
        case ApiError():
            return error
        case QueueFull():
            return ApiError(
                429, str(error), code="queue_full", headers={"Retry-After": str(max(1, round(error.retry_after_s)))}
            )
        case Draining():
            return ApiError(503, str(error), headers={"Retry-After": "1"})
        case ConfigError() | DataError():
            return ApiError(400, str(error), code="invalid_value")
        case _:
            return ApiError(500, f"the server failed at this request ({type(error).__name__})", code="internal_error")


async def on_error(request: Request, error: Exception) -> Response:
    """Handles errors of this package and of the worker, and those that nobody foresaw."""
    return to_api_error(error).response()


async def on_gone(request: Request, error: Exception) -> Response:
    """Handles clients that went away; what is returned reaches nobody. 499 is nginx's number for it."""
    return Response(status_code=499)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Handles what the framework refuses: unknown routes, wrong methods, unreadable bodies."""
    assert isinstance(error, StarletteHTTPException | HTTPException), "registered for these alone"
    messages = {
        404: f"unknown URL {request.method} {request.url.path}",
        405: f"{request.method} is not allowed at {request.url.path}",
    }
    message = messages.get(error.status_code, str(error.detail))
    codes = {404: "unknown_url", 405: "method_not_allowed"}
    return ApiError(error.status_code, message, code=codes.get(error.status_code), headers=error.headers).response()


async def on_invalid(request: Request, error: Exception) -> Response:
    """Handles bodies that are no JSON or not of the right form: 400, with the first thing wrong with it."""
    assert isinstance(error, RequestValidationError), "registered for this alone"
    # Of a union, the branch whose type fits says what is wrong.
    first: dict[str, Any] = min(error.errors(), key=lambda one: str(one["type"]).endswith("_type"))
    kind, context = str(first["type"]), first.get("ctx") or {}
    # Names of fields and positions; the parts of a union that pydantic tried are of no use to a client.
    place = [str(part) for part in first["loc"][1:] if isinstance(part, int) or part.isidentifier()]
    place = [part for part in place if part not in ("str", "int", "float", "bool") and not part[0].isupper()]
    param = str(context.get("param") or ".".join(place)) or None
    if kind == "json_invalid":
        return ApiError(400, f"the body is not JSON: {context.get('error', '')}", code="invalid_json").response()
    if kind == "extra_forbidden":
        param = ".".join([*place[: -1 if place and place[-1] == first["loc"][-1] else None], str(first["loc"][-1])])
        return ApiError(400, f"unknown field {param}", param=param, code="unknown_parameter").response()
    if kind == "missing":
        message = f"{param} is missing" if param else "the body is missing; allowed: a JSON object"
        return ApiError(400, message, param=param, code="missing_required_parameter").response()
    message = str(first["msg"]).removeprefix("Value error, ")
    if param and kind != "unsupported":
        message = f"{param}: {message}"
    return ApiError(
        400, message, param=param, code="unsupported_parameter" if kind == "unsupported" else "invalid_value"
    ).response()
