"""The routes: OpenAI's chat and plain completions, models, health, metrics, and a page to chat in."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fulmen.errors import ConfigError, FulmenError
from fulmen.serve.http.answers import Answer, error_event
from fulmen.serve.http.choices import Choice
from fulmen.serve.http.errors import (
    ApiError,
    ClientGoneError,
    JsonResponse,
    on_error,
    on_gone,
    on_http_error,
    on_invalid,
    to_api_error,
)
from fulmen.serve.http.gate import LOG, Gate, GateSettings
from fulmen.serve.http.metrics import CONTENT_TYPE, Metrics
from fulmen.serve.http.protocol import ChatRequest, CompletionRequest, Generation
from fulmen.serve.http.record import HEADER, Recorder, check_rollout_id
from fulmen.serve.http.streams import CompletionWorker, EventStream, merge, while_connected
from fulmen.serve.http.translate import Limits, chat_requests, completion_requests
from fulmen.serve.http.turns import make_parser
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Delta
from fulmen.types import Request as EngineRequest

RolloutId = Annotated[str | None, Header(alias=HEADER)]


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """What a server offers."""

    model_name: str
    max_length: int
    """Most tokens of prompt and completion together."""
    vocab_size: int | None = None
    """The model's, for grammars."""
    timeout_s: float = 600.0
    """Longest time of a request."""
    record_dir: Path | None = None
    """Where rollouts are recorded; None records none."""
    gate: GateSettings = field(default_factory=GateSettings)

    def __post_init__(self) -> None:
        if self.timeout_s <= 0:
            raise ConfigError(f"timeout_s={self.timeout_s}; allowed: above 0")
        if self.gate.max_body_bytes < 1:
            raise ConfigError(f"max_body_bytes={self.gate.max_body_bytes}; allowed: at least 1")
        if self.gate.api_key is not None and not (self.gate.api_key.isascii() and self.gate.api_key.isprintable()):
            raise ConfigError("api_key has characters that a header cannot hold; allowed: printable ASCII")
        if self.gate.api_key is not None and not self.gate.api_key.strip():
            raise ConfigError("api_key is empty; allowed: a key, or none at all")


class Server:
    """What the routes share."""

    def __init__(self, worker: CompletionWorker, tokenizer: Tokenizer, settings: AppSettings) -> None:
        self.worker, self.tokenizer, self.settings = worker, tokenizer, settings
        self.metrics = Metrics()
        self.recorder = None if settings.record_dir is None else Recorder(settings.record_dir)
        self.limits = Limits(
            max_length=settings.max_length, timeout_s=settings.timeout_s, vocab_size=settings.vocab_size
        )
        self.created = int(time.time())

    async def answer(
        self, http: Request, body: Generation, requests: list[EngineRequest], answer: Answer, rollout_id: str | None
    ) -> Response:
        """Returns the response to one request for completions, begun if it is streamed.

        Nothing is sent before the first token is there: a request that fails until then fails with its own status.
        """
        call = _Call(self, body, requests, answer, rollout_id)
        if not body.stream:
            await while_connected(http, call.run(), on_gone=self._count_gone)
            self.check_deadline(answer)
            return JsonResponse(answer.body())
        events = call.events()
        try:
            first = await while_connected(http, _first(events), on_gone=self._count_gone)
        except BaseException:
            await events.aclose()
            raise
        return EventStream(_chain(first, events), on_gone=self._count_gone)

    def check_model(self, name: str) -> None:
        """Raises ApiError for a model that is not here."""
        if name != self.settings.model_name:
            message = f"there is no model {name[:200]!r} here; allowed: {self.settings.model_name!r}"
            raise ApiError(404, message, param="model", code="model_not_found")

    def model_card(self) -> dict[str, Any]:
        """Returns what `/v1/models` says of the model."""
        name, length = self.settings.model_name, self.settings.max_length
        return {
            "id": name, "object": "model", "created": self.created, "owned_by": "fulmen", "max_model_len": length,
        }  # fmt: skip

    def _count_gone(self) -> None:
        self.metrics.num_disconnected += 1

    def check_deadline(self, answer: Answer) -> None:
        """Raises ApiError when the time was over before there was any token."""
        done = [choice.completion for choice in answer.choices if choice.completion is not None]
        if all(completion.stop_reason == "deadline" and not len(completion.token_ids) for completion in done):
            raise ApiError(504, f"no token within {self.settings.timeout_s:g} s, or the request's deadline_s")


