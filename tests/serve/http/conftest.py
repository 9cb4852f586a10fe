"""The application with a scripted worker: in process, and on a real socket."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp

from fulmen.serve.http import AppSettings, create_app
from fulmen.serve.http.server import ServerSettings, bind, url_of
from tests.serve.http.scripted import TOKENIZER, ScriptedWorker


def make_app(worker: ScriptedWorker, settings: AppSettings | None = None) -> ASGIApp:
    return create_app(worker, TOKENIZER, settings or AppSettings(model_name="scripted", max_length=2048))


def ask(app: ASGIApp, method: str, path: str, **fields: object) -> httpx2.Response:
    """Returns the response to one request, in process."""

    async def run() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **fields)

    return asyncio.run(run())


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server on a socket."""

    url: str
    worker: ScriptedWorker


@contextlib.contextmanager
def running(app: ASGIApp, worker: ScriptedWorker) -> Iterator[Running]:
    """Serves in a thread while the block runs."""
    listener = bind(ServerSettings(port=0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    url = url_of(listener)
    thread.start()
    try:
        yield Running(url=url, worker=worker)
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    """A server without a key."""
    worker = ScriptedWorker()
    with running(make_app(worker), worker) as server:
        yield server


@pytest.fixture
def worker() -> ScriptedWorker:
    return ScriptedWorker()


@pytest.fixture
def post(worker: ScriptedWorker) -> Callable[..., httpx2.Response]:
    """Asks for a chat completion in process; keywords change the body."""
    app = make_app(worker)

    def send(text: str = "plain", **fields: object) -> httpx2.Response:
        body = {"model": "scripted", "messages": [{"role": "user", "content": text}], **fields}
        return ask(app, "POST", "/v1/chat/completions", json=body)

    return send
