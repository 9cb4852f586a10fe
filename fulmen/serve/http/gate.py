"""What every request passes before it reaches a route: host, key, size, draining; and the last line against bugs.

ASGI without the framework's wrappers, because these would read a body before they could refuse it.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fulmen.serve.http.errors import ApiError, to_api_error
from fulmen.serve.http.metrics import Metrics
from fulmen.serve.http.streams import CompletionWorker

LOG = logging.getLogger("fulmen.http")
OPEN_PATHS = ("/health",)
"""Answered without the key."""
ROUTES = ("/", "/health", "/metrics", "/v1/models", "/v1/completions", "/v1/chat/completions", "/openapi.json")
"""Named in the metrics; everything else counts as `other`, so that clients cannot make new series."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """Who may ask what."""

    api_key: str | None = None
    """None lets everyone in."""
    max_body_bytes: int = 8 << 20
    allowed_hosts: Sequence[str] | None = None
    """Values of the Host header, without port; None allows all. A server bound to the loopback names it, so that a
    web page elsewhere cannot reach it through a name of its own (DNS rebinding)."""


class Gate:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, settings: GateSettings, worker: CompletionWorker, metrics: Metrics) -> None:
        self._app, self._settings, self._worker, self._metrics = app, settings, worker, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        size = 0

        async def counted_receive() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._settings.max_body_bytes:
                    # The framework lets no other exception of reading a body through.
                    refusal = self._too_large()
                    raise HTTPException(refusal.status, refusal.message, refusal.headers)
            return message

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, counted_receive, watched_send)
        except Exception as error:
            refusal = to_api_error(error)
            if refusal.status == 500:
                LOG.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await refusal.response()(scope, receive, watched_send)
        finally:
            route = scope["path"] if scope["path"] in ROUTES else "other"
            self._metrics.requests[route, status or 499] += 1

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        allowed = self._settings.allowed_hosts
        if allowed is not None and _without_port(host) not in allowed:
            raise ApiError(400, f"Host {host[:100]!r} is not served here; allowed: {', '.join(allowed)}", code="host")
        path = scope["path"]
        if path not in OPEN_PATHS:
            self._check_key(headers.get(b"authorization", b""), is_page=path == "/")
            if self._worker.is_draining and path.startswith("/v1/"):
                raise ApiError(503, "the server is shutting down", headers={"Retry-After": "1", "Connection": "close"})
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._settings.max_body_bytes:
            raise self._too_large()

    def _check_key(self, authorization: bytes, *, is_page: bool) -> None:
        key = self._settings.api_key
        if key is None:
            return
        scheme, _, credentials = authorization.strip().partition(b" ")
        given = credentials.strip() if scheme.lower() == b"bearer" else b""
        # Browsers ask for a password before they show the page; its own requests carry the key as clients' do, so
        # that no other site's page can make a browser send it.
        if is_page and scheme.lower() == b"basic":
            given = _password(credentials)
        if not hmac.compare_digest(given, key.encode()):
            challenge = 'Basic realm="fulmen: the API key is the password", charset="UTF-8"' if is_page else "Bearer"
            message = "no API key, or a wrong one; allowed: the header Authorization: Bearer KEY"
            raise ApiError(401, message, headers={"WWW-Authenticate": challenge})

    def _too_large(self) -> ApiError:
        # The rest of the body is not read, so the connection cannot be used again.
        return ApiError(
            413, f"the body is larger than {self._settings.max_body_bytes} bytes", headers={"Connection": "close"}
        )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdigit() else host.lower()


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