class _Call:
    """One request for completions while it is served."""

    def __init__(
        self, server: Server, body: Generation, requests: list[EngineRequest], answer: Answer, rollout_id: str | None
    ) -> None:
        self._server, self._body, self._requests = server, body, requests
        self._answer, self._rollout_id = answer, rollout_id
        self._started_s = time.monotonic()
        self._seen_s = [0.0] * len(requests)

    async def run(self) -> None:
        """Feeds the answer until it is whole."""
        async with aclosing(self._deltas()) as deltas:
            async for index, delta in deltas:
                self._answer.choices[index].feed(delta)
        self._raise_errors()
        await self._record()

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yields the events of a streamed answer; an error after the first of them is an event too."""
        has_begun = False
        held = self._answer.opening()
        try:
            async with aclosing(self._deltas()) as deltas:
                async for index, delta in deltas:
                    news = self._answer.feed(index, delta)
                    if delta.completion is not None and not len(delta.completion.token_ids):
                        self._raise_errors()
                    if not has_begun:
                        held += news
                        is_over = all(choice.is_finished for choice in self._answer.choices)
                        if not (delta.token_ids or is_over):
                            continue
                        if is_over:
                            self._server.check_deadline(self._answer)
                        has_begun, news = True, held
                    if news:
                        yield b"".join(news)
            self._raise_errors()
            await self._record()
        except Exception as error:
            if not has_begun:
                raise
            refusal = to_api_error(error)
            if refusal.status == 500:
                LOG.exception("a streamed answer failed")
            yield error_event(refusal.body())
            return
        yield b"".join(self._answer.closing())

    async def _deltas(self) -> AsyncGenerator[tuple[int, Delta], None]:
        metrics = self._server.metrics
        metrics.num_open += 1
        timeout_s = self._requests[0].sampling.deadline_s or self._server.settings.timeout_s
        try:
            async with aclosing(merge(self._server.worker, self._requests, timeout_s=timeout_s)) as batches:
                async for batch in batches:
                    for index, delta in batch:
                        self._observe(index, delta)
                        yield index, delta
            metrics.duration.observe(time.monotonic() - self._started_s)
        finally:
            metrics.num_open -= 1

    def _observe(self, index: int, delta: Delta) -> None:
        metrics, now, last = self._server.metrics, time.monotonic(), self._seen_s[index]
        if delta.token_ids:
            if last:
                metrics.inter_token.observe((now - last) / len(delta.token_ids))
            else:
                metrics.first_token.observe(now - self._started_s)
            self._seen_s[index] = now
        if delta.completion is not None:
            metrics.finished[delta.completion.stop_reason] += 1

    def _raise_errors(self) -> None:
        for choice in self._answer.choices:
            if choice.completion is not None and choice.completion.stop_reason == "error":
                LOG.error("choice %d failed: %s", choice.index, choice.completion.error)
                raise ApiError(500, f"the engine failed at this request: {choice.completion.error}", code="engine")

    async def _record(self) -> None:
        recorder = self._server.recorder
        if self._rollout_id is None or recorder is None:
            return
        records = [
            {
                "rollout": self._rollout_id, "answer": self._answer.answer_id, "index": choice.index,
                "model": self._answer.model, "created": self._answer.created, "user": self._body.user,
                "metadata": self._body.metadata, "content": choice.content, "thinking": choice.thinking,
                "tool_calls": choice.calls, **choice.rollout(),
            }
            for choice in self._answer.choices
        ]  # fmt: skip
        await asyncio.to_thread(recorder.append, records)


def create_app(worker: CompletionWorker, tokenizer: Tokenizer, settings: AppSettings) -> ASGIApp:
    """Returns the application, which any ASGI server runs. It neither starts nor stops the worker."""
    server = Server(worker, tokenizer, settings)
    app = FastAPI(title="fulmen", docs_url=None, redoc_url=None)
    for kind, handler in (
        (FulmenError, on_error), (HTTPException, on_http_error), (RequestValidationError, on_invalid),
        (ClientGoneError, on_gone), (Exception, on_error),
    ):  # fmt: skip
        app.add_exception_handler(kind, handler)
    _add_completions(app, server)
    _add_reading(app, server)
    # Outermost, so that it sees what the framework's own layers would swallow.
    return Gate(app, settings=settings.gate, worker=worker, metrics=server.metrics)


def _add_completions(app: FastAPI, server: Server) -> None:
    @app.post("/v1/chat/completions")
    async def chat(http: Request, body: ChatRequest, rollout: RolloutId = None) -> Response:
        """Returns the assistant's next turn."""
        server.check_model(body.model)
        rollout_id = check_rollout_id(rollout, server.recorder)
        requests = await asyncio.to_thread(
            chat_requests, body, tokenizer=server.tokenizer, limits=server.limits
        )  # fmt: skip
        choices = [
            Choice(
                index=index, request=request, tokenizer=server.tokenizer,
                parser=make_parser(
                    server.tokenizer, has_tools=bool(body.active_tools), options=body.template_options
                ),
                template_options=body.template_options, has_logprobs=bool(body.logprobs),
                first_call_only=body.parallel_tool_calls is False,
            )
            for index, request in enumerate(requests)
        ]  # fmt: skip
        answer = Answer(
            kind="chat", model=body.model, choices=choices, num_per_prompt=len(choices),
            includes_usage=body.includes_usage,
            includes_rollout=bool(body.return_token_ids),
        )  # fmt: skip
        return await server.answer(http, body, requests, answer, rollout_id)

    @app.post("/v1/completions")
    async def complete(http: Request, body: CompletionRequest, rollout: RolloutId = None) -> Response:
        """Returns what follows a prompt."""
        server.check_model(body.model)
        rollout_id = check_rollout_id(rollout, server.recorder)
        requests = await asyncio.to_thread(
            completion_requests, body, tokenizer=server.tokenizer, limits=server.limits
        )  # fmt: skip
        choices = [
            Choice(
                index=index, request=request, tokenizer=server.tokenizer, parser=None,
                has_logprobs=body.logprobs is not None,
            )
            for index, request in enumerate(requests)
        ]  # fmt: skip
        echoes = [server.tokenizer.decode(request.prompt_ids or ()) for request in requests] if body.echo else ()
        answer = Answer(
            kind="text", model=body.model, choices=choices, num_per_prompt=body.n or 1,
            includes_usage=body.includes_usage,
            includes_rollout=bool(body.return_token_ids), echoes=echoes,
        )  # fmt: skip
        return await server.answer(http, body, requests, answer, rollout_id)


def _add_reading(app: FastAPI, server: Server) -> None:
    page = (files("fulmen.serve.http") / "page.html").read_text(encoding="utf-8")

    @app.get("/v1/models")
    async def models() -> Response:
        """Returns the one model there is."""
        return JsonResponse({"object": "list", "data": [server.model_card()]})

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        """Returns what is known of a model."""
        server.check_model(name)
        return JsonResponse(server.model_card())

    @app.get("/health")
    async def health() -> Response:
        """Returns whether requests are taken; needs no key."""
        is_draining = server.worker.is_draining
        return JsonResponse({"status": "draining" if is_draining else "ok"}, status_code=503 if is_draining else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Returns counters and histograms as Prometheus reads them."""
        return PlainTextResponse(server.metrics.text(server.worker.stats()), media_type=CONTENT_TYPE)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        """Returns the page to chat in. It loads nothing from elsewhere, and runs no script but its own."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }  # fmt: skip
        return HTMLResponse(page.replace("{{nonce}}", nonce), headers=headers)


async def _first(events: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(events)


async def _chain(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for event in rest:
            yield event
