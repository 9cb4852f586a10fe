"""The application on a socket, until a signal ends it.

At SIGTERM or Ctrl-C no new requests are taken (503), those that run go on until a limit, and the process ends with 0;
a second signal ends it at once.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from fulmen.errors import ConfigError
from fulmen.serve.http.streams import CompletionWorker

Outcome = Literal["finished", "cut", "failed"]
"""Whether all requests that ran were finished, some took too long, or the worker ended by itself."""
CLOSE_S = 5
"""How long connections may take to send what is left, once all requests have ended."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where to listen and how to end."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes any that is free."""
    drain_s: float = 30.0
    """How long running requests may go on after the signal to stop."""
    backlog: int = 2048
    """Connections that may wait to be accepted."""


class _Server(uvicorn.Server):
    """Leaves signals to `serve`: uvicorn's own handling ends running requests' process by the signal itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(settings: ServerSettings) -> socket.socket:
    """Returns a listening socket.

    Raises: ConfigError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(settings.backlog)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"host={settings.host} port={settings.port}: {error}; allowed: an address of this machine, a free port"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Returns the URL that a listening socket answers at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    app: ASGIApp,
    worker: CompletionWorker,
    listener: socket.socket,
    *,
    settings: ServerSettings,
    on_start: Callable[[], None] | None = None,
) -> Outcome:
    """Serves until a signal or a failure of the worker, which it stops; returns how it ended."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", ws="none", server_header=False,
        proxy_headers=False, timeout_graceful_shutdown=CLOSE_S, backlog=settings.backlog,
    )  # fmt: skip
    server = _Server(config)
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()

    def on_signal() -> None:
        if signalled.is_set():
            server.should_exit = server.force_exit = True
        signalled.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(signalled.wait())
    has_failed = False
    try:
        if on_start is not None:
            on_start()
        while not (serving.done() or waiting.done() or has_failed):
            await asyncio.wait([serving, waiting], timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
            # A worker that drains before it was told to has lost its engine.
            has_failed = worker.is_draining
        is_clean = await _drain(worker, settings.drain_s, server)
        server.should_exit = True
        await serving
    finally:
        waiting.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return "failed" if has_failed else "finished" if is_clean else "cut"


async def _drain(worker: CompletionWorker, drain_s: float, server: uvicorn.Server) -> bool:
    """Drains the worker, unless a second signal does not want to wait."""
    draining = asyncio.create_task(worker.drain(drain_s))
    while not draining.done():
        if server.force_exit:
            draining.cancel()
            return False
        await asyncio.wait([draining], timeout=0.1)
    return draining.result()
